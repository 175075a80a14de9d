//! The way back to stable: when each phase of an abort is left, and for which.
//!
//! Abort is sticky: no step from here leads to the candidate. Going back is gated by capacity:
//! stable gets traffic only after it was seen ready, and the candidate ends only while it is.

use model::Phase;

use crate::course;
use crate::covered;
use crate::deadline::{allowed, gathering_end_ms, overdue};
use crate::leave::{drain_words, drained, handed_over, stopped};
use crate::state::State;
use crate::step::Step;
use crate::target::settled;
use crate::trouble::{presses, trouble};

/// Version users return to; `None` on the first deploy.
fn stable_version(state: &State) -> Option<&str> {
    state.start.stable.as_ref().map(|stable| stable.version.as_str())
}

pub(crate) fn rolling_back(state: &State) -> Option<Step> {
    let stable = stable_version(state).unwrap_or_default();
    if !state.facts.returned && can_take_over(state) {
        return Some(Step::Return(format!("{stable} is ready to take its traffic back")));
    }
    if state.facts.returned && settled(state) && state.stable_serves() {
        let why = format!("the router sends everything to {stable} again");
        return Some(Step::Enter(Phase::DrainingCandidate, why));
    }
    overdue(state).then(|| {
        let missing = if state.stable_serves() {
            format!("the router was not seen to send everything to {stable} again")
        } else {
            format!("{stable} had no ready instance to return to")
        };
        Step::Enter(Phase::Stuck, format!("{missing} within {}", allowed(state)))
    })
}

/// Stable can carry what the candidate is to leave: all of it, unless the candidate itself is in
/// trouble or the wait was long; then some of it is better.
fn can_take_over(state: &State) -> bool {
    let waits = state.start.settings.rules >= 2 && gathering_end_ms(state) > Some(state.now_ms);
    let presses = if state.start.settings.rules < 7 {
        trouble(state).is_some()
    } else {
        state.facts.pressed_ms.is_some() || presses(state)
    };
    state.stable_serves() && (!waits || state.stable_is_whole() || presses)
}

pub(crate) fn draining_candidate(state: &State) -> Option<Step> {
    let version = state.candidate().version.as_str();
    let open = state.seen.candidate.open;
    let Some(end) = state.facts.drained else {
        // Stable must still be able to serve before anything of the candidate is told to end.
        let alone = state.start.stable.is_none() || course::hold(&state.start).is_some();
        let covered = alone || state.stable_serves();
        if let Some(end) = drained(state, open).filter(|_| covered) {
            return Some(Step::Drained(end));
        }
        return overdue(state).then(|| {
            let missing = match stable_version(state).filter(|_| !covered) {
                Some(stable) => format!("{stable} had no ready instance"),
                None => format!("the router was not seen to send nothing new to {version}"),
            };
            let why = format!("{missing} within {}; {version} is left running", allowed(state));
            Step::Enter(Phase::Stuck, why)
        });
    };
    let handed = handed_over(state, open, state.seen.candidate.existing(), version)?;
    if !covered::covered(state) {
        return overdue(state).then(|| {
            let stable = stable_version(state).unwrap_or_default();
            let missing = if covered::unrouted(state) {
                format!("{stable} had no ready instance")
            } else {
                format!("the router was not seen to send nothing new to {version}")
            };
            let why = format!("{missing} within {}; {version} is left running", allowed(state));
            Step::Enter(Phase::Stuck, why)
        });
    }
    let words = drain_words(state, version, end);
    let why = if end.left == Some(0) { handed } else { format!("{words}; {handed}") };
    Some(Step::Enter(Phase::StoppingCandidate, why))
}

pub(crate) fn stopping_candidate(state: &State) -> Option<Step> {
    let version = state.candidate().version.as_str();
    let why = stopped(state, state.seen.candidate.existing(), version)?;
    let users = match stable_version(state) {
        Some(stable) => format!("users are on {stable}"),
        None => "there was no release to return to".to_owned(),
    };
    Some(Step::Enter(Phase::Aborted, format!("{users}; {why}")))
}
