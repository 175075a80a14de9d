//! Which pause the present phase waits for. It decides nothing.

use model::Phase;

use crate::course;
use crate::pause::{Cause, Pause};
use crate::state::State;

/// The pause, where the present phase would be left but for it.
pub(crate) fn waits(state: &State) -> Option<&Pause> {
    let pause = state.facts.pause.as_ref()?;
    // From the drain of a recreation on requests wait, and must not wait for a person.
    let held = course::hold(&state.start).is_some() && state.has_entered(Phase::Draining);
    let before_users = !state.has_entered(Phase::Shifting) && !held;
    let here = match state.phase {
        _ if pause.cause == Cause::Failing => true,
        Phase::Starting if state.grows() => state.candidate_is_ready(),
        Phase::Starting | Phase::Previewing | Phase::Arming => before_users,
        Phase::Baking => true,
        Phase::Shifting
        | Phase::Draining
        | Phase::HandingOver
        | Phase::Stopping
        | Phase::Promoted
        | Phase::RollingBack
        | Phase::DrainingCandidate
        | Phase::StoppingCandidate
        | Phase::Aborted
        | Phase::Stuck => false,
    };
    here.then_some(pause)
}
