//! What a router's counters say of requests, and by how much they have grown since they said something else.
//!
//! Whoever counts (a process, or one server of it) begins at 0 and then only grows; after a reload the old one
//! may go on beside the new one, and each is followed by itself, under its own name. What is not counted one by
//! one says nothing of clients. Nothing is judged here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fleet::ReleaseId;

/// What one counter says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// The release that it counts requests of now; `None` while there is none, as of a place that is free.
    pub release: Option<ReleaseId>,
    /// Requests.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
}

/// What each counter says, by the name of who counts.
pub type Counters = BTreeMap<String, Counter>;

/// Takes what counters say `now` in place of what they said `before`; by how much each has grown. One that was not
/// heard of before began at 0 meanwhile, one that says less has begun anew, and one that is silent now may be heard
/// again.
pub fn grown(before: &mut Counters, now: &Counters) -> Vec<Counter> {
    let one = |(source, now): (&String, &Counter)| {
        let before = before.insert(source.clone(), *now).unwrap_or_default();
        let anew = now.requests < before.requests || now.failed < before.failed;
        let Counter { requests, failed, .. } = if anew { Counter::default() } else { before };
        Counter { requests: now.requests - requests, failed: now.failed - failed, ..*now }
    };
    now.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::{Counter, Counters, grown};
    use crate::ReleaseId;

    fn said(counters: &[(&str, u64, u64)]) -> Counters {
        let one = |(source, requests, failed): &(&str, u64, u64)| {
            let release = Some(ReleaseId(1));
            let counter = Counter { release, requests: *requests, failed: *failed };
            ((*source).to_owned(), counter)
        };
        counters.iter().map(one).collect()
    }

    #[test]
    fn each_is_followed_by_itself_and_may_begin_anew() {
        let mut before = said(&[("7/a", 100, 5)]);
        let mut by = |now: &[(&str, u64, u64)]| {
            let grown = grown(&mut before, &said(now));
            grown.iter().map(|one| (one.requests, one.failed)).collect::<Vec<_>>()
        };
        assert_eq!(by(&[("7/a", 110, 6)]), [(10, 1)]);
        // A reload: the old one goes on beside the new one, and is not always reached.
        assert_eq!(by(&[("7/a", 112, 6), ("8/a", 4, 2)]), [(2, 0), (4, 2)]);
        assert_eq!(by(&[("8/a", 9, 2)]), [(5, 0)]);
        assert_eq!(by(&[("7/a", 113, 7), ("8/a", 9, 2)]), [(1, 1), (0, 0)]);
        // One of the same name that began anew, whichever figure tells.
        assert_eq!(by(&[("8/a", 3, 1)]), [(3, 1)]);
        assert_eq!(by(&[("8/a", 5, 0)]), [(5, 0)]);
    }
}
