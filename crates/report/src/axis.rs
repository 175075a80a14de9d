//! The signed time axis of the report, microseconds since the probe run began.
//!
//! Conversions only; which moments matter is said elsewhere.

use model::{Attempt, Lane};

/// A stamp of the samples on the signed axis of the report.
pub(crate) fn axis(us: u64) -> i64 {
    // Half the range, so that differences of two stamps never overflow.
    i64::try_from(us).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

/// From `a` to `b`, 0 when `b` is not later.
pub(crate) fn between(a: i64, b: i64) -> u64 {
    u64::try_from(b.saturating_sub(a)).unwrap_or(0)
}

/// When the request left: the last byte, or when it was taken up, whichever is known. Of an upload the
/// head, by which it is routed: its last byte leaves long after.
pub(crate) fn sent_at(attempt: &Attempt) -> i64 {
    let sent_us = match attempt.lane {
        Lane::Upload => attempt.connected_us,
        _ => attempt.sent_us,
    };
    axis(
        [sent_us, attempt.dispatched_us, attempt.intended_us]
            .into_iter()
            .find(|us| *us > 0)
            .unwrap_or(0),
    )
}
