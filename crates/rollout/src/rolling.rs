//! A rolling replacement on its way forward: what makes room, and for how many.
//!
//! A batch of stable leaves the routes, its requests end, it is told to end and is gone; only then is the
//! room filled with the candidate (`forward` starts, checks, shifts and judges it as in any other
//! rollout). With a surge the candidate begins beside a stable that is whole, and is as many ahead of each
//! batch from then on. The way back is `unroll`'s.

use model::{Phase, RunState};

use crate::course;
use crate::deadline::{allowed, overdue};
use crate::drained::Drained;
use crate::gate::{pass, undo};
use crate::leave::{drain_words, handed_over, with_offenders};
use crate::roll::{Leave, Roll, Side};
use crate::seen::{Leaving, Open};
use crate::settings::Aim;
use crate::state::State;
use crate::step::{Step, turn_back};
use crate::target::settled;
use crate::trouble::trouble;
use crate::words::count;

/// Ready instances that serve when only `stays` of a side do, as far as is known. The ones that are
/// not ready are the first to leave.
fn serving(state: &State, side: Side, stays: u16) -> Option<u16> {
    let (stable, candidate) = (&state.seen.stable, &state.seen.candidate);
    let other = if side == Side::Stable { candidate } else { stable };
    Some(other.ready()?.saturating_add(state.sighting(side).ready()?.min(stays)))
}

/// True when a side may go from `has` to `stays` instances: no more is missing then than may be, or those
/// that leave serve nobody.
pub(crate) fn spared(state: &State, side: Side, has: u16, stays: u16) -> bool {
    let least = state.instances().saturating_sub(course::missing(&state.start));
    match (serving(state, side, has), serving(state, side, stays)) {
        (Some(now), Some(then)) => then >= least || then == now,
        _ => false,
    }
}

/// The next batch of stable leaves, if it can be spared.
pub(crate) fn make_room(state: &State, roll: &Roll, why: String) -> Option<Step> {
    let has = roll.running.stable;
    let batch = course::batch(&state.start).unwrap_or_default().min(has);
    spared(state, Side::Stable, has, has - batch)
        .then(|| Step::Turn(roll.make_room(Side::Stable, batch), Phase::Draining, why))
}

/// Before the first batch, where nothing of the candidate comes first: stable must be able to spare one.
pub(crate) fn gathering(state: &State, roll: &Roll) -> Option<Step> {
    let (wanted, version) = (state.instances(), stable_version(state));
    let ready = || match state.seen.stable.ready() {
        Some(ready) => format!("{ready} of {wanted} instances of {version} ready"),
        None => format!("nothing is known of the instances of {version}"),
    };
    let batch = course::batch(&state.start).unwrap_or_default();
    let why = format!("{}; {batch} can be spared at a time", ready());
    if let Some(step) = make_room(state, roll, why) {
        return pass(state, step);
    }
    overdue(state).then(|| {
        let (limit, ready) = (allowed(state), ready());
        undo(state, format!("no instance could be spared within {limit}: {ready}"))
    })
}

pub(crate) fn draining(state: &State, roll: &Roll) -> Option<Step> {
    let had_users = state.has_entered(Phase::Shifting);
    if let Some(why) = trouble(state).filter(|_| had_users) {
        return Some(undo(state, why));
    }
    let version = stable_version(state);
    if let Some((leaving, end)) = drained(state, roll) {
        let words = drain_words(state, &format!("what leaves of {version}"), end);
        if leaving.instances.is_empty() || leaving.open.none() {
            let roll = roll.name(&leaving.instances, end, RunState::Gone);
            return Some(Step::Turn(roll, Phase::Stopping, format!("{words}, and no tunnel")));
        }
        let tunnels = count(leaving.open.tunnels, "tunnel");
        let roll = roll.name(&leaving.instances, end, RunState::Terminating);
        let why = with_offenders(state, end, format!("{words}; {tunnels} to hand over"));
        return Some(Step::Turn(roll, Phase::HandingOver, why));
    }
    overdue(state).then(|| {
        let limit = allowed(state);
        undo(state, format!("no instance of {version} could be taken out within {limit}"))
    })
}

/// The end of the drain of those that leave, if it has come: none of them is routed any more, they
/// can be spared, and nothing is open on them or their time is over.
pub(crate) fn drained<'a>(state: &'a State, roll: &Roll) -> Option<(&'a Leaving, Drained)> {
    let leave = roll.leave.as_ref()?;
    let leaving = state.seen.leaving.as_ref()?;
    let requests = leaving.open.requests;
    let stays = roll.running.of(leave.side);
    let over = settled(state)
        && spared(state, leave.side, stays.saturating_add(leave.instances), stays)
        && (requests == 0 || overdue(state));
    over.then_some((leaving, Drained { at_ms: state.now_ms, left: Some(requests) }))
}

pub(crate) fn handing_over(state: &State, roll: &Roll) -> Option<Step> {
    if let Some(step) = turn(state, roll) {
        return Some(step);
    }
    let why = told(state, stable_version(state))?;
    Some(Step::Turn(roll.stop(), Phase::Stopping, why))
}

/// Why those that were told to end may now be stopped.
pub(crate) fn told(state: &State, version: &str) -> Option<String> {
    let leaving = state.seen.leaving.as_ref();
    let existing = leaving.and_then(|leaving| u16::try_from(leaving.instances.len()).ok());
    let open: Option<Open> = leaving.map(|leaving| leaving.open);
    handed_over(state, open, existing, &format!("what leaves of {version}"))
}

pub(crate) fn stopping(state: &State, roll: &Roll) -> Option<Step> {
    if let Some(step) = turn(state, roll) {
        return Some(step);
    }
    let why = gone(state, roll.leave.as_ref()?, stable_version(state))?;
    if let Some(turning) = &roll.turning {
        return Some(turn_back(state, turning.clone()));
    }
    let next = roll.fill(Side::Candidate, state.room());
    Some(Step::Turn(next, Phase::Starting, why))
}

/// Why the room that was made may be filled.
pub(crate) fn gone(state: &State, leave: &Leave, version: &str) -> Option<String> {
    let left = state.seen.leaving.as_ref().map(|leaving| leaving.instances.len() as u64);
    if left == Some(0) {
        let ended = count(leave.named.len() as u64, "instance");
        return Some(format!("{ended} of {version} ended and made room"));
    }
    overdue(state).then(|| {
        let left = left.map_or_else(|| "an unknown number".to_owned(), |n| n.to_string());
        format!("warning: {left} of {version} still there after {}", allowed(state))
    })
}

/// Once they were told to end they cannot come back: what speaks against the candidate waits until
/// they are gone.
fn turn(state: &State, roll: &Roll) -> Option<Step> {
    let had_users = state.has_entered(Phase::Shifting);
    // A rollback is to pause, which it does when somebody else has taken their place.
    let turns = had_users && roll.turning.is_none() && state.start.settings.aim != Aim::Rollback;
    let why = trouble(state).filter(|_| turns)?;
    Some(Step::Books(roll.turn(why)))
}

fn stable_version(state: &State) -> &str {
    state.start.stable.as_ref().map_or("", |stable| stable.version.as_str())
}
