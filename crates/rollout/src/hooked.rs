//! Which hooks there are, which have ended, and how long the one that is being called may take.
//!
//! Looks at the state only; what a hook holds, and what follows from its end, is `hooks`'.

use model::{Hook, Moment, Phase};

use crate::course;
use crate::settings::Start;
use crate::state::State;

/// How much longer than its own time a hook is waited for, ms: whoever calls it says when that is over.
const SLACK_MS: u64 = 10_000;

/// Controllers that may die while a hook is called: what ends each of them may be the hook. After so many in
/// one phase nothing that is waited for has its time again either.
pub(crate) const MOST_LIVES: u32 = 5;

/// A moment, and of which step it is if it is one of steps.
pub(crate) type Due = (Moment, Option<u16>);

/// The hooks of a rollout, given those of its app: what is called at each step stands there once for each,
/// with a name of its own, and what is called at a step that does not come is left out.
pub fn hooks_of_steps(start: &Start, hooks: Vec<Hook>) -> Vec<Hook> {
    let steps = course::steps(start);
    let of_steps = |hook: Hook| match (hook.moment.is_of_steps(), hook.step) {
        (false, _) => vec![hook],
        (true, Some(step)) => (step <= steps).then_some(hook).into_iter().collect(),
        (true, None) => (1..=steps)
            .map(|step| Hook {
                name: format!("{}/{step}", hook.name),
                step: Some(step),
                ..hook.clone()
            })
            .collect(),
    };
    hooks.into_iter().flat_map(of_steps).collect()
}

/// The hook that is to be called now.
pub(crate) fn wanted(state: &State) -> Option<String> {
    state.facts.hooking.as_ref().map(|hooking| hooking.name.clone())
}

/// True while nothing of the candidate may be started. What was kept running goes on.
pub(crate) fn hold_the_start(state: &State) -> bool {
    let first = state.phase == Phase::Starting && state.entered.len() == 1;
    first && !state.start.settings.warm && next_of(state, (Moment::BeforeStart, None)).is_some()
}

/// When the hook that is being called is given up; `None` where nobody waits for it.
pub(crate) fn until_ms(state: &State) -> Option<u64> {
    let hooking = state.facts.hooking.as_ref().filter(|_| !state.phase.is_final())?;
    let from = hooking.since_ms.max(state.facts.resumed_ms.unwrap_or(0));
    let limit = named(state, &hooking.name).map_or(0, Hook::limit_ms);
    Some(from.saturating_add(limit).saturating_add(SLACK_MS))
}

/// The first hook of a moment that has not ended.
pub(crate) fn next_of(state: &State, due: Due) -> Option<&Hook> {
    let mut hooks = state.start.settings.hooks.iter();
    let waits = |hook: &Hook| !state.facts.hooked.contains(&hook.name);
    hooks.find(|hook| (hook.moment, hook.step) == due && waits(hook))
}

/// A hook of this rollout.
pub(crate) fn named<'a>(state: &'a State, name: &str) -> Option<&'a Hook> {
    state.start.settings.hooks.iter().find(|hook| hook.name == name)
}
