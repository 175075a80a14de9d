//! How long something took, counted finely enough to compare releases by.
//!
//! Words that threads add to without waiting for each other; the buckets are the model's.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use model::latency;
use model::survey::Buckets;

/// How long something took, in the buckets of [`latency`].
#[derive(Debug)]
pub(crate) struct Finely([AtomicU32; latency::BUCKETS]);

impl Default for Finely {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::default()))
    }
}

impl Finely {
    /// Notes one.
    pub(crate) fn note(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0[latency::bucket(us)].fetch_add(1, Ordering::Relaxed);
    }

    /// How many fell into each bucket; empty ones are left out.
    pub(crate) fn get(&self) -> Buckets {
        let met = (0..).zip(&self.0).map(|(at, n)| (at, u64::from(n.load(Ordering::Relaxed))));
        met.filter(|(_, n)| *n > 0).collect()
    }
}
