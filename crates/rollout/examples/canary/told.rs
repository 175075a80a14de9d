//! What many runs have come to, as the cells of a table.
//!
//! Quantiles are over all runs: one that never came to its end is not left out, but counts as later than every other.

/// Of each run when it came to its end, if it did.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<Option<u64>>);

impl Runs {
    /// One more.
    pub(crate) fn add(&mut self, end: Option<u64>) {
        self.0.push(end);
    }

    /// The value that so many percent of the runs do not exceed.
    fn at(&self, percent: usize) -> Option<u64> {
        let mut all: Vec<u64> = self.0.iter().map(|end| end.unwrap_or(u64::MAX)).collect();
        all.sort_unstable();
        let rank = (all.len() * percent).div_ceil(100).max(1);
        all.get(rank - 1).copied().filter(|end| *end != u64::MAX)
    }

    /// Share of the runs that came to their end.
    pub(crate) fn share(&self) -> f64 {
        let ended = self.0.iter().flatten().count();
        ended as f64 / self.0.len().max(1) as f64
    }

    /// The median.
    pub(crate) fn median(&self) -> String {
        self.at(50).map_or_else(|| "–".to_owned(), short)
    }

    /// The median, and what nine of ten runs do not exceed.
    pub(crate) fn both(&self) -> String {
        let nine_of_ten = self.at(90).map_or_else(|| "–".to_owned(), short);
        format!("{} / {nine_of_ten}", self.median())
    }

    /// The share of the runs, and both.
    pub(crate) fn all(&self) -> String {
        if self.share() > 0.0 {
            format!("{:.3}, {}", self.share(), self.both())
        } else {
            "0".to_owned()
        }
    }
}

/// Three or four digits of a number.
fn short(number: u64) -> String {
    let of = number as f64;
    match number {
        0..10_000 => number.to_string(),
        10_000..100_000 => format!("{:.1}k", of / 1e3),
        100_000..1_000_000 => format!("{:.0}k", of / 1e3),
        _ => format!("{:.2}M", of / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::{Runs, short};

    #[test]
    fn who_never_came_to_its_end_is_later_than_all_others() {
        let mut runs = Runs::default();
        (1..=8).for_each(|end| runs.add(Some(end * 10)));
        assert_eq!(runs.all(), "1.000, 40 / 80");
        runs.add(None);
        runs.add(None);
        assert_eq!(runs.all(), "0.800, 50 / –");
        let mut never = Runs::default();
        never.add(None);
        assert_eq!((never.all(), never.both()), ("0".to_owned(), "– / –".to_owned()));
    }

    #[test]
    fn numbers_keep_three_digits() {
        let told = [353, 5_263, 21_749, 217_400, 2_168_000].map(short);
        assert_eq!(told, ["353", "5263", "21.7k", "217k", "2.17M"]);
    }
}
