//! Hooks: which one is to be called now, what it holds meanwhile, and what follows when it has ended.
//!
//! A hook holds only what takes the rollout further; what speaks against the candidate turns it back
//! meanwhile, and whoever leaves the phase needs the hook no more. How one is called is not known here,
//! and whether one was called before a crash neither: who calls says how it ended, or its time is over.

use model::{Hook, Moment, OnFailure, Phase, Weight};
use serde::{Deserialize, Serialize};

use crate::course;
use crate::gate::undo;
use crate::pause::Cause;
use crate::state::State;
use crate::step::Step;

/// How much longer than its own time a hook is waited for, ms: whoever calls it says when that is over.
const SLACK_MS: u64 = 10_000;

/// A hook that is being called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hooking {
    pub name: String,
    pub since_ms: u64,
}

/// The hook that is to be called now.
pub(crate) fn wanted(state: &State) -> Option<String> {
    state.facts.hooking.as_ref().map(|hooking| hooking.name.clone())
}

/// True while nothing of the candidate may be started. What was kept running goes on.
pub(crate) fn hold_the_start(state: &State) -> bool {
    let first = state.phase == Phase::Starting && state.entered.len() == 1;
    first && !state.start.settings.warm && next_of(state, Moment::BeforeStart).is_some()
}

/// Lets a step pass, unless a hook comes first.
pub(crate) fn pass(state: &State, step: Option<Step>) -> Option<Step> {
    if state.facts.hooking.is_some() {
        return step.filter(|step| forward_to(step).is_none());
    }
    let due = standing(state).into_iter().chain(crossed(state, step.as_ref()).iter().copied());
    match due.filter_map(|moment| next_of(state, moment)).next() {
        // Whoever is to go back does not wait for it.
        Some(_) if step.as_ref().is_some_and(|step| forward_to(step).is_none()) => step,
        Some(hook) => Some(Step::Hook(Hooking { name: hook.name.clone(), since_ms: state.now_ms })),
        None => step,
    }
}

/// When the hook that is being called is given up; `None` where nobody waits for it.
pub(crate) fn until_ms(state: &State) -> Option<u64> {
    let hooking = state.facts.hooking.as_ref().filter(|_| !state.phase.is_final())?;
    let from = hooking.since_ms.max(state.facts.resumed_ms.unwrap_or(0));
    let limit = named(state, &hooking.name).map_or(0, Hook::limit_ms);
    Some(from.saturating_add(limit).saturating_add(SLACK_MS))
}

/// The hook of which nothing was heard in its time.
pub(crate) fn lost(state: &State) -> Option<Step> {
    let name = wanted(state)?;
    let over = until_ms(state).is_some_and(|until| state.now_ms >= until);
    over.then_some(Step::HookLost(name))
}

/// A hook has ended; what follows from that.
pub(crate) fn ended(state: &mut State, name: &str, passed: bool, words: &str) -> Option<Step> {
    // One that nobody waits for any more changes nothing.
    state.facts.hooking.take_if(|hooking| hooking.name == name)?;
    state.facts.hooked.push(name.to_owned());
    state.facts.went_on_ms = Some(state.now_ms);
    let (moment, on_failure) = named(state, name).map(|hook| (hook.moment, hook.on_failure))?;
    if passed {
        state.note(format!("hook {name} ({moment}): {words}"));
        return None;
    }
    let why = format!("the hook {name} ({moment}) failed: {words}");
    let paused = state.facts.pause.is_some();
    match on_failure {
        OnFailure::Abort if moment.can_turn_back() => return Some(undo(state, why)),
        OnFailure::Pause if moment.can_turn_back() && !paused => {
            return Some(Step::Pause(Cause::Asked, why));
        }
        OnFailure::Abort | OnFailure::Pause | OnFailure::Continue => state.note(why),
    }
    None
}

fn named<'a>(state: &'a State, name: &str) -> Option<&'a Hook> {
    state.start.settings.hooks.iter().find(|hook| hook.name == name)
}

/// The first hook of a moment that has not ended.
fn next_of(state: &State, moment: Moment) -> Option<&Hook> {
    let mut hooks = state.start.settings.hooks.iter();
    hooks.find(|hook| hook.moment == moment && !state.facts.hooked.contains(&hook.name))
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
fn crossed(state: &State, step: Option<&Step>) -> &'static [Moment] {
    use Phase as P;
    let whole = state.facts.roll.is_none();
    let Some(to) = step.and_then(forward_to) else { return &[] };
    match (state.phase, to) {
        _ if course::hold(&state.start).is_some() || state.facts.home.is_some() => &[],
        (P::Starting, P::Previewing) => &[Moment::AfterStart],
        (P::Starting | P::Previewing, P::Arming | P::Shifting) => {
            &[Moment::AfterStart, Moment::BeforeSwitch]
        }
        (P::Baking, P::Draining) if whole => &[Moment::BeforeDrain],
        (P::Draining, P::HandingOver | P::Stopping | P::Promoted) if whole => &[Moment::AfterDrain],
        _ => &[],
    }
}

/// The phase to which a step takes the rollout further.
fn forward_to(step: &Step) -> Option<Phase> {
    let to = match step {
        Step::Enter(to, _) | Step::Turn(_, to, _) | Step::Home(_, to, _) => *to,
        Step::Share(..) => Phase::Shifting,
        _ => return None,
    };
    let back = [
        Phase::RollingBack,
        Phase::DrainingCandidate,
        Phase::StoppingCandidate,
        Phase::Aborted,
        Phase::Stuck,
    ];
    (!back.contains(&to)).then_some(to)
}
