//! What the prober missed because it stood still itself, and which failures come of that alone.
//!
//! It does *not* say how much of it a run may have: that is in `verdict`.

use model::attempt::BlindWindow;
use model::{Attempt, Class};

use crate::run::Run;
use crate::silence::{Silence, silences};

/// How much of a blind window lies within a time, us.
pub(crate) fn within(window: &BlindWindow, from_us: u64, to_us: u64) -> u64 {
    window.to_us.min(to_us).saturating_sub(window.from_us.max(from_us))
}

/// An answer that would have been in time without the time in which the prober was blind while it was open.
pub(crate) fn explains(run: &Run<'_>, a: &Attempt) -> bool {
    let (from, to) = a.waited();
    let blind = blind_us(run, from, to);
    let waited = to.saturating_sub(from).saturating_sub(blind);
    let slow = matches!(a.class, Class::Late | Class::Timeout);
    slow && blind > 0 && waited <= run.input.header.late_after_us
}

/// The prober was blind in no more than half of it.
pub(crate) fn awake(run: &Run<'_>, silence: &Silence) -> bool {
    let [from, to] = [silence.from_us, silence.to_us].map(|us| u64::try_from(us).unwrap_or(0));
    blind_us(run, from, to) <= silence.length_us() / 2
}

/// Every failure is one that no user met: slow only for a prober that stood still. What was open while the
/// path stood still before its eyes is none of these.
pub(crate) fn is_all(run: &Run<'_>) -> bool {
    if run.input.blind.is_empty() {
        return false;
    }
    let mut seen = silences(run);
    seen.retain(|silence| awake(run, silence));
    let path = |a: &Attempt| seen.iter().any(|silence| silence.held(a));
    run.failures().all(|a| explains(run, a) && !path(a))
}

/// How long the prober was blind within a time.
fn blind_us(run: &Run<'_>, from_us: u64, to_us: u64) -> u64 {
    run.input.blind.iter().map(|b| within(b, from_us, to_us)).fold(0, u64::saturating_add)
}
