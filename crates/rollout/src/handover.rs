//! Tunnels that the router moves, before anything is told to end: when that is wanted, and off whom.
//!
//! Looks at the state only. Without a pace of the rollout nothing is wanted here: instances are told to
//! end then, and tell their clients.

use model::{Phase, RunState};

use crate::deadline::allowed_ms;
use crate::roll::Side;
use crate::state::State;
use crate::wants::HandOverWant;

/// The release whose tunnels are to move now, whoever moves them.
pub(crate) fn leaves(state: &State) -> Option<Side> {
    if let Some(roll) = &state.facts.roll
        && roll.leave.as_ref().is_none_or(|leave| leave.named.is_empty())
    {
        return None;
    }
    match state.phase {
        Phase::HandingOver => Some(Side::Stable),
        Phase::DrainingCandidate if state.drained().is_some() => Some(Side::Candidate),
        _ => None,
    }
}

/// What the instances of a release should do whose tunnels move now: go on while the router moves them,
/// then end and tell those clients that are left.
pub(crate) fn meanwhile(state: &State) -> RunState {
    let moves = state.start.settings.handover.is_some() && leaves(state).is_some();
    if moves && !state.facts.moved { RunState::Running } else { RunState::Terminating }
}

/// What is wanted of the router.
pub(crate) fn wanted(state: &State) -> Option<HandOverWant> {
    let pace = state.start.settings.handover.clone()?;
    let release = state.named(leaves(state)?)?.id;
    Some(HandOverWant { release, pace, within_ms: allowed_ms(state)? })
}
