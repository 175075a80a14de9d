//! Apps that are rolled out together: where one waits for the others, and what they do to it.
//!
//! A barrier holds only what takes the rollout further, and only when everything of its own (a pause, a
//! hook) is over; what speaks against the candidate turns it back meanwhile, and the others with it. Before
//! the promotion there are two: at the first it says that it is sure, and once all are, each binds itself: at
//! the second it turns back only if it is told that another one has. So it cannot happen that one is final
//! and another turns back in the same moment. Who the others are, and where they are, is told.

use model::{AppName, Barrier, Event, Phase};

use crate::awaited::{is_bound, until_ms};
use crate::course;
use crate::gate::undo;
use crate::state::State;
use crate::step::Step;
use crate::together::{Awaiting, Stage, Together};
use crate::waiting::waits;
use crate::wish;
use crate::words::duration;

/// Shorter waits are not worth a line, ms.
const WORTH_A_NOTE_MS: u64 = 1_000;

/// Lets a step pass, unless the others come first.
pub(crate) fn pass(state: &State, step: Option<Step>) -> Option<Step> {
    let onward = step.as_ref().filter(|_| state.start.settings.together.is_some());
    let Some((to, why)) = onward.and_then(Step::onward) else { return step };
    let closed = |barrier: &Barrier| state.facts.opened < Some(*barrier);
    let Some(barrier) = crossed(state, to).into_iter().flatten().find(closed) else { return step };
    let awaiting = state.facts.awaiting.as_ref();
    let waits = awaiting.is_some_and(|awaiting| awaiting.barrier == barrier);
    let since_ms = state.now_ms;
    (!waits).then(|| Step::Await(Awaiting { barrier, since_ms, to, why: why.to_owned() }))
}

/// Nobody said in all the time that the others came; while a person is waited for, nobody need. The first
/// answer is whether that decides alone.
pub(crate) fn late(state: &State) -> (bool, Option<Step>) {
    let bound = is_bound(state);
    let Some(awaiting) = state.facts.awaiting.as_ref() else { return (false, None) };
    if waits(state).is_some() {
        return (false, None);
    }
    if until_ms(state).is_none_or(|until| state.now_ms < until) {
        return (bound, None);
    }
    let waited = duration(state.now_ms.saturating_sub(awaiting.since_ms));
    let why = format!("{} did not come to {} within {waited}", others(state), awaiting.barrier);
    (true, Some(if bound { Step::Enter(Phase::Stuck, why) } else { undo(state, why) }))
}

/// All have come to a barrier.
pub(crate) fn opened(state: &mut State, barrier: Barrier) -> Option<Step> {
    let awaiting = state.facts.awaiting.take_if(|awaiting| awaiting.barrier == barrier)?;
    state.facts.opened = state.facts.opened.max(Some(barrier));
    state.facts.went_on_ms = Some(state.now_ms);
    let waited = state.now_ms.saturating_sub(awaiting.since_ms);
    if waited >= WORTH_A_NOTE_MS {
        let (others, waited) = (others(state), duration(waited));
        state.note(format!("waited {waited} for {others} to come to {barrier}"));
    }
    // Whatever was seen since: it has said that it goes on.
    (barrier == Barrier::Final).then_some(Step::Enter(awaiting.to, awaiting.why))
}

/// Another one turned back: so does this one, if nobody's promotion is final.
pub(crate) fn deserted(state: &mut State, app: &AppName, why: &str) -> Option<Step> {
    if state.start.settings.together.is_none() || state.facts.opened == Some(Barrier::Final) {
        return None;
    }
    let first = why.lines().next().unwrap_or_default();
    state.facts.awaiting = None;
    wish::give_up(state, format!("{app} turned back, and this goes together with it: {first}"))
}

/// How far it is.
pub(crate) fn stage(state: &State) -> Stage {
    let awaited = state.facts.awaiting.as_ref().map(|awaiting| awaiting.barrier);
    let reached = state.facts.opened.max(awaited);
    let binding = state.facts.opened == Some(Barrier::Final);
    Stage { reached, turned: turned(state).filter(|_| !binding).cloned() }
}

/// Why it is being undone, or needs a person.
fn turned(state: &State) -> Option<&String> {
    let back = [
        Phase::RollingBack,
        Phase::DrainingCandidate,
        Phase::StoppingCandidate,
        Phase::Aborted,
        Phase::Stuck,
    ];
    let entered = state.entered.iter().find(|entered| back.contains(&entered.phase));
    entered.map(|entered| &entered.why).or_else(|| state.turning())
}

/// What is to be told now, given how far the others are, in the order in which they stand in the start.
/// Nothing is said to be known of those that are missing.
pub(crate) fn ruling(state: &State, others: &[Stage]) -> Option<Event> {
    let together = state.start.settings.together.as_ref().filter(|_| !state.phase.is_final())?;
    let mine = stage(state);
    if mine.turned.is_some() || state.facts.opened == Some(Barrier::Final) {
        return None;
    }
    for (other, stage) in together.others.iter().zip(others) {
        if let Some(why) = &stage.turned {
            let (app, why) = (other.app.clone(), why.clone());
            return Some(Event::Deserted { app, why });
        }
    }
    let barrier = state.facts.awaiting.as_ref()?.barrier;
    let came = |stage: &Stage| stage.reached >= Some(barrier);
    let all = others.len() >= together.others.len() && others.iter().all(came);
    all.then_some(Event::BarrierOpened { barrier })
}

/// The barriers between this phase and the next. Where instances are replaced in place, users have nothing
/// of the rollout before the first of stable leaves, or with a surge before the first of the candidate is
/// there, and nothing may wait after that.
fn crossed(state: &State, to: Phase) -> [Option<Barrier>; 2] {
    use Phase as P;
    let surges = course::surge(&state.start) > 0;
    let begins = match &state.facts.roll {
        Some(_) if surges => !state.has_entered(P::Shifting),
        Some(roll) => state.phase == P::Starting && roll.running.candidate == 0,
        None => !state.has_entered(P::Draining),
    };
    let in_place = state.facts.roll.is_some() || course::hold(&state.start).is_some();
    let shares = !in_place || (surges && begins);
    let one = |barrier| [Some(barrier), None];
    let both = [Some(Barrier::Sure), Some(Barrier::Final)];
    match (state.phase, to) {
        _ if state.facts.home.is_some() => [None, None],
        (P::Baking, P::Promoted) => both,
        (P::Baking, P::Draining) if !in_place => both,
        (P::Starting | P::Arming, P::Draining) if begins => one(Barrier::Share(1)),
        (P::Starting | P::Previewing, P::Arming) if begins => one(Barrier::Ready),
        (P::Starting | P::Previewing | P::Arming | P::Baking, P::Shifting) if shares => {
            let next = u16::try_from(state.switches() + 1).unwrap_or(u16::MAX);
            one(Barrier::Share(next))
        }
        _ => [None, None],
    }
}

/// The others, for people.
fn others(state: &State) -> String {
    state.start.settings.together.as_ref().map(Together::others).unwrap_or_default()
}
