//! Counters of one release; they only grow and order nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use model::ReleaseId;
use model::admin::ReleaseSeen;

/// One event counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// One more.
    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What happened to the requests of one release.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Requests that entered a gate.
    pub(crate) requests: Count,
    /// Tunnels that were established.
    pub(crate) tunnels: Count,
    /// Requests sent again elsewhere.
    pub(crate) replayed: Count,
    /// Requests that failed here for good.
    pub(crate) failed: Count,
    /// Requests whose client went before the end.
    pub(crate) abandoned: Count,
    answers: [Count; 5],
}

impl Counters {
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
