//! How long an outage must be so that it certainly met a request: the longest time in which none was sent.
//!
//! It is taken from the sends themselves. What the schedule has planned is no evidence: a lane whose turns come
//! unevenly, a prober that was stopped, and what it could not send all leave stretches that nobody watched.

use model::Attempt;

use crate::axis::{axis, between};
use crate::run::Run;

/// The floor of all lanes together, us. Where nothing was sent nothing is seen, however long it lasts.
pub(crate) fn of_run(run: &Run<'_>) -> u64 {
    let rate = f64::from(run.input.header.rate);
    of(run, run.sent.iter().copied(), rate)
        .unwrap_or_else(|| between(run.from_us, run.to_us).saturating_add(1))
}

/// The floor of some of the run's attempts, us; none when none was sent. Sends that happened to be closer together
/// than at so many a second were not meant to be, so it is never less than their interval.
pub(crate) fn of<'a>(
    run: &Run<'_>,
    sent: impl Iterator<Item = &'a Attempt>,
    per_second: f64,
) -> Option<u64> {
    let mut at: Vec<i64> = sent.map(|a| axis(a.dispatched_us.max(a.intended_us))).collect();
    if at.is_empty() {
        return None;
    }
    let (from, to) = watched(run);
    at.extend([from, to]);
    at.sort_unstable();
    let stretches = at.windows(2).map(|pair| match pair {
        [before, next] => between(*before, *next),
        _ => 0,
    });
    // Whatever the stamps say: it saw nothing then.
    let blind = run.input.blind.iter().map(|window| {
        between(axis(window.from_us).clamp(from, to), axis(window.to_us).clamp(from, to))
    });
    stretches.chain(blind).chain(interval_us(per_second)).max()
}

/// From the first planned send of the run to the last: in between an outage is to be seen.
fn watched(run: &Run<'_>) -> (i64, i64) {
    let last = run.sent.iter().chain(&run.not_sent).map(|a| axis(a.intended_us)).max();
    let planned = run.input.footer.as_ref().map_or(i64::MIN, |footer| axis(footer.until_us));
    (run.from_us, last.unwrap_or(run.from_us).max(planned).max(run.from_us))
}

/// Interval of evenly spaced sends, us.
pub(crate) fn interval_us(per_second: f64) -> Option<u64> {
    let us = 1e6 / per_second;
    (us.is_finite() && us >= 0.0).then(|| round(us))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and the caller has checked the sign"
)]
fn round(us: f64) -> u64 {
    us.round() as u64
}
