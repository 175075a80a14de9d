//! A rolling replacement on its way back: stable takes the room that is there, then a batch of the
//! candidate makes more of it.
//!
//! The same batches as on the way forward, with the same surge, and never below their capacity: a batch
//! of the candidate leaves only when stable is ready, or when that batch serves nobody. What cannot go on
//! is stuck, and what serves then goes on serving.

use model::{Phase, RunState};

use crate::course;
use crate::deadline::{allowed, overdue};
use crate::leave::drain_words;
use crate::roll::{Roll, Side};
use crate::rolling::{drained, gone, spared, told};
use crate::state::State;
use crate::step::Step;
use crate::target::settled;
use crate::words::count;

fn stable_version(state: &State) -> &str {
    state.start.stable.as_ref().map_or("", |stable| stable.version.as_str())
}

/// A candidate that serves nobody loses its share at once: a router is not settled while a pool with
/// a share has no instance, and nothing is taken from users. Stable takes all of it with what is ready,
/// even if that is not yet as many as it should be.
fn dead(state: &State, roll: &Roll) -> Option<Step> {
    let dead = state.seen.candidate.ready() == Some(0) && state.stable_serves();
    let to_stable = dead && roll.running.stable > 0 && roll.routed.candidate > 0;
    let left = if roll.routed.stable == 0 { roll.route_stable() } else { roll.clone() };
    to_stable.then(|| Step::Books(left.unroute_candidate()))
}

/// Stable is brought up to what there is room for, and is given its share.
pub(crate) fn rolling_back(state: &State, roll: &Roll) -> Option<Step> {
    if let Some(step) = dead(state, roll) {
        return Some(step);
    }
    let stable = stable_version(state);
    let wanted = roll.running.stable;
    let ready = state.seen.stable.ready().is_some_and(|ready| ready >= wanted);
    if ready && roll.routed.stable < wanted {
        return Some(Step::Books(roll.route_stable()));
    }
    let has = roll.running.candidate;
    let leaves = course::batch(&state.start).unwrap_or_default().min(has);
    let can = has == 0 || spared(state, Side::Candidate, has, has - leaves);
    if ready && settled(state) && can {
        let why = format!("{wanted} of {} instances are {stable} again", state.instances());
        if has == 0 {
            return Some(Step::Enter(Phase::StoppingCandidate, why));
        }
        let next = roll.make_room(Side::Candidate, leaves);
        return Some(Step::Turn(next, Phase::DrainingCandidate, why));
    }
    overdue(state).then(|| {
        let version = &state.candidate().version;
        let missing = if !ready {
            format!("{stable} had not {} ready", count(wanted.into(), "instance"))
        } else if can {
            format!("the router was not seen to send its share to {stable}")
        } else {
            format!("no instance of {version} could be spared")
        };
        Step::Enter(Phase::Stuck, format!("{missing} within {}", allowed(state)))
    })
}

pub(crate) fn draining_candidate(state: &State, roll: &Roll) -> Option<Step> {
    let version = state.candidate().version.as_str();
    let leave = roll.leave.as_ref()?;
    if let Some(end) = leave.drained {
        let handed = told(state, version)?;
        let words = drain_words(state, &format!("what leaves of {version}"), end);
        let why = if end.left == Some(0) { handed } else { format!("{words}; {handed}") };
        return Some(Step::Turn(roll.stop(), Phase::StoppingCandidate, why));
    }
    if let Some(step) = dead(state, roll) {
        return Some(step);
    }
    if let Some((leaving, end)) = drained(state, roll) {
        return Some(Step::Books(roll.name(&leaving.instances, end, RunState::Terminating)));
    }
    overdue(state).then(|| {
        let limit = allowed(state);
        let why = format!("no instance of {version} could be taken out within {limit}");
        Step::Enter(Phase::Stuck, format!("{why}; they are left running"))
    })
}

pub(crate) fn stopping_candidate(state: &State, roll: &Roll) -> Option<Step> {
    let why = gone(state, roll.leave.as_ref()?, state.candidate().version.as_str())?;
    let next = roll.fill(Side::Stable, state.room());
    Some(Step::Turn(next, Phase::RollingBack, why))
}
