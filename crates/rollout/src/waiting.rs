//! Which pause the present phase waits for. It decides nothing.

use model::Phase;

use crate::alone;
use crate::pause::{Cause, Pause};
use crate::state::State;

/// The pause, where the present phase would be left but for it.
pub(crate) fn waits(state: &State) -> Option<&Pause> {
    let pause = state.facts.pause.as_ref()?;
    let before_users = !state.has_entered(Phase::Shifting) && alone::hold(state).is_none();
    let here = match state.phase {
        _ if pause.cause == Cause::Failing => true,
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
