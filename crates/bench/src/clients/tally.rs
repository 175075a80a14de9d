//! What one client said, line by line with the time at which it said it, and what that amounts to. Pure.
//!
//! What a line means is the client's own affair (`kinds`); here only versions and failures count.

use std::time::{Duration, Instant};

/// What a client saw of a switch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// Answers.
    pub(crate) answers: usize,
    /// The last answer of the old version, from the switch on; `None` when there was none.
    pub(crate) last_old: Option<Duration>,
    /// True when that was the last one before the old version left: the client never moved by itself.
    pub(crate) pinned: bool,
    /// Requests that failed from the switch to the leaving, and from there on.
    pub(crate) failed: [usize; 2],
    /// From the leaving to the first answer of the new version, for one that failed then.
    pub(crate) back: Option<Duration>,
    /// The longest time without an answer that ended after the switch.
    pub(crate) silent: Option<Duration>,
    /// The first failure, in the client's words; without any, what it noted.
    pub(crate) words: Option<String>,
}

/// A line of a client, and when it was said.
pub(crate) type Line = (Instant, String);

/// The moments of a trial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    pub(crate) switched: Instant,
    pub(crate) left: Instant,
    /// How much an answer may take, and be rarer than it is asked for on a busy machine.
    pub(crate) still: Duration,
}

/// Sums up.
pub(crate) fn seen(said: &[Line], moments: Moments) -> Seen {
    let mut seen = Seen::default();
    let mut noted = None;
    let mut before: Option<Instant> = None;
    for (at, line) in said {
        if let Some(words) = line.strip_prefix("note") {
            if *at >= moments.switched {
                noted.get_or_insert_with(|| words.trim().to_owned());
            }
            continue;
        }
        if let Some(words) = line.strip_prefix("error") {
            if *at >= moments.switched {
                seen.failed[usize::from(*at >= moments.left)] += 1;
                seen.words.get_or_insert_with(|| words.trim().to_owned());
            }
            continue;
        }
        seen.answers += 1;
        if let Some(before) = before.replace(*at).filter(|_| *at >= moments.switched) {
            seen.silent = seen.silent.max(Some(at.duration_since(before)));
        }
        if line == "v2" && *at >= moments.left {
            seen.back.get_or_insert_with(|| at.duration_since(moments.left));
        }
        if line == "v1" && *at >= moments.switched {
            seen.last_old = Some(at.duration_since(moments.switched));
        }
    }
    let staying = moments.left.duration_since(moments.switched);
    seen.pinned = seen.last_old.is_some_and(|last| last + moments.still > staying);
    seen.words = seen.words.or(noted);
    seen
}

/// True once the client has been answered by the new version after the old one left.
pub(crate) fn is_back(said: &[Line], left: Instant) -> bool {
    said.iter().any(|(at, line)| *at >= left && line == "v2")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Line, Moments, seen};

    /// A switch after one second, of which the client has left after four.
    fn moments(start: Instant) -> Moments {
        let at = |ms| start + Duration::from_millis(ms);
        Moments { switched: at(1_000), left: at(4_000), still: Duration::from_millis(500) }
    }

    /// Lines at their times, ms.
    fn said(start: Instant, all: &[(u64, &str)]) -> Vec<Line> {
        let at = |ms| start + Duration::from_millis(ms);
        all.iter().map(|(ms, line)| (at(*ms), (*line).to_owned())).collect()
    }

    #[test]
    fn the_last_old_answer_and_failures_count_from_the_switch() {
        let start = Instant::now();
        let (moments, said) = (moments(start), |all: &[(u64, &str)]| said(start, all));
        let moved = seen(
            &said(&[(500, "error early"), (900, "v1"), (1_040, "v1"), (1_100, "v2")]),
            moments,
        );
        assert_eq!(moved.last_old, Some(Duration::from_millis(40)));
        assert!(!moved.pinned && moved.failed == [0, 0] && moved.answers == 3);
        let stayed = seen(&said(&[(3_950, "v1"), (4_050, "error  reset"), (4_100, "v2")]), moments);
        assert!(stayed.pinned);
        assert_eq!((stayed.failed, stayed.words.as_deref()), ([0, 1], Some("reset")));
        assert_eq!(stayed.back, Some(Duration::from_millis(100)));
        assert_eq!(seen(&said(&[(900, "v1"), (1_000, "v2")]), moments).last_old, None);
    }

    #[test]
    fn what_is_noted_is_no_failure_and_silence_counts_if_it_ends_after_the_switch() {
        let start = Instant::now();
        let (moments, said) = (moments(start), |all: &[(u64, &str)]| said(start, all));
        let moved = [(100, "v1"), (950, "v1"), (1_010, "note closed with 1012"), (1_200, "v2")];
        let moved = seen(&said(&moved), moments);
        assert_eq!((moved.failed, moved.words.as_deref()), ([0, 0], Some("closed with 1012")));
        assert_eq!(moved.silent, Some(Duration::from_millis(250)));
        let cut = [(3_950, "v1"), (4_001, "note it ended"), (4_002, "error lost"), (4_900, "v2")];
        let cut = seen(&said(&cut), moments);
        assert_eq!((cut.failed, cut.words.as_deref()), ([0, 1], Some("lost")));
        assert_eq!(cut.silent, Some(Duration::from_millis(950)));
    }
}
