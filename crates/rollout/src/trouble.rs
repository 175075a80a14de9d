//! What speaks against the candidate, before and after users are on it.
//!
//! Words only: what follows from them is decided by the phases.

use model::Phase;

use crate::compare;
use crate::course;
use crate::deadline::bake_end_ms;
use crate::incident;
use crate::measure;
use crate::state::State;
use crate::words::{count, with_lines};

/// A candidate that was ready and no longer runs as it should, before users are on it.
pub(crate) fn lost_before_users(state: &State) -> Option<String> {
    let version = &state.candidate().version;
    let why = if state.facts.crashes > state.facts.crashes_before {
        format!("an instance of {version} ended by itself before any user was on it")
    } else if state.seen.candidate.ready() == Some(0) {
        format!("no instance of {version} is ready any more; no user was on it")
    } else {
        return None;
    };
    Some(with_lines(why, state.trouble_lines()))
}

/// What speaks against the candidate while it serves.
pub(crate) fn trouble(state: &State) -> Option<String> {
    if let Some(why) = fallen(state).or_else(|| compare::against(state)) {
        return Some(why);
    }
    if incident::held(state) {
        return None;
    }
    measure::against(state).or_else(|| fails(state))
}

/// True when users suffer from the candidate: an instance fell, or their requests fail. Whoever is taken back for another
/// reason (a metric, a hook, nobody who came) is served well meanwhile.
pub(crate) fn presses(state: &State) -> bool {
    let fails = || !incident::held(state) && fails(state).is_some();
    fallen(state).is_some() || compare::against(state).is_some() || fails()
}

/// An instance ended by itself, or none is ready.
fn fallen(state: &State) -> Option<String> {
    let version = &state.candidate().version;
    let crashes = state.facts.crashes.saturating_sub(state.facts.crashes_before);
    if crashes > 0 {
        let times = count(crashes.into(), "time");
        let why = format!("an instance of {version} ended by itself {times} since it was ready");
        return Some(with_lines(why, state.trouble_lines()));
    }
    if state.seen.candidate.ready() == Some(0) {
        let why = format!("no instance of {version} is ready any more");
        return Some(with_lines(why, state.trouble_lines()));
    }
    None
}

/// Requests of the prober fail.
fn fails(state: &State) -> Option<String> {
    let version = &state.candidate().version;
    if compare::alike(state) {
        return None;
    }
    let (facts, settings) = (&state.facts, &state.start.settings);
    let alpha = chance(state);
    let all =
        facts.judged.against(settings, &format!("the switch to {version}"), alpha.map(|it| it.0));
    let step = alpha.map(|it| it.1);
    let since = format!("{version} got its present share");
    all.or_else(|| facts.judged_step.against(settings, &since, step))
}

/// How often a candidate that just keeps the limit may be taken back by chance, for all that was seen
/// and for this step alone: half of `alpha` is for the whole, the other half for all steps, of which the
/// k-th has 1/(k(k+1)). `None` where the share is taken as it is: the step's time is over.
fn chance(state: &State) -> Option<(f64, f64)> {
    let over = state.phase == Phase::Baking && state.now_ms >= bake_end_ms(state);
    if over || state.start.settings.rules < 4 {
        return None;
    }
    let rules = state.start.settings.analysis.map(|analysis| analysis.rules).unwrap_or_default();
    let half = f64::from(rules.alpha_bp.clamp(1, 9_999)) / 20_000.0;
    let step = state.switches().max(1) as f64;
    Some((half, half / (step * (step + 1.0))))
}

/// True when going back would not help: stable is not known to serve. The candidate then stays, for as
/// long as its phase may last: never back to nothing. A rolling replacement goes back in batches, each
/// of which looks at what serves; a recreation starts stable again.
pub(crate) fn nothing_to_return_to(state: &State) -> bool {
    let beside = state.facts.roll.is_none() && course::hold(&state.start).is_none();
    state.start.stable.is_some() && beside && !state.stable_serves()
}
