//! A recreation: the only copy of an app ends before the next one starts, and requests wait meanwhile.
//!
//! When its phases are left, where they differ from those of other rollouts (`forward` checks, shifts
//! and judges the candidate as always). What runs, serves and waits in each is `alone`'s.

use model::Phase;

use crate::deadline::{allowed, overdue};
use crate::gate::{pass, undo};
use crate::leave::{drain_words, drained, handed_over, named, stopped};
use crate::state::State;
use crate::step::Step;
use crate::target::settled;
use crate::words::{count, with_lines};

/// Before anything is touched: what is there must be known.
pub(crate) fn looking(state: &State) -> Option<Step> {
    let version = stable_version(state);
    if let Some(ready) = state.seen.stable.ready() {
        let instances = count(ready.into(), "instance");
        let why = format!("{instances} of {version} ready; its requests are to wait");
        let next = if state.watched() { Phase::Arming } else { Phase::Draining };
        return pass(state, Step::Enter(next, why));
    }
    overdue(state).then(|| {
        let limit = allowed(state);
        undo(state, format!("nothing was known of the instances of {version} within {limit}"))
    })
}

pub(crate) fn arming(state: &State) -> Option<Step> {
    let why = if state.seen.armed {
        "the prober is armed".to_owned()
    } else if state.facts.prober_lost {
        "the prober was lost: replacing without it".to_owned()
    } else if overdue(state) {
        format!("the prober was not armed within {}: replacing all the same", allowed(state))
    } else {
        return None;
    };
    pass(state, Step::Enter(Phase::Draining, why))
}

/// Nothing has ended yet: what does not finish in time undoes the rollout and is not cut.
pub(crate) fn draining(state: &State) -> Option<Step> {
    let (version, open) = (stable_version(state), state.seen.stable.open);
    if let Some(end) = drained(state, open).filter(|end| end.left == Some(0)) {
        let words = drain_words(state, version, end);
        let tunnels = open.map_or(0, |open| open.tunnels);
        return Some(if tunnels == 0 {
            Step::Enter(Phase::Stopping, format!("{words}, and no tunnel"))
        } else {
            let tunnels = count(tunnels, "tunnel");
            Step::Enter(Phase::HandingOver, format!("{words}; {tunnels} to hand over"))
        });
    }
    overdue(state).then(|| {
        let left = match open.filter(|_| settled(state)) {
            Some(open) => format!("{} still open on {version}", count(open.requests, "request")),
            None => format!("the router was not seen to hold the requests of {version}"),
        };
        undo(state, named(state, format!("{left} after {}: nothing was ended", allowed(state))))
    })
}

pub(crate) fn handing_over(state: &State) -> Option<Step> {
    let (open, existing) = (state.seen.stable.open, state.seen.stable.existing());
    handed_over(state, open, existing, stable_version(state))
        .map(|why| Step::Enter(Phase::Stopping, why))
}

/// Two copies would run if anything started beside one that does not end.
pub(crate) fn stopping(state: &State) -> Option<Step> {
    let (version, existing) = (stable_version(state), state.seen.stable.existing());
    if existing != Some(0) || !settled(state) {
        return overdue(state).then(|| Step::Enter(Phase::Stuck, alone(state, version, existing)));
    }
    let why = format!("nothing of {version} is left");
    Some(match &state.facts.turning {
        Some(turning) => Step::Enter(Phase::RollingBack, format!("{turning}; {why}")),
        None => Step::Enter(Phase::Starting, why),
    })
}

fn alone(state: &State, version: &str, existing: Option<u16>) -> String {
    let left = stopped(state, existing, version).unwrap_or_default();
    format!("{left}: nothing is started beside it")
}

/// The candidate has ended, and stable starts again; or stable never ended.
pub(crate) fn stopping_candidate(state: &State) -> Option<Step> {
    let (version, existing) = (state.candidate().version.as_str(), state.seen.candidate.existing());
    if existing != Some(0) || !settled(state) {
        return overdue(state).then(|| Step::Enter(Phase::Stuck, alone(state, version, existing)));
    }
    let why = format!("nothing of {version} is left");
    Some(Step::Enter(Phase::RollingBack, why))
}

pub(crate) fn rolling_back(state: &State) -> Option<Step> {
    let stable = stable_version(state);
    if !state.facts.returned && state.stable_serves() {
        return Some(Step::Return(format!("{stable} is ready to take its traffic back")));
    }
    if state.facts.returned && settled(state) && state.stable_serves() {
        let why = format!("users are on {stable}: the router sends everything there again");
        return Some(Step::Enter(Phase::Aborted, why));
    }
    overdue(state).then(|| {
        let missing = if state.stable_serves() {
            format!("the router was not seen to send everything to {stable} again")
        } else {
            format!("{stable} had no ready instance to return to")
        };
        let why = format!("{missing} within {}", allowed(state));
        let lines = state.seen.stable.fleet.as_ref().map_or(&[][..], |seen| &seen.trouble);
        Step::Enter(Phase::Stuck, with_lines(why, lines))
    })
}

fn stable_version(state: &State) -> &str {
    state.start.stable.as_ref().map_or("", |stable| stable.version.as_str())
}
