//! Stable is kept running when the candidate has taken its place: when the rollout is over all the same.
//!
//! Nothing of stable is told to end here, so nothing is waited for that an end would cut. How long it is
//! kept after the rollout, and what ends it then, is not known here.

use model::Phase;

use crate::course;
use crate::deadline::overdue;
use crate::drained::Drained;
use crate::leave::drain_words;
use crate::seen::Open;
use crate::state::State;
use crate::step::Step;
use crate::target::settled;
use crate::words::{count, duration};

/// What is to follow need not wait for the requests of a release that goes on.
pub(crate) fn makes_way(state: &State) -> Option<Step> {
    let next = state.facts.successor.as_ref().filter(|_| course::keeps(&state.start))?;
    Some(promoted(state, &format!("{} is to follow", next.version)))
}

/// After the drain: where the router can move tunnels it does; others stay where they are.
pub(crate) fn drained(state: &State, version: &str, end: Drained) -> Step {
    let words = drain_words(state, version, end);
    let tunnels = state.seen.stable.open.map_or(0, |open| open.tunnels);
    if tunnels > 0 && state.start.settings.handover.is_some() {
        let tunnels = count(tunnels, "tunnel");
        return Step::Enter(Phase::HandingOver, format!("{words}; {tunnels} to hand over"));
    }
    promoted(state, &words)
}

/// The router has moved what it could, or its time is over.
pub(crate) fn handing_over(state: &State) -> Option<Step> {
    let open = state.seen.stable.open;
    let none = settled(state) && open.is_some_and(Open::none);
    let gone = state.seen.stable.existing() == Some(0);
    let words = match (none || gone, state.facts.moved, overdue(state)) {
        (true, _, _) => "nothing is open on it any more",
        (_, true, _) => "the router has moved what it could",
        (_, _, true) => "the time to move its tunnels is over",
        _ => return None,
    };
    Some(promoted(state, words))
}

fn promoted(state: &State, words: &str) -> Step {
    let kept = state.start.stable.as_ref().map_or("", |stable| stable.version.as_str());
    let time = duration(state.start.settings.keep_old_ms);
    let stays = match state.seen.stable.open {
        Some(open) if open.requests > 0 => format!("; {} stay open on it", open.words()),
        Some(open) if open.tunnels > 0 => {
            format!("; {} stay open on it", count(open.tunnels, "tunnel"))
        }
        _ => String::new(),
    };
    let version = &state.candidate().version;
    let why = format!("{version} is stable now, {kept} is kept running for {time}: {words}{stays}");
    Step::Enter(Phase::Promoted, why)
}
