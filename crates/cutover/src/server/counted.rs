//! What the router counted while a rollout was under way, from look to look.
//!
//! What each counter has grown by is `model::counters`' to say. What an earlier server of Cutover saw is not
//! known to this one.

use std::collections::BTreeMap;

use drivers::router::RoutesHave;
use model::admin::{HoldSeen, ReleaseSeen};
use model::{Counter, Counters, ReleaseId, grown};

/// Requests and how many of them failed.
type Pair = (u64, u64);

/// Requests and failures per release, since the first look.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    /// What each counter said last; `None` before the first look.
    last: Option<Counters>,
    sums: BTreeMap<ReleaseId, Pair>,
    /// The share that was in effect at the last look.
    share: Option<usize>,
    /// Requests that waited.
    held: Held,
    /// Requests per share and release, of times in which that share was in effect throughout.
    by_share: BTreeMap<(usize, ReleaseId), u64>,
}

/// Requests that waited since the first look, and what was said last.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    last: Option<HoldSeen>,
    sum: HeldSum,
}

/// Requests that waited because nobody might serve them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HeldSum {
    /// That ever waited.
    pub(super) total: u64,
    /// Answered 503 because a bound was reached.
    pub(super) refused: u64,
    /// Longest wait, ms.
    pub(super) longest_ms: u64,
}

impl Held {
    fn add(&mut self, now: HoldSeen) {
        let Some(before) = self.last.replace(now) else { return };
        self.sum.total += since(before.total, now.total);
        self.sum.refused += since(before.refused, now.refused);
        // Without one that waited meanwhile it is that of an earlier time.
        if self.sum.total > 0 {
            self.sum.longest_ms = self.sum.longest_ms.max(now.longest_ms);
        }
    }
}

impl Counted {
    /// Takes a look; the first one is where counting begins. `share` is the place of the share that is
    /// in effect, in the order in which they were asked for, and `None` while none is.
    pub(super) fn add(&mut self, have: &RoutesHave, share: Option<usize>) {
        let throughout = share.filter(|share| self.share == Some(*share));
        self.share = share;
        self.held.add(have.held);
        let begins = self.last.is_none();
        let grown = grown(self.last.get_or_insert_default(), &tried(have));
        for Counter { release, requests, failed } in grown.into_iter().filter(|_| !begins) {
            let Some(release) = release else { continue };
            let sum = self.sums.entry(release).or_default();
            sum.0 += requests;
            sum.1 += failed;
            if let Some(share) = throughout {
                *self.by_share.entry((share, release)).or_default() += requests;
            }
        }
    }

    /// Requests to a release, and how many of them failed.
    pub(super) fn of(&self, release: ReleaseId) -> (u64, u64) {
        self.sums.get(&release).copied().unwrap_or_default()
    }

    /// Requests that waited.
    pub(super) const fn held(&self) -> HeldSum {
        self.held.sum
    }

    /// Requests to a release while that share was in effect.
    pub(super) fn under(&self, share: usize, release: ReleaseId) -> u64 {
        self.by_share.get(&(share, release)).copied().unwrap_or_default()
    }
}

/// What was sent to instances, and what failed of it.
fn tried(have: &RoutesHave) -> Counters {
    let counter = |seen: &ReleaseSeen| {
        let ReleaseSeen { release, requests, failed, .. } = *seen;
        Counter { release: Some(release), requests, failed }
    };
    have.counters.iter().map(|(source, seen)| (source.clone(), counter(seen))).collect()
}

/// How much what waited has grown; one that says less than before has begun anew.
const fn since(before: u64, now: u64) -> u64 {
    if now < before { now } else { now - before }
}

#[cfg(test)]
mod tests {
    use drivers::router::RoutesHave;
    use model::admin::{HoldSeen, ReleaseSeen};
    use model::{AppName, ReleaseId};

    use super::{Counted, HeldSum};
    use crate::server::sight::unseen;

    /// A look that found these counters: who counts, release, requests, failed.
    fn look(counters: &[(&str, u32, u64, u64)]) -> RoutesHave {
        let mut have = unseen(&AppName::new("shop").unwrap());
        for (source, release, requests, failed) in counters.iter().copied() {
            let release = ReleaseId(release);
            let seen = ReleaseSeen { release, requests, failed, ..ReleaseSeen::default() };
            have.counters.insert(source.to_owned(), seen);
        }
        have
    }

    #[test]
    fn counts_from_the_first_look_and_over_a_new_process() {
        let mut counted = Counted::default();
        counted.add(&look(&[("7/a", 1, 1_000, 50)]), None);
        assert_eq!(counted.of(ReleaseId(1)), (0, 0));
        counted.add(&look(&[("7/a", 1, 1_010, 51)]), None);
        counted.add(&look(&[("7/a", 1, 1_015, 51)]), None);
        counted.add(&look(&[("8/a", 1, 4, 2)]), None);
        assert_eq!(counted.of(ReleaseId(1)), (19, 3));
        // One of the same name that began anew.
        counted.add(&look(&[("8/a", 1, 3, 0)]), None);
        assert_eq!(counted.of(ReleaseId(1)), (22, 3));
    }

    #[test]
    fn what_waited_is_counted_from_the_first_look_and_an_earlier_wait_is_not() {
        let mut counted = Counted::default();
        let mut at = |total, refused, longest_ms| {
            let mut have = look(&[]);
            have.held = HoldSeen { total, refused, longest_ms, ..HoldSeen::default() };
            counted.add(&have, None);
            counted.held()
        };
        assert_eq!(at(10, 3, 9_000), HeldSum::default());
        assert_eq!(at(10, 3, 9_000), HeldSum::default());
        assert_eq!(at(14, 4, 0), HeldSum { total: 4, refused: 1, longest_ms: 0 });
        assert_eq!(at(15, 4, 70), HeldSum { total: 5, refused: 1, longest_ms: 70 });
        // Another process, which began anew.
        assert_eq!(at(1, 1, 20), HeldSum { total: 6, refused: 2, longest_ms: 70 });
    }

    #[test]
    fn an_old_process_that_goes_on_beside_a_new_one_is_counted_once() {
        let mut counted = Counted::default();
        counted.add(&look(&[("7/a", 1, 1_000, 0)]), None);
        counted.add(&look(&[("7/a", 1, 1_010, 0), ("8/a", 1, 5, 0)]), None);
        // It is not always reached.
        counted.add(&look(&[("8/a", 1, 8, 0)]), None);
        counted.add(&look(&[("7/a", 1, 1_012, 0), ("8/a", 1, 9, 0)]), None);
        assert_eq!(counted.of(ReleaseId(1)), (12 + 9, 0));
    }

    #[test]
    fn a_share_has_what_came_while_it_was_in_effect_throughout() {
        let mut counted = Counted::default();
        let mut at =
            |old, new, share| counted.add(&look(&[("a", 1, old, 0), ("b", 2, new, 0)]), share);
        at(100, 0, None);
        at(200, 20, Some(0));
        at(275, 45, Some(0));
        // The next share was asked for in between.
        at(300, 90, None);
        at(310, 100, Some(1));
        at(315, 105, Some(1));
        let under = |share| [1, 2].map(|release| counted.under(share, ReleaseId(release)));
        assert_eq!((under(0), under(1), under(2)), ([75, 25], [5, 5], [0, 0]));
        assert_eq!(counted.of(ReleaseId(1)), (215, 0));
    }
}
