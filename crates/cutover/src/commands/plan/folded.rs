//! Changes of a plan in as few lines as they can be read in.
//!
//! Changes in a row that say the same of several instances are one line. Nothing is left out that a reader
//! would miss: of many the first and the last are named.

use crate::server::planned::ChangePlanned;

/// More than these are "first … last".
const NAMED: usize = 3;
/// Changes that differ in more words than these are not the same.
const DIFFERS: usize = 2;

/// One line for each run of changes that are alike.
pub(super) fn fold(changes: &[ChangePlanned]) -> Vec<String> {
    let alike = |a: &ChangePlanned, b: &ChangePlanned| a.by == b.by && alike(&a.words, &b.words);
    changes.chunk_by(alike).map(line).collect()
}

/// True where only numbers differ, and those in few words.
fn alike(a: &str, b: &str) -> bool {
    let bare = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    let differs = a.split(' ').zip(b.split(' ')).filter(|(a, b)| a != b).count();
    bare(a) == bare(b) && differs <= DIFFERS
}

fn line(run: &[ChangePlanned]) -> String {
    let rows: Vec<Vec<&str>> = run.iter().map(|one| one.words.split(' ').collect()).collect();
    let width = rows.first().map_or(0, Vec::len);
    let word = |at: usize| {
        let all: Vec<&str> = rows.iter().filter_map(|row| row.get(at).copied()).collect();
        join(&all)
    };
    (0..width).map(word).collect::<Vec<_>>().join(" ")
}

/// "demo-1-1, demo-1-2", with what all of them end in once: "(pid 17, 18)".
fn join(all: &[&str]) -> String {
    let Some((first, rest)) = all.split_first() else { return String::new() };
    if rest.iter().all(|one| one == first) {
        return (*first).to_owned();
    }
    let end = first.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len();
    let tail = &first[end..];
    let bare: Vec<&str> = all.iter().map(|one| one.strip_suffix(tail).unwrap_or(one)).collect();
    match &bare[..] {
        [first, .., last] if bare.len() > NAMED => format!("{first} … {last}{tail}"),
        few => few.join(", ") + tail,
    }
}

#[cfg(test)]
mod tests {
    use super::fold;
    use crate::server::planned::{ChangePlanned, Driver};

    fn folded(words: &[String]) -> Vec<String> {
        let change = |words: &String| ChangePlanned { by: Driver::Platform, words: words.clone() };
        fold(&words.iter().map(change).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_said_of_several_is_said_once() {
        let tell = |n, pid| format!("tell shop-1-{n} to end (SIGTERM to the group of pid {pid})");
        assert_eq!(
            folded(&[tell(1, 70), tell(2, 75)]),
            ["tell shop-1-1, shop-1-2 to end (SIGTERM to the group of pid 70, 75)"]
        );
        let many: Vec<String> =
            (1..=50).map(|n| format!("start shop-2-{n} (v2) on a free port")).collect();
        assert_eq!(folded(&many), ["start shop-2-1 … shop-2-50 (v2) on a free port"]);
    }

    #[test]
    fn what_differs_stands_by_itself() {
        let told = [
            "route shop (generation 5): v1 95.00% on 2, v2 5.00% on 2".to_owned(),
            "route shop (generation 6): v1 75.00% on 2, v2 25.00% on 2".to_owned(),
            "note that shop-1-1 has ended".to_owned(),
            "forget release 1 of shop".to_owned(),
        ];
        assert_eq!(folded(&told), told);
        assert!(folded(&[]).is_empty());
    }
}
