//! The one clock of a run: CLOCK_MONOTONIC, in microseconds since the run began.
//!
//! The wall clock is read once, for people. Setting it has no effect on a run.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds in a microsecond.
const NS_PER_US: u64 = 1_000;

/// A clock that counts from the start of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// CLOCK_MONOTONIC at microsecond 0, ns.
    pub(crate) t0_ns: u64,
    /// Wall clock at the same instant, ms since 1970.
    pub(crate) t0_unix_ms: u64,
}

impl Clock {
    /// Starts counting now.
    pub(crate) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let t0_unix_ms = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        Self { t0_ns: monotonic_ns(), t0_unix_ms }
    }

    /// Microseconds since the run began.
    pub(crate) fn us(self) -> u64 {
        self.us_at(monotonic_ns())
    }

    /// An instant of CLOCK_MONOTONIC (ns) in microseconds since the run began.
    pub(crate) const fn us_at(self, mono_ns: u64) -> u64 {
        mono_ns.saturating_sub(self.t0_ns) / NS_PER_US
    }
}

/// CLOCK_MONOTONIC, ns.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let rest = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + rest
}
