//! When each phase is given up. Every phase that is not final has a deadline.
//!
//! Deadlines count on while the controller is dead, but one that passed meanwhile leaves it
//! [`LOOK_MS`] to look at the world first: what it wanted may have come true while nobody looked.

use model::Phase;

use crate::awaited;
use crate::course::{self, judged_ms};
use crate::hooked;
use crate::incident::{self, CALM_MS};
use crate::measure;
use crate::metric::Metric;
use crate::state::State;
use crate::untold;
use crate::waiting::waits;
use crate::words::duration;

/// Time for a new look after the controller came back, ms.
pub(crate) const LOOK_MS: u64 = 5_000;

/// Longest bake of a first deploy, ms.
const FIRST_BAKE_MS: u64 = 2_000;

/// When the bake is over if nothing holds it.
fn planned_end_ms(state: &State) -> u64 {
    let bake = judged_ms(&state.start, state.share());
    let bake = if state.start.stable.is_some() { bake } else { bake.min(FIRST_BAKE_MS) };
    state.since_ms.saturating_add(bake.max(1))
}

/// When the bake is long enough; it lasts on while both releases suffer, until what is to be measured was, and
/// the last one until all that users' requests showed in it is told.
pub(crate) fn bake_end_ms(state: &State) -> u64 {
    let end = planned_end_ms(state);
    let patience = measure::patience_ms(state);
    // Nobody measured while the controller was dead. One that dies again and again does not keep the
    // candidate at its share for ever.
    let looked = state.facts.again_ms.filter(|_| patience > 0 && state.start.settings.rules >= 4);
    let measured = looked.map_or(0, |at| at.saturating_add(patience));
    let end = end.saturating_add(patience).max(measured).max(incident::held_until_ms(state));
    let end = state.facts.hurried_ms.map_or(end, |at| at.min(end));
    untold::end_ms(state, end)
}

/// What holds the bake although its time is over, in words; `None` while nothing does.
pub(crate) fn held_by(state: &State) -> Option<String> {
    let now_ms = state.now_ms;
    let over = now_ms >= planned_end_ms(state) && now_ms < bake_end_ms(state);
    if state.phase != Phase::Baking || waits(state).is_some() || !over {
        return None;
    }
    if incident::held(state) {
        return Some(format!("until both versions have been well for {}", duration(CALM_MS)));
    }
    let words = |metric: &Metric| format!("until {} is measured within its limit", metric.name);
    let measured = measure::unmeasured(state).map(|(metric, _)| words(metric));
    Some(measured.unwrap_or_else(|| untold::AWAITED.to_owned()))
}

/// How long an abort that is not pressing waits for stable to be whole; then some of it is enough. By earlier rules only
/// one that an operator asked for did.
pub(crate) fn gathering_end_ms(state: &State) -> Option<u64> {
    let beside = state.facts.roll.is_none() && course::hold(&state.start).is_none();
    let back = state.phase == Phase::RollingBack && !state.facts.returned;
    let waits = back && beside && state.stable_serves();
    let half = state.start.settings.rollback_deadline_ms / 2;
    let asked = state.facts.wished_back_ms.is_some() || state.start.settings.rules >= 7;
    (waits && asked).then(|| state.since_ms.saturating_add(half))
}

/// How long the present phase may last, ms from `since_ms` (or from the end of the drain).
pub(crate) fn allowed_ms(state: &State) -> Option<u64> {
    let settings = &state.start.settings;
    let ms = match state.phase {
        Phase::Starting => settings.ready_deadline_ms,
        Phase::Previewing => settings.preview_deadline_ms,
        Phase::Arming => settings.arm_deadline_ms,
        Phase::Shifting | Phase::Baking => settings.shift_deadline_ms,
        Phase::HandingOver => settings.handover_deadline_ms,
        Phase::Stopping | Phase::StoppingCandidate => settings.stop_deadline_ms,
        Phase::RollingBack => settings.rollback_deadline_ms,
        Phase::DrainingCandidate if state.drained().is_some() => settings.handover_deadline_ms,
        Phase::Draining | Phase::DrainingCandidate => settings.drain_deadline_ms,
        Phase::Promoted | Phase::Aborted | Phase::Stuck => return None,
    };
    Some(ms.min(held_ms(state).unwrap_or(ms)).max(1))
}

/// "30 s", the time the present phase was allowed.
pub(crate) fn allowed(state: &State) -> String {
    duration(allowed_ms(state).unwrap_or_default())
}

/// What the longest wait of held requests leaves of the present phase, ms.
fn held_ms(state: &State) -> Option<u64> {
    let hold = course::hold(&state.start)?;
    let begun = state.has_entered(Phase::Draining);
    match state.phase {
        Phase::Starting if begun => Some(hold.wait_ms / 2),
        Phase::HandingOver => Some(hold.wait_ms / 8),
        Phase::Previewing | Phase::Draining | Phase::DrainingCandidate => Some(hold.wait_ms / 4),
        _ => None,
    }
}

/// When the present phase is given up.
fn deadline_ms(state: &State) -> Option<u64> {
    let looked = state.facts.resumed_ms.map_or(0, |at| at.saturating_add(LOOK_MS));
    if let Some(pause) = waits(state) {
        // A person has that time from the moment on in which nothing happens for them.
        let from = pause.at_ms.max(state.since_ms);
        let deadline = from.saturating_add(state.start.settings.pause_deadline_ms.max(1));
        return Some(deadline.max(looked));
    }
    if let Some(until) = hooked::until_ms(state).or_else(|| awaited::until_ms(state)) {
        return Some(until);
    }
    let from = match (state.phase, state.drained()) {
        (Phase::Baking, _) => bake_end_ms(state),
        (Phase::DrainingCandidate, Some(drained)) => drained.at_ms,
        (Phase::Draining | Phase::DrainingCandidate, None) => drain_from_ms(state),
        _ => state.since_ms,
    };
    let from = from.max(state.facts.went_on_ms.unwrap_or(0));
    let deadline = from.saturating_add(allowed_ms(state)?);
    Some(deadline.max(looked))
}

/// Since when what leaves may have had nothing new, ms: while the controller was dead it may have been in the
/// routes, and requests that came then have the same time as others. A recreation cuts nothing of stable at the deadline,
/// and others wait meanwhile.
fn drain_from_ms(state: &State) -> u64 {
    let cuts = state.phase == Phase::DrainingCandidate || course::hold(&state.start).is_none();
    let again = state.facts.again_ms.filter(|_| cuts && state.start.settings.rules >= 4);
    state.since_ms.max(again.unwrap_or(0))
}

/// When the present phase ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Then, ms since the rollout began. A bake may be held longer; while it is, this is the longest that it may be.
    pub at_ms: u64,
    /// If nothing speaks against it, the rollout then goes on; else the phase is given up then.
    pub goes_on: bool,
}

/// When the present phase ends by time alone; `None` once the rollout is over.
pub(crate) fn due(state: &State) -> Option<Due> {
    let baked = bake_end_ms(state);
    if state.phase == Phase::Baking && waits(state).is_none() && state.now_ms < baked {
        let planned = planned_end_ms(state).min(baked);
        let at_ms = if state.now_ms < planned { planned } else { baked };
        return Some(Due { at_ms, goes_on: true });
    }
    deadline_ms(state).map(|at_ms| Due { at_ms, goes_on: false })
}

/// True when the present phase must be left now.
pub(crate) fn overdue(state: &State) -> bool {
    deadline_ms(state).is_some_and(|deadline| state.now_ms >= deadline)
}

/// When the machine wants to be advanced even if nothing happens.
pub(crate) fn wake_ms(state: &State) -> Option<u64> {
    let deadline = deadline_ms(state)?;
    let bakes = (state.phase == Phase::Baking).then(|| bake_end_ms(state));
    let others =
        [bakes, gathering_end_ms(state), hooked::until_ms(state), incident::resumes_ms(state)];
    let earlier = others.into_iter().flatten().filter(|at| state.now_ms < *at).min();
    Some(earlier.map_or(deadline, |at| at.min(deadline)))
}
