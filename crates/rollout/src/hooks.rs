//! Hooks: which one is due, what it holds meanwhile, and what follows when it has ended.
//!
//! A hook holds only what takes the rollout further; what speaks against the candidate turns it back
//! meanwhile, and whoever leaves the phase needs the hook no more. How one is called is not known here,
//! and whether one was called before a crash neither: who calls says how it ended, or its time is over.

use model::{Moment, OnFailure, Phase, Weight};

use crate::course;
use crate::gate::undo;
use crate::hooked::{Due, MOST_LIVES, named, next_of, until_ms, wanted};
use crate::hooking::Hooking;
use crate::pause::Cause;
use crate::state::State;
use crate::step::Step;

/// Lets a step pass, unless a hook comes first.
pub(crate) fn pass(state: &State, step: Option<Step>) -> Option<Step> {
    if state.facts.hooking.is_some() {
        return step.filter(|step| step.onward().is_none());
    }
    let standing = standing(state).map(|moment| (moment, None));
    let mut due = standing.into_iter().chain(crossed(state, step.as_ref()));
    match due.find_map(|due| next_of(state, due)) {
        // Whoever is to go back does not wait for it.
        Some(_) if step.as_ref().is_some_and(|step| step.onward().is_none()) => step,
        Some(hook) => {
            let (name, since_ms) = (hook.name.clone(), state.now_ms);
            Some(Step::Hook(Hooking { name, since_ms, lives: 0 }))
        }
        None => step,
    }
}

/// The hook of which nothing was heard in its time, or by so many controllers that it may be what ends
/// them.
pub(crate) fn lost(state: &State) -> Option<Step> {
    let name = wanted(state)?;
    let lives = state.facts.hooking.as_ref().map_or(0, |hooking| hooking.lives);
    if lives >= MOST_LIVES && state.start.settings.rules >= 4 {
        let words = format!("{lives} times in a row the controller ended while it was called");
        return Some(Step::HookLost(name, words));
    }
    let over = until_ms(state).is_some_and(|until| state.now_ms >= until);
    over.then(|| Step::HookLost(name, "nothing was heard of it in its time".to_owned()))
}

/// Another controller calls the one that was being called when the one before it died.
pub(crate) fn resumed(state: &mut State) {
    if let Some(hooking) = &mut state.facts.hooking {
        hooking.lives = hooking.lives.saturating_add(1);
    }
}

/// A hook has ended; what follows from that.
pub(crate) fn ended(state: &mut State, name: &str, passed: bool, words: &str) -> Option<Step> {
    // One that nobody waits for any more changes nothing.
    state.facts.hooking.take_if(|hooking| hooking.name == name)?;
    state.facts.hooked.push(name.to_owned());
    state.facts.went_on_ms = Some(state.now_ms);
    let hook = named(state, name)?;
    let (moment, on_failure) = (hook.moment, hook.on_failure);
    let called = format!("{} ({})", hook.given_name(), hook.when());
    if passed {
        state.note(format!("hook {called}: {words}"));
        return None;
    }
    let why = format!("the hook {called} failed: {words}");
    let waits = state.facts.pause.is_some();
    match on_failure {
        OnFailure::Abort if moment.can_turn_back() => return Some(undo(state, why)),
        OnFailure::Pause if moment.can_turn_back() && !waits => {
            return Some(Step::Pause(Cause::Asked, why));
        }
        // Whoever ends that pause may not know of this: it pauses again.
        OnFailure::Pause if moment.can_turn_back() && state.start.settings.rules >= 7 => {
            state.note(why.clone());
            state.facts.failed_hook = Some(why);
        }
        OnFailure::Abort | OnFailure::Pause | OnFailure::Continue => state.note(why),
    }
    None
}

/// The pause for a hook that failed while there was another pause, once that has ended.
pub(crate) fn owed(state: &State) -> Option<Step> {
    let why = state.facts.failed_hook.as_ref().filter(|_| state.facts.pause.is_none())?;
    Some(Step::Pause(Cause::Asked, why.clone()))
}

/// The moment that lasts now, whatever comes next.
fn standing(state: &State) -> Option<Moment> {
    let all = match &state.facts.roll {
        Some(roll) => roll.running.stable == 0,
        None => state.share() == Weight::ALL,
    };
    match state.phase {
        Phase::Starting if state.entered.len() == 1 => Some(Moment::BeforeStart),
        Phase::Baking if all && state.facts.home.is_none() => Some(Moment::AfterSwitch),
        Phase::Promoted => Some(Moment::AfterFinish),
        Phase::Aborted => Some(Moment::AfterAbort),
        _ => None,
    }
}

/// The moments that lie between this phase and the next. While requests wait for the only copy of an app
/// they wait for nothing else.
fn crossed(state: &State, step: Option<&Step>) -> Vec<Due> {
    use Phase as P;
    let whole = state.facts.roll.is_none();
    let Some((to, _)) = step.and_then(Step::onward) else { return Vec::new() };
    if course::hold(&state.start).is_some() || state.facts.home.is_some() {
        return Vec::new();
    }
    let of_phases: &[Moment] = match (state.phase, to) {
        (P::Starting, P::Previewing) => &[Moment::AfterStart],
        (P::Starting | P::Previewing, P::Arming | P::Shifting) => {
            &[Moment::AfterStart, Moment::BeforeSwitch]
        }
        (P::Baking, P::Draining) if whole => &[Moment::BeforeDrain],
        (P::Draining, P::HandingOver | P::Stopping | P::Promoted) if whole => &[Moment::AfterDrain],
        _ => &[],
    };
    let (left, comes) = steps(state, to);
    let left = left.map(|step| (Moment::AfterStep, Some(step)));
    let comes = comes.map(|step| (Moment::BeforeStep, Some(step)));
    let of_phases = of_phases.iter().map(|moment| (*moment, None));
    left.into_iter().chain(of_phases).chain(comes).collect()
}

/// The step that ends with this phase, and the one that comes with the next. What the prober holds across the
/// switch is not held for a hook, so the first one's is called before that is placed.
fn steps(state: &State, to: Phase) -> (Option<u16>, Option<u16>) {
    let ends = state.phase == Phase::Baking;
    let comes = matches!(to, Phase::Arming | Phase::Shifting);
    let left = course::step_of(&state.start, state.share()).filter(|_| ends);
    (left, course::step_of(&state.start, state.next_share()).filter(|_| comes))
}
