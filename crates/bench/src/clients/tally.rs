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
    /// The first failure, in the client's words.
    pub(crate) words: Option<String>,
}

/// A line of a client, and when it was said.
pub(crate) type Line = (Instant, String);

/// The moments of a trial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    pub(crate) switched: Instant,
    pub(crate) left: Instant,
}

/// Answers may be so much rarer than they are asked for, on a busy machine.
const STILL: Duration = Duration::from_millis(500);

/// Sums up.
pub(crate) fn seen(said: &[Line], moments: Moments) -> Seen {
    let mut seen = Seen::default();
    for (at, line) in said {
        if let Some(words) = line.strip_prefix("error") {
            if *at >= moments.switched {
                seen.failed[usize::from(*at >= moments.left)] += 1;
                seen.words.get_or_insert_with(|| words.trim().to_owned());
            }
            continue;
        }
        seen.answers += 1;
        if line == "v2" && *at >= moments.left {
            seen.back.get_or_insert_with(|| at.duration_since(moments.left));
        }
        if line == "v1" && *at >= moments.switched {
            seen.last_old = Some(at.duration_since(moments.switched));
        }
    }
    let staying = moments.left.duration_since(moments.switched);
    seen.pinned = seen.last_old.is_some_and(|last| last + STILL > staying);
    seen
}

/// True once the client has been answered by the new version after the old one left.
pub(crate) fn is_back(said: &[Line], left: Instant) -> bool {
    said.iter().any(|(at, line)| *at >= left && line == "v2")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Moments, seen};

    #[test]
    fn the_last_old_answer_and_failures_count_from_the_switch() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let moments = Moments { switched: at(1_000), left: at(4_000) };
        let said = |all: &[(u64, &str)]| -> Vec<_> {
            all.iter().map(|(ms, line)| (at(*ms), (*line).to_owned())).collect()
        };
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
}
