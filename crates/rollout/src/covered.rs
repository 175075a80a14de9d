//! When what leaves may be told to end: the router sends it nothing new, and somebody else is ready to serve.
//!
//! How long that is waited for, and what becomes of it when it does not come, is the phases' own.

use model::RunState;

use crate::course;
use crate::handover::{leaves, meanwhile};
use crate::roll::Side;
use crate::state::State;
use crate::target;

/// True when the router has nothing left that it could move, and what leaves may be told to end.
pub(crate) fn is_over(state: &State) -> bool {
    let moving = leaves(state).is_some() && meanwhile(state) == RunState::Running;
    moving && state.seen.movable == Some(0) && covered(state)
}

/// True when what leaves may end: it was told already, or the router was not last seen to send it anything
/// (somebody else may have changed the routes since it was drained) and somebody else is ready to serve.
pub(crate) fn covered(state: &State) -> bool {
    meanwhile(state) == RunState::Terminating || (unrouted(state) && beside_others(state))
}

/// The routes were last seen to be as they should. Journals of older rules did not ask.
pub(crate) fn unrouted(state: &State) -> bool {
    state.start.settings.rules < 5 || target::settled(state)
}

/// Somebody else is ready to serve, where that is needed.
fn beside_others(state: &State) -> bool {
    let beside = state.facts.roll.is_none() && course::hold(&state.start).is_none();
    !beside
        || match leaves(state) {
            Some(Side::Stable) => state.candidate_serves(),
            Some(Side::Candidate) => state.start.stable.is_none() || state.stable_serves(),
            None => true,
        }
}
