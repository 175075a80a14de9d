//! Tunnels that the router moves, before anything is told to end: when that is wanted, and off whom.
//!
//! Looks at the state only. Without a pace of the rollout nothing is wanted here: instances are told to
//! end then, and tell their clients.

use model::{Phase, RunState};

use crate::course;
use crate::deadline::allowed_ms;
use crate::roll::Side;
use crate::state::State;
use crate::wants::HandOverWant;

/// The release whose tunnels are to move now, whoever moves them.
fn leaves(state: &State) -> Option<Side> {
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

/// True when the router has nothing left that it could move, and what leaves may be told to end.
pub(crate) fn is_over(state: &State) -> bool {
    let moving = leaves(state).is_some() && meanwhile(state) == RunState::Running;
    moving && state.seen.movable == Some(0) && covered(state)
}

/// True when what leaves may end: it was told already, or somebody else is ready to serve.
pub(crate) fn covered(state: &State) -> bool {
    let beside = state.facts.roll.is_none() && course::hold(&state.start).is_none();
    meanwhile(state) == RunState::Terminating
        || !beside
        || match leaves(state) {
            Some(Side::Stable) => state.candidate_serves(),
            Some(Side::Candidate) => state.start.stable.is_none() || state.stable_serves(),
            None => true,
        }
}

/// What is wanted of the router.
pub(crate) fn wanted(state: &State) -> Option<HandOverWant> {
    let pace = state.start.settings.handover.clone()?;
    let release = state.named(leaves(state)?)?.id;
    Some(HandOverWant { release, pace, within_ms: allowed_ms(state)? })
}
