//! What of the prober's beats is worth telling at once: a version that is new, each failure, and now and then how it
//! stands.
//!
//! Bounded: beyond so many failures in a second the others are summed up at its end. It words nothing and knows
//! no clock but the prober's.

use std::collections::BTreeMap;

use ::probe::Beat;
use model::Class;

use super::step::{Failure, Live, Step};
use super::sums::Sums;

/// Failures told one by one in a second.
const ONE_BY_ONE: usize = 10;

/// What has been told, and what is to be told next.
#[derive(Debug, Default)]
pub(super) struct Happened {
    /// Least time between two words on how it stands, us; none are said without one.
    live_every_us: Option<u64>,
    live_us: u64,
    /// Versions told.
    versions: usize,
    /// The second that is under way, and how many failures of it were told.
    second: u64,
    told: usize,
    /// Failures of it that were not.
    more: BTreeMap<Class, u64>,
    next: Vec<Step>,
}

impl Happened {
    /// Nothing has happened yet.
    pub(super) fn new(live_every_us: Option<u64>) -> Self {
        Self { live_every_us, ..Self::default() }
    }

    /// Takes a beat, which has its failures one by one: the first of them.
    pub(super) fn heed(&mut self, beat: &Beat) {
        self.next.extend(beat.header.as_deref().map(Step::from));
        let second = beat.window.to_us / 1_000_000;
        if second != self.second {
            self.sum_up((self.second + 1) * 1_000);
            self.second = second;
        }
        let mut failed: BTreeMap<Class, u64> = BTreeMap::new();
        let counts = beat.counts.values().flatten();
        for ((_, class), n) in counts.filter(|((_, class), _)| class.failed()) {
            *failed.entry(*class).or_default() += n;
        }
        for failure in beat.failures.iter().take(ONE_BY_ONE - self.told) {
            self.told += 1;
            self.next.push(Step::Failure(Failure::from(failure)));
            if let Some(n) = failed.get_mut(&failure.class) {
                *n = n.saturating_sub(1);
            }
        }
        for (class, n) in failed.into_iter().filter(|(_, n)| *n > 0) {
            *self.more.entry(class).or_default() += n;
        }
    }

    /// What is to be told now, with these sums.
    pub(super) fn steps(&mut self, sums: &Sums) -> Vec<Step> {
        let at_ms = sums.now_us / 1_000;
        let answered = sums.answered();
        for at in self.versions..answered.len() {
            let name = |at: usize| answered.get(at).map(|(name, _)| (*name).to_owned());
            let after = at.checked_sub(1).and_then(name);
            self.next.extend(name(at).map(|version| Step::Version { at_ms, version, after }));
        }
        self.versions = answered.len();
        if self.live_every_us.is_some_and(|every| sums.now_us >= self.live_us + every) {
            self.live_us = sums.now_us;
            self.next.push(Step::Live(Live::of(sums)));
        }
        std::mem::take(&mut self.next)
    }

    /// What is left to be told at the end.
    pub(super) fn rest(&mut self, sums: &Sums) -> Vec<Step> {
        self.sum_up(sums.now_us / 1_000);
        std::mem::take(&mut self.next)
    }

    /// Ends a second.
    fn sum_up(&mut self, at_ms: u64) {
        self.told = 0;
        let by_class = std::mem::take(&mut self.more);
        if !by_class.is_empty() {
            let more = by_class.values().sum();
            self.next.push(Step::Failures { at_ms, more, by_class });
        }
    }
}
