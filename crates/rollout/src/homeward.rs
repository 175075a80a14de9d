//! The way home: the candidate, stable by now, is started once more in the place of the release
//! before it; traffic goes there, and those that were started first stay as the spare.
//!
//! The promotion is final, so nothing here turns back, and nothing of the candidate is told to end.
//! What does not come to pass within its deadline ends in `Promoted` all the same, with a warning.

use model::Phase;

use crate::course;
use crate::deadline::{allowed, overdue};
use crate::drained::Drained;
use crate::home::Home;
use crate::leave::{drain_words, with_offenders};
use crate::state::State;
use crate::step::Step;
use crate::words::{count, with_lines};

/// Stopping is over: the rollout too, unless it is to return home and the place is free.
pub(crate) fn set_out(state: &State, why: &str) -> Step {
    let (version, before) = versions(state);
    if !course::returns_home(&state.start) {
        return Step::Enter(Phase::Promoted, format!("{version} is stable now; {why}"));
    }
    if state.seen.stable.existing() != Some(0) {
        let why = format!("{version} is stable now; {why}, so it does not take its place");
        return Step::Enter(Phase::Promoted, why);
    }
    let why = format!("{version} is to start again in the place of {before}: {why}");
    Step::Home(Home::Filling, Phase::Starting, why)
}

/// The step that the way home allows, if any.
pub(crate) fn next(state: &State) -> Option<Step> {
    match state.phase {
        Phase::Starting => starting(state),
        Phase::Shifting => shifting(state),
        Phase::Draining => draining(state),
        _ => None,
    }
}

fn starting(state: &State) -> Option<Step> {
    let (version, before) = versions(state);
    if state.candidate_is_ready() {
        let why = format!("{}: those that were first make way", state.readiness());
        return Some(Step::Home(Home::Spare, Phase::Shifting, why));
    }
    overdue(state).then(|| {
        let (limit, ready) = (allowed(state), state.readiness());
        let why = format!("warning: {ready} after {limit}");
        let why = format!("{version} is stable now, but not in the place of {before}; {why}");
        Step::Home(Home::GivenUp, Phase::Promoted, with_lines(why, state.trouble_lines()))
    })
}

/// Those that leave are told of only when no pool that serves has one of them.
fn shifting(state: &State) -> Option<Step> {
    let (version, _) = versions(state);
    if let Some(leaving) = &state.seen.leaving {
        let out = count(leaving.instances.len() as u64, "instance");
        return Some(Step::Enter(Phase::Draining, format!("{out} of {version} left the routes")));
    }
    overdue(state).then(|| {
        let what = format!("the router was not seen without the spare of {version}");
        let why = format!("{version} is stable now; warning: {what} within {}", allowed(state));
        Step::Enter(Phase::Promoted, why)
    })
}

fn draining(state: &State) -> Option<Step> {
    let (version, _) = versions(state);
    let leaving = state.seen.leaving.as_ref();
    let left = leaving.map(|leaving| leaving.open.requests);
    (left == Some(0) || overdue(state)).then(|| {
        let spare = leaving.map_or_else(String::new, |leaving| {
            format!(" with a spare of {}", count(leaving.instances.len() as u64, "instance"))
        });
        let end = Drained { at_ms: state.now_ms, left };
        let words = drain_words(state, "the spare", end);
        let why = format!("{version} is stable now{spare}; {words}");
        Step::Enter(Phase::Promoted, with_offenders(state, end, why))
    })
}

/// The version that goes home, and the one whose place it takes.
fn versions(state: &State) -> (&str, &str) {
    let before = state.start.stable.as_ref().map_or("", |stable| stable.version.as_str());
    (state.candidate().version.as_str(), before)
}
