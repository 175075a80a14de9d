//! What should run, serve and wait in each phase of a recreation, where only one copy may run.
//!
//! Looks at the phase alone; when phases are left is decided by `recreate`.

use model::{Hold, Phase, RunState};

use crate::course;
use crate::handover::meanwhile;
use crate::roll::Side;
use crate::state::State;

/// The bounds of the hold, in the phases in which requests wait.
pub(crate) fn hold(state: &State) -> Option<Hold> {
    let hold = course::hold(&state.start)?;
    let begun = state.has_entered(Phase::Draining);
    let waits = match state.phase {
        Phase::Starting | Phase::Previewing | Phase::StoppingCandidate => begun,
        Phase::Draining | Phase::HandingOver | Phase::Stopping | Phase::DrainingCandidate => true,
        Phase::RollingBack => !state.facts.returned,
        Phase::Arming
        | Phase::Shifting
        | Phase::Baking
        | Phase::Promoted
        | Phase::Aborted
        | Phase::Stuck => false,
    };
    waits.then_some(hold)
}

/// Who has the traffic when nobody waits.
pub(crate) const fn serves(state: &State) -> Side {
    match state.phase {
        Phase::Shifting | Phase::Baking | Phase::Promoted => Side::Candidate,
        _ => Side::Stable,
    }
}

/// What the instances of stable and candidate should do: never both run.
pub(crate) fn runs(state: &State) -> (RunState, RunState) {
    use RunState::{Gone, Running};
    let begun = state.has_entered(Phase::Draining);
    match state.phase {
        Phase::HandingOver => (meanwhile(state), Gone),
        Phase::Stopping => (Gone, Gone),
        Phase::Starting | Phase::Previewing if begun => (Gone, Running),
        Phase::DrainingCandidate if state.facts.drained.is_some() => (Gone, meanwhile(state)),
        Phase::Shifting | Phase::Baking | Phase::Promoted | Phase::DrainingCandidate => {
            (Gone, Running)
        }
        Phase::StoppingCandidate if begun => (Gone, Gone),
        Phase::Starting
        | Phase::Previewing
        | Phase::Arming
        | Phase::Draining
        | Phase::StoppingCandidate
        | Phase::RollingBack
        | Phase::Aborted
        | Phase::Stuck => (Running, Gone),
    }
}
