//! Where a pause holds: users are taken no further while somebody is to look.
//!
//! A pause holds only what takes users further. What runs is looked after as always, and what speaks
//! against the candidate turns it back, paused or not. Every pause has a deadline.

use model::{Phase, Weight};

use crate::comparing::OnIncident;
use crate::course;
use crate::deadline::overdue;
use crate::incident;
use crate::pause::{Cause, step_words};
use crate::settings::Aim;
use crate::state::State;
use crate::step::{Step, turn_back};
use crate::waiting::waits;
use crate::words::{duration, with_lines};

/// The share whose trial ends here: nothing before any user is on the candidate. Where the first share is
/// nothing, the pause after that is meant, and there is none before.
fn share(state: &State) -> Option<Weight> {
    if state.has_entered(Phase::Shifting) {
        return Some(state.share());
    }
    (!course::begins_unseen(&state.start)).then_some(Weight::NONE)
}

/// True when the rollout was begun with a pause here that nobody has ended yet.
fn person_is_awaited(state: &State) -> bool {
    let facts = &state.facts;
    let Some(share) = share(state) else { return false };
    let awaited = state.start.settings.pause_after.contains(&share);
    awaited
        && state.start.stable.is_some()
        && facts.full_ms.is_none()
        && !facts.passed.contains(&share)
}

/// Lets a step pass that takes users further, unless somebody is to look first.
pub(crate) fn pass(state: &State, step: Step) -> Option<Step> {
    if state.facts.pause.is_some() {
        return None;
    }
    if !person_is_awaited(state) {
        return Some(step);
    }
    let version = state.candidate().version.as_str();
    let after = share(state).filter(|_| state.has_entered(Phase::Shifting));
    Some(Step::Pause(Cause::Step, step_words(version, after)))
}

/// The share that need not be waited at any more when an operator lets it go on.
pub(crate) fn passing(state: &State) -> Option<Weight> {
    share(state)
}

/// Nobody came in time, or a failing rollback serves nobody any more. The first answer is whether
/// the pause decides alone.
pub(crate) fn next(state: &State) -> (bool, Option<Step>) {
    let Some(pause) = waits(state) else { return (false, None) };
    let failing = pause.cause == Cause::Failing;
    let resumes = state.start.settings.incident == OnIncident::Resume;
    if pause.cause == Cause::Incident && resumes && !incident::held(state) {
        return (true, Some(Step::GoOn("both releases are well again".to_owned())));
    }
    if overdue(state) {
        let limit = duration(state.start.settings.pause_deadline_ms);
        let why = format!("nobody went on or turned back within {limit}: {}", pause.why);
        return (true, Some(unattended(state, why)));
    }
    if failing && state.seen.candidate.ready() == Some(0) {
        let version = &state.candidate().version;
        let why = format!("no instance of {version} is ready any more; {}", pause.why);
        return (true, Some(Step::Enter(Phase::Stuck, why)));
    }
    (failing, None)
}

/// What becomes of a rollout that nobody looks after.
fn unattended(state: &State, why: String) -> Step {
    if stays(state) { Step::Enter(Phase::Stuck, why) } else { turn_back(state, why) }
}

/// A rollback that users are on is not taken back by itself.
fn stays(state: &State) -> bool {
    state.start.settings.aim == Aim::Rollback && state.has_entered(Phase::Shifting)
}

/// Gives up the candidate for what speaks against it. A rollback that users are on waits for a person
/// instead, or is stuck where it serves nobody.
pub(crate) fn undo(state: &State, why: String) -> Step {
    if !stays(state) {
        return turn_back(state, why);
    }
    let said = "a rollback is not rolled back by itself";
    let (sentence, lines) = why.split_once('\n').unwrap_or((&why, ""));
    let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    let why = with_lines(format!("{sentence}; {said}"), &lines);
    if state.candidate_serves() {
        return Step::Pause(Cause::Failing, why);
    }
    Step::Enter(Phase::Stuck, why)
}
