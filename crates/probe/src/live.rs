//! What the caller of a run hears while it goes on: counts by lane, class and version, times, and
//! failures one by one.
//!
//! Bounded, however long nobody listens: the ledger bounds the versions, of the rest the first are kept.
//! Where there is no listener nothing is counted.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use model::attempt::{Attempt, BlindWindow, Class, Lane, RunHeader};
use model::window::Window;

use crate::tap::Tap;

/// Upper bounds of [`Times`], us; what is above the last has a bucket of its own.
pub const BOUNDS_US: [u64; 18] = [
    50, 100, 200, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// Most times told one by one in a beat.
const TIMES_MAX: usize = 4_096;

/// Most failures told one by one in a beat.
const FAILURES_MAX: usize = 64;

/// How many lasted how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How many were at most as long as each of [`BOUNDS_US`] and longer than the one before; the last
    /// were longer than all.
    pub buckets: [u64; BOUNDS_US.len() + 1],
    /// The sum, us.
    pub sum_us: u64,
}

impl Times {
    /// Adds one.
    pub fn add(&mut self, us: u64) {
        let at = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[at] += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += more;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }
}

/// What happened since the beat before.
#[derive(Clone, Debug, Default)]
pub struct Beat {
    /// What the run does; with the first beat.
    pub header: Option<Box<RunHeader>>,
    /// Attempts that ended, by the version that answered.
    pub window: Window,
    /// The same, and what could not be sent, by version (empty: none was named), lane and class.
    pub counts: BTreeMap<String, BTreeMap<(Lane, Class), u64>>,
    /// Time to the last byte of whole, right answers, in time or late.
    pub ttlb: BTreeMap<Lane, Times>,
    /// The same one by one, us: the first of them.
    pub recent_us: Vec<(Lane, u64)>,
    /// The prober's own lateness (`dispatched - intended`) of what was sent.
    pub lateness: Times,
    /// Failures: the first of them.
    pub failures: Vec<Attempt>,
    /// Times in which the prober saw nothing: how many, and how long in all, us.
    pub blind: (u64, u64),
    /// Attempts in flight at its end.
    pub in_flight: u64,
}

/// The open beat of the caller.
#[derive(Debug, Default)]
pub(crate) struct Live {
    listening: Cell<bool>,
    tap: Tap,
    beat: RefCell<Beat>,
}

impl Live {
    /// Somebody listens.
    pub(crate) fn listen(&self) {
        self.listening.set(true);
    }

    /// What the run does.
    pub(crate) fn begin(&self, header: &RunHeader) {
        self.beat.borrow_mut().header = Some(Box::new(header.clone()));
    }

    /// Counts an attempt that has ended.
    pub(crate) fn count(&self, attempt: &Attempt) {
        if !self.listening.get() {
            return;
        }
        self.tap.count(attempt);
        let mut beat = self.beat.borrow_mut();
        let version = attempt.version.as_deref().unwrap_or_default();
        if !beat.counts.contains_key(version) {
            beat.counts.insert(version.to_owned(), BTreeMap::new());
        }
        if let Some(counts) = beat.counts.get_mut(version) {
            *counts.entry((attempt.lane, attempt.class)).or_default() += 1;
        }
        if attempt.class == Class::NotSent {
            return;
        }
        beat.lateness.add(attempt.dispatched_us.saturating_sub(attempt.intended_us));
        if matches!(attempt.class, Class::Ok | Class::Late) {
            let us = attempt.ttlb_us();
            beat.ttlb.entry(attempt.lane).or_default().add(us);
            if beat.recent_us.len() < TIMES_MAX {
                beat.recent_us.push((attempt.lane, us));
            }
        }
        if attempt.class.failed() && beat.failures.len() < FAILURES_MAX {
            beat.failures.push(attempt.clone());
        }
    }

    /// The prober saw nothing for a time.
    pub(crate) fn blind(&self, window: BlindWindow) {
        let (count, us) = &mut self.beat.borrow_mut().blind;
        *count += 1;
        *us += window.to_us.saturating_sub(window.from_us);
    }

    /// Ends the beat now and begins the next one.
    pub(crate) fn take(&self, now_us: u64, in_flight: u64) -> Beat {
        Beat { window: self.tap.take(now_us), in_flight, ..self.beat.take() }
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS_US, Times};

    #[test]
    fn a_time_counts_below_the_first_bound_that_is_not_less() {
        let mut times = Times::default();
        for us in [0, 50, 51, 30_000_000, 30_000_001, u64::MAX] {
            times.add(us);
        }
        let last = BOUNDS_US.len();
        assert_eq!((times.buckets[0], times.buckets[1]), (2, 1));
        assert_eq!((times.buckets[last - 1], times.buckets[last]), (1, 2));
        assert_eq!(times.sum_us, u64::MAX);
        let mut twice = times.clone();
        twice.merge(&times);
        assert_eq!(twice.buckets.iter().sum::<u64>(), 12);
    }
}
