//! The way to the candidate: when each phase up to the promotion is left, and for which.
//!
//! Looks at the state only; `machine` makes the step. What is undone is `back`'s.

use model::Phase;

use crate::deadline::{bake_end_ms, overdue};
use crate::leave::{drain_words, drained, handed_over, stopped};
use crate::state::State;
use crate::step::{Step, allowed, undo};
use crate::target::settled;
use crate::words::{count, duration, with_lines};

pub(crate) fn starting(state: &State) -> Option<Step> {
    let version = &state.candidate().version;
    let limit =
        u32::from(state.instances()).saturating_mul(state.start.settings.max_crashes_starting);
    if state.candidate_is_ready() {
        return Some(after_starting(state, state.readiness()));
    }
    if state.facts.crashes > limit {
        let crashes = count(state.facts.crashes.into(), "time");
        let why = format!("{version} ended by itself {crashes} while it was being started");
        return Some(undo(state, with_lines(why, state.trouble_lines())));
    }
    overdue(state).then(|| {
        let why =
            format!("{version} was not ready within {}: {}", allowed(state), state.readiness());
        undo(state, with_lines(why, state.trouble_lines()))
    })
}

fn after_starting(state: &State, why: String) -> Step {
    if state.start.settings.preview_requests > 0 {
        return Step::Enter(Phase::Previewing, why);
    }
    after_preview(state, why)
}

fn after_preview(state: &State, why: String) -> Step {
    let next = if state.watched() { Phase::Arming } else { Phase::Shifting };
    Step::Enter(next, why)
}

/// A candidate that was ready and no longer runs as it should, before users are on it.
fn lost_before_users(state: &State) -> Option<Step> {
    let version = &state.candidate().version;
    let why = if state.facts.crashes > state.facts.crashes_before {
        format!("an instance of {version} ended by itself before any user was on it")
    } else if state.seen.candidate.ready() == Some(0) {
        format!("no instance of {version} is ready any more; no user was on it")
    } else {
        return None;
    };
    Some(undo(state, with_lines(why, state.trouble_lines())))
}

pub(crate) fn previewing(state: &State) -> Option<Step> {
    let wanted = u64::from(state.start.settings.preview_requests);
    let asked = state.seen.preview.as_ref().map_or(0, |preview| preview.tally.all());
    if let Some(preview) = &state.seen.preview {
        let errors = preview.tally.errors();
        if errors > 0 {
            let direct = count(asked, "direct request");
            let why = format!("{errors} of {direct} failed before any user met them");
            return Some(undo(state, with_lines(why, &preview.failures)));
        }
    }
    if let Some(step) = lost_before_users(state) {
        return Some(step);
    }
    if asked >= wanted && state.candidate_is_ready() {
        let why = format!("{} answered without an error", count(asked, "direct request"));
        return Some(after_preview(state, why));
    }
    overdue(state).then(|| {
        let (limit, ready) = (allowed(state), state.readiness());
        let why = format!("{asked} of {wanted} direct requests answered within {limit}; {ready}");
        undo(state, with_lines(why, state.trouble_lines()))
    })
}

pub(crate) fn arming(state: &State) -> Option<Step> {
    if let Some(step) = lost_before_users(state) {
        return Some(step);
    }
    let late = overdue(state);
    let why = if state.seen.armed {
        "the prober is armed".to_owned()
    } else if state.facts.prober_lost {
        "the prober was lost: switching without it".to_owned()
    } else if late {
        format!("the prober was not armed within {}: switching all the same", allowed(state))
    } else {
        return None;
    };
    if state.candidate_is_ready() {
        return Some(Step::Enter(Phase::Shifting, why));
    }
    late.then(|| undo(state, with_lines(state.readiness(), state.trouble_lines())))
}

/// What speaks against the candidate while it serves.
fn trouble(state: &State) -> Option<String> {
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
    state.facts.judged.against(&state.start.settings, version.as_str())
}

/// True when going back would not help: stable is not known to serve. The candidate then stays, for as
/// long as its phase may last: never back to nothing.
fn nothing_to_return_to(state: &State) -> bool {
    state.start.stable.is_some() && !state.stable_serves()
}

pub(crate) fn shifting(state: &State) -> Option<Step> {
    if let Some(why) = trouble(state).filter(|_| !nothing_to_return_to(state)) {
        return Some(undo(state, why));
    }
    let version = &state.candidate().version;
    let settled = settled(state);
    if settled && !state.watched() {
        return Some(Step::Enter(
            Phase::Baking,
            format!("the router sends everything to {version}"),
        ));
    }
    if settled && state.seen.candidate_answered {
        let why =
            format!("the router sends everything to {version}, and the prober sees its answers");
        return Some(Step::Enter(Phase::Baking, why));
    }
    overdue(state).then(|| {
        let missing = if settled {
            format!("the prober saw no good answer of {version}")
        } else {
            format!("the router was not seen to send everything to {version}")
        };
        undo(state, format!("{missing} within {}", allowed(state)))
    })
}

pub(crate) fn baking(state: &State) -> Option<Step> {
    if let Some(why) = trouble(state) {
        let stay = nothing_to_return_to(state) && !overdue(state);
        return (!stay).then(|| undo(state, why));
    }
    if state.now_ms < bake_end_ms(state) {
        return None;
    }
    let version = &state.candidate().version;
    if settled(state) && state.candidate_is_ready() {
        let baked = duration(state.elapsed_ms());
        let why = format!("{version} served for {baked} without a reason to go back");
        let next = if state.start.stable.is_some() { Phase::Draining } else { Phase::Promoted };
        return Some(Step::Enter(next, why));
    }
    overdue(state).then(|| {
        let routes =
            if settled(state) { "the routes are right" } else { "the routes are not known" };
        let (ready, limit) = (state.readiness(), allowed(state));
        undo(
            state,
            format!("{limit} after the bake it is still not safe to go on: {ready}, {routes}"),
        )
    })
}

/// Version of the release that is left behind.
fn stable_version(state: &State) -> &str {
    state.start.stable.as_ref().map_or("", |stable| stable.version.as_str())
}

pub(crate) fn draining(state: &State) -> Option<Step> {
    let version = stable_version(state);
    let open = state.seen.stable.open;
    let Some(end) = state.facts.drained else {
        // The candidate must be able to carry on alone before anything of stable is told to end.
        if let Some(end) = drained(state, open).filter(|_| state.candidate_serves()) {
            return Some(Step::Drained(end));
        }
        return overdue(state).then(|| {
            let missing = if settled(state) {
                format!("no instance of {} is ready", state.candidate().version)
            } else {
                format!("the router was not seen to send nothing new to {version}")
            };
            let why = format!("{missing} within {}; {version} is left running", allowed(state));
            Step::Enter(Phase::Stuck, why)
        });
    };
    let words = drain_words(state, version, end);
    Some(match open {
        Some(open) if open.none() => {
            Step::Enter(Phase::Stopping, format!("{words}, and no tunnel"))
        }
        Some(open) if open.tunnels > 0 => {
            let tunnels = count(open.tunnels, "tunnel");
            Step::Enter(Phase::HandingOver, format!("{words}; {tunnels} to hand over"))
        }
        _ => Step::Enter(Phase::HandingOver, words),
    })
}

pub(crate) fn handing_over(state: &State) -> Option<Step> {
    let version = stable_version(state);
    handed_over(state, state.seen.stable.open, state.seen.stable.existing(), version)
        .map(|why| Step::Enter(Phase::Stopping, why))
}

pub(crate) fn stopping(state: &State) -> Option<Step> {
    let (candidate, version) = (&state.candidate().version, stable_version(state));
    let why = stopped(state, state.seen.stable.existing(), version)?;
    Some(Step::Enter(Phase::Promoted, format!("{candidate} is stable now; {why}")))
}
