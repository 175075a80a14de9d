//! How long an incident that hits both releases holds a step, or keeps it paused.
//!
//! Arithmetic on what is remembered; when one begins, `compare` says. What a person is asked meanwhile is
//! in `pause`.

use crate::comparing::OnIncident;
use crate::pause::Cause;
use crate::state::State;

/// How long both releases must be well again before a step that was held goes on, ms.
pub(crate) const CALM_MS: u64 = 10_000;
/// Longest time that a step is held when nobody looks, or somebody did, ms.
const LONGEST_HOLD_MS: u64 = 30 * 60 * 1000;

/// True while a person is waited for because both suffer.
fn asks(state: &State) -> bool {
    state.facts.pause.as_ref().is_some_and(|pause| pause.cause == Cause::Incident)
}

/// Until when the present step is held because both suffer; 0 if it is not.
pub(crate) fn held_until_ms(state: &State) -> u64 {
    let Some(incident) = state.facts.incident else { return 0 };
    let calm = incident.to_ms.saturating_add(CALM_MS);
    // A pause has its own deadline.
    if asks(state) {
        return calm;
    }
    calm.min(incident.from_ms.saturating_add(LONGEST_HOLD_MS))
}

/// When the pause ends by itself if both stay well.
pub(crate) fn resumes_ms(state: &State) -> Option<u64> {
    let resumes = state.start.settings.incident == OnIncident::Resume;
    (resumes && asks(state)).then(|| held_until_ms(state))
}

/// True while both suffer, or did a moment ago.
pub(crate) fn held(state: &State) -> bool {
    state.now_ms < held_until_ms(state)
}
