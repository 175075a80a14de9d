//! Counts who answered requests, by version and by instance, and with which status where that is asked.
//!
//! Sockets are left out: their messages go where the socket went, so they say nothing of how requests
//! are shared. It compares with no share that was wanted; that is `shares`.

use std::collections::BTreeMap;

use model::{Attempt, Lane};

use crate::answered::{AnswerCount, Answered};
use crate::clean;
use crate::lanes::whole_answer;
use crate::run::Run;

/// Rows of a list; what has no room is counted together, without a name.
const ROWS: usize = 64;

/// Counts a run's answers.
pub(crate) fn count(run: &Run<'_>) -> Answered {
    let answered = || {
        let answers = run.sent.iter().filter(|a| a.version.is_some() || a.first_byte_us > 0);
        answers.filter(|a| a.lane != Lane::Websocket)
    };
    let requests = answered().count() as u64;
    let versions = Rows::of(answered().map(|a| a.version.as_deref())).list(requests);
    let mut instances = Rows::of(answered().map(|a| a.instance.as_deref())).list(requests);
    instances.sort_by(|a, b| (a.name.is_none(), &a.name).cmp(&(b.name.is_none(), &b.name)));
    // Who has a path, and who does not, is asked where an error of others is expected.
    let expected = answered().any(|a| a.status >= 400 && whole_answer(a.class));
    let told: Vec<_> = answered().filter(|_| expected).map(|a| status_of(a)).collect();
    let statuses = Rows::of(told.iter().map(|name| Some(name.as_str()))).list(requests);
    Answered { requests, versions, instances, statuses }
}

/// Its status, and whose it was.
fn status_of(attempt: &Attempt) -> String {
    match &attempt.version {
        Some(version) => format!("{} of {version}", attempt.status),
        None => attempt.status.to_string(),
    }
}

/// Counts in the order of appearance.
#[derive(Default)]
struct Rows<'a> {
    place_of: BTreeMap<&'a str, usize>,
    counts: Vec<(&'a str, u64)>,
    unnamed: u64,
}

impl<'a> Rows<'a> {
    fn of(names: impl Iterator<Item = Option<&'a str>>) -> Self {
        let mut all = Self::default();
        for name in names {
            match name.and_then(|name| all.row(name)) {
                Some(row) => all.counts[row].1 += 1,
                None => all.unnamed += 1,
            }
        }
        all
    }

    fn row(&mut self, name: &'a str) -> Option<usize> {
        if let Some(row) = self.place_of.get(name) {
            return Some(*row);
        }
        (self.counts.len() < ROWS).then(|| {
            self.place_of.insert(name, self.counts.len());
            self.counts.push((name, 0));
            self.counts.len() - 1
        })
    }

    fn list(&self, of: u64) -> Vec<AnswerCount> {
        let row = |name: Option<String>, answers| AnswerCount {
            name,
            answers,
            share_bp: bp(answers, of),
        };
        let named = self.counts.iter().map(|(name, n)| row(Some(clean::name(name)), *n));
        let unnamed = (self.unnamed > 0).then(|| row(None, self.unnamed));
        named.chain(unnamed).collect()
    }
}

/// Rounded to the nearest basis point.
fn bp(part: u64, of: u64) -> u16 {
    let of = u128::from(of.max(1));
    u16::try_from((u128::from(part) * 10_000 + of / 2) / of).unwrap_or(10_000)
}

#[cfg(test)]
mod tests {
    use super::{Rows, bp};

    #[test]
    fn names_beyond_the_rows_are_counted_together_and_shares_are_of_all() {
        let names: Vec<String> = (0..100).map(|n| format!("v{n}")).collect();
        let rows = Rows::of(names.iter().map(|n| Some(n.as_str())).chain([None])).list(101);
        assert_eq!(rows.len(), 65);
        assert_eq!((rows[0].name.as_deref(), rows[0].share_bp), (Some("v0"), 99));
        assert_eq!((&rows[64].name, rows[64].answers), (&None, 37));
        assert_eq!(
            [bp(1, 4), bp(1, 3), bp(2, 3), bp(3, 3), bp(0, 0)],
            [2_500, 3_333, 6_667, 10_000, 0]
        );
    }
}
