//! Counters that only grow and order nothing: of a release, of an app, of the process.
//!
//! Words that threads add to without waiting for each other. What they are called in the metrics
//! stands there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use model::admin::{PastSeen, ReleaseSeen};
use model::{ReleaseId, Version};

use crate::class::Class;
use crate::finely::Finely;
use crate::hold;
use crate::survey::Survey;

/// One event counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// One more.
    pub(crate) fn up(&self) {
        self.add(1);
    }

    /// So many more.
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many so far.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many requests ended other than well, by class.
#[derive(Debug, Default)]
pub(crate) struct Tally([Count; Class::ALL.len()]);

impl Tally {
    /// The counter of one class.
    pub(crate) const fn of(&self, class: Class) -> &Count {
        &self.0[class as usize]
    }
}

/// How long something took: how often it was at most as long as each of [`Histogram::BOUNDS`].
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Count; Self::BOUNDS.len() + 1],
    sum_us: Count,
}

impl Histogram {
    /// Upper bounds of the buckets, microseconds; behind the last there is no bound.
    pub(crate) const BOUNDS: [u64; 15] = [
        1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
        2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
    ];

    /// Notes one.
    pub(crate) fn note(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // Most are short.
        let at = Self::BOUNDS.iter().position(|bound| us <= *bound);
        self.buckets[at.unwrap_or(Self::BOUNDS.len())].up();
        self.sum_us.add(us);
    }

    /// How many fell into each bucket, and the sum of all, microseconds.
    pub(crate) fn get(&self) -> ([u64; Self::BOUNDS.len() + 1], u64) {
        let sum = self.sum_us.get();
        (std::array::from_fn(|at| self.buckets[at].get()), sum)
    }
}

/// What happened to the requests of one release.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// What the release is called.
    pub(crate) version: Box<str>,
    /// Requests that entered a gate.
    pub(crate) requests: Count,
    /// Tunnels that were established.
    pub(crate) tunnels: Count,
    /// WebSockets whose clients were told to leave.
    pub(crate) sockets_told: Count,
    /// Those of them that the proxy closed.
    pub(crate) sockets_closed: Count,
    /// Those of them that ended by themselves.
    pub(crate) sockets_left: Count,
    /// Requests sent again to another instance.
    pub(crate) replayed: Count,
    /// How often one of its instances was left out.
    pub(crate) ejections: Count,
    /// Requests that failed here for good.
    pub(crate) failed: Count,
    /// Requests whose client went before the end.
    pub(crate) abandoned: Count,
    /// Requests that ended, by the first digit of what their clients were told; the first is for
    /// those that were told nothing.
    pub(crate) ended: [Count; 6],
    /// Those of them that ended other than well.
    pub(crate) unwell: Tally,
    /// Time to last byte of answers that are no tunnels.
    pub(crate) lasted: Histogram,
    /// The same, fine enough to compare releases by.
    pub(crate) finely: Finely,
    answers: [Count; 5],
}

impl Counters {
    /// Those of a new release.
    pub(crate) fn of(version: &Version) -> Self {
        Self { version: version.as_str().into(), ..Self::default() }
    }

    /// Counts an answer by the first digit of its status.
    pub(crate) fn answer(&self, status: u16) {
        if let Some(count) =
            usize::from(status / 100).checked_sub(1).and_then(|n| self.answers.get(n))
        {
            count.up();
        }
    }

    /// What was counted so far.
    pub(crate) fn seen(&self, release: ReleaseId) -> ReleaseSeen {
        ReleaseSeen {
            release,
            requests: self.requests.get(),
            tunnels: self.tunnels.get(),
            answers: std::array::from_fn(|digit| self.answers[digit].get()),
            replayed: self.replayed.get(),
            failed: self.failed.get(),
            abandoned: self.abandoned.get(),
        }
    }
}

/// What was counted of releases that are followed no more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Past(PastSeen);

impl Past {
    /// Takes in what a release has counted, which is given up now.
    pub(crate) fn take(&mut self, counters: &Counters) {
        self.0.releases += 1;
        self.0.requests += counters.requests.get();
    }

    /// What it comes to.
    pub(crate) const fn seen(self) -> PastSeen {
        self.0
    }
}

/// What stays with an app while its routes change.
#[derive(Debug, Default)]
pub(crate) struct Lasting {
    /// Fault injection: answers still to be cut short.
    pub(crate) truncate: AtomicU32,
    /// Requests that no instance was asked for.
    pub(crate) refused: Tally,
    /// Instances that were taken out of the routes while something was open on them.
    pub(crate) drains: Count,
    /// Requests that waited while nobody served it.
    pub(crate) held: Arc<hold::Tally>,
    /// What is counted of it to compare releases, if anything is.
    pub(crate) survey: ArcSwapOption<Survey>,
}

/// What belongs to no app.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Client connections accepted.
    pub(crate) connections: Count,
    /// TLS handshakes that came to nothing.
    pub(crate) handshakes_failed: Count,
    /// Requests that were refused before an app was known.
    pub(crate) refused: Tally,
    /// Client connections that were one too many.
    pub(crate) overflowed: Count,
    /// Client connections that were more than the share of their client.
    pub(crate) greedy: Count,
    /// HTTP/2 connections ended because their clients only ever broke off.
    pub(crate) resets: Count,
    /// Lines that did not get into the access log.
    pub(crate) lines_dropped: Count,
    /// Lines that did.
    pub(crate) lines_written: Count,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Class, Histogram, Tally};

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for us in [0, 1_000, 1_001, 60_000_000, 60_000_001] {
            histogram.note(Duration::from_micros(us));
        }
        let (buckets, sum) = histogram.get();
        assert_eq!((buckets[0], buckets[1], buckets[14], buckets[15]), (2, 1, 1, 1));
        assert_eq!((buckets.iter().sum::<u64>(), sum), (5, 120_002_002));
        assert!(Histogram::BOUNDS.is_sorted());
    }

    #[test]
    fn each_class_has_a_counter_and_a_name_of_its_own() {
        let tally = Tally::default();
        for class in Class::ALL {
            tally.of(class).up();
        }
        assert!(Class::ALL.iter().all(|class| tally.of(*class).get() == 1));
        let mut names: Vec<_> = Class::ALL.iter().map(|class| class.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Class::ALL.len());
    }
}
