//! The way to the candidate: when each phase up to the promotion is left, and for which.
//!
//! Looks at the state only; `machine` makes the step. What is undone is `back`'s.

use model::{Phase, Weight};

use crate::compare;
use crate::comparing::Inconclusive;
use crate::course;
use crate::covered::{covered, unrouted};
use crate::deadline::{allowed, bake_end_ms, overdue};
use crate::gate::{pass, undo};
use crate::homeward;
use crate::keep;
use crate::leave::{drain_words, drained, handed_over, stopped, with_offenders};
use crate::measure;
use crate::metric::Unmeasured;
use crate::pause::Cause;
use crate::roll::Roll;
use crate::rolling;
use crate::state::State;
use crate::step::Step;
use crate::target::settled;
use crate::trouble::{lost_before_users, nothing_to_return_to, trouble};
use crate::untold;
use crate::words::{count, duration, percent, with_lines};

/// So many of the prober's requests must be expected to meet the candidate before it counts that none did.
const MEETINGS: u128 = 20;

pub(crate) fn starting(state: &State) -> Option<Step> {
    let version = &state.candidate().version;
    let limit = u32::from(state.candidate_wanted())
        .saturating_mul(state.start.settings.max_crashes_starting);
    // Requests wait: there is no time for another try.
    let limit = if course::hold(&state.start).is_some() { 0 } else { limit };
    let had_users = state.has_entered(Phase::Shifting);
    if let Some(why) = trouble(state).filter(|_| had_users && !nothing_to_return_to(state)) {
        return Some(undo(state, why));
    }
    if state.candidate_is_ready() && is_warm(state) {
        let why = format!("it was kept running: {}", state.readiness());
        return pass(state, shift(state, &why));
    }
    if state.candidate_is_ready() {
        return after_starting(state, state.readiness());
    }
    if state.facts.crashes > limit {
        return Some(undo(state, start_words(state)));
    }
    overdue(state).then(|| {
        let why =
            format!("{version} was not ready within {}: {}", allowed(state), state.readiness());
        undo(state, with_lines(why, state.trouble_lines()))
    })
}

/// Why it is not started once more: what ended by itself, and what never ran at all.
fn start_words(state: &State) -> String {
    let (version, lines) = (&state.candidate().version, state.trouble_lines());
    let unstarted = state.seen.candidate.fleet.as_ref().map_or(0, |seen| seen.unstarted);
    let never = unstarted.min(state.facts.crashes);
    let times = |times: u32| count(times.into(), "time");
    let why = match (state.facts.crashes - never, lines) {
        (0, [why, rest @ ..]) => {
            // What is said of the last instance, without its name.
            let why = why.split_once("could not be started: ").map_or(why.as_str(), |(_, why)| why);
            let tried = times(never);
            return with_lines(format!("{version} could not be started ({tried}): {why}"), rest);
        }
        (0, []) => format!("{version} could not be started ({})", times(never)),
        (ended, _) if never == 0 => {
            format!("{version} ended by itself {} while it was being started", times(ended))
        }
        (ended, _) => {
            let (ended, never) = (times(ended), times(never));
            format!("{version} ended by itself {ended}, and could not be started {never}")
        }
    };
    with_lines(why, lines)
}

/// A release that was kept running has its users back at once.
fn is_warm(state: &State) -> bool {
    let beside = state.facts.roll.is_none() && course::hold(&state.start).is_none();
    state.start.settings.warm && state.facts.crashes == 0 && beside
}

/// A later batch of a rolling replacement goes straight to its users: it is what they are on already.
fn after_starting(state: &State, why: String) -> Option<Step> {
    if state.grows() {
        return pass(state, shift(state, &why));
    }
    if state.has_entered(Phase::Shifting) {
        return Some(shift(state, &why));
    }
    if state.start.settings.preview_requests > 0 {
        return Some(Step::Enter(Phase::Previewing, why));
    }
    after_preview(state, why)
}

/// Requests that wait are not kept waiting for a person, who was asked before they had to.
fn after_preview(state: &State, why: String) -> Option<Step> {
    if course::hold(&state.start).is_some() {
        return Some(shift(state, &why));
    }
    let next = shift(state, &why);
    // What the prober holds across the switch is placed once all are there.
    let starts = matches!(next, Step::Enter(Phase::Starting, _));
    let arms = state.watched() && !starts;
    pass(state, if arms { Step::Enter(Phase::Arming, why) } else { next })
}

/// Gives the candidate its next share.
pub(crate) fn shift(state: &State, why: &str) -> Step {
    if let Some(roll) = &state.facts.roll {
        let why = prefixed(Some(batch_words(state, roll)), why);
        return Step::Turn(roll.route(), Phase::Shifting, why);
    }
    let next = state.next_share();
    let crew = state.crew_of_next();
    if course::counted(&state.start) && crew > state.crew() {
        let instances = count(crew.into(), "instance");
        let next = if next == Weight::ALL { "all traffic".to_owned() } else { percent(next) };
        return Step::Enter(Phase::Starting, format!("{instances} for {next}: {why}"));
    }
    Step::Enter(Phase::Shifting, prefixed(step_words(state, next), why))
}

/// What is being judged now, for the reasons; nothing where there is only one share.
fn trial(state: &State) -> Option<String> {
    match &state.facts.roll {
        Some(roll) => Some(batch_words(state, roll)),
        None => step_words(state, state.share()),
    }
}

/// "25 % of requests, step 1 of 3"; a share that an operator asked for is no step.
fn step_words(state: &State, share: Weight) -> Option<String> {
    let shares = course::shares(&state.start);
    let words = match share {
        Weight::NONE => "only whom a rule names".to_owned(),
        share => format!("{} of requests", percent(share)),
    };
    let words = match course::instances(&state.start, share) {
        crew if course::counted(&state.start) => {
            format!("{crew} of {} instances and {words}", state.instances())
        }
        _ => words,
    };
    match shares.iter().position(|step| *step == share) {
        _ if shares.len() < 2 => None,
        Some(step) => Some(format!("{words}, step {} of {}", step + 1, shares.len())),
        None => Some(words),
    }
}

/// "2 of 4 instances"; with more than those, "2 of 4 instances, beside 3 of v1".
fn batch_words(state: &State, roll: &Roll) -> String {
    let words = format!("{} of {} instances", roll.running.candidate, state.instances());
    if roll.running.all() <= state.instances() {
        return words;
    }
    format!("{words}, beside {} of {}", roll.running.stable, stable_version(state))
}

fn prefixed(words: Option<String>, why: &str) -> String {
    words.map_or_else(|| why.to_owned(), |words| format!("{words}: {why}"))
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
    if let Some(why) = lost_before_users(state) {
        return Some(undo(state, why));
    }
    if asked >= wanted && state.candidate_is_ready() {
        let why = format!("{} answered without an error", count(asked, "direct request"));
        return after_preview(state, why);
    }
    overdue(state).then(|| {
        let (limit, ready) = (allowed(state), state.readiness());
        let why = format!("{asked} of {wanted} direct requests answered within {limit}; {ready}");
        undo(state, with_lines(why, state.trouble_lines()))
    })
}

pub(crate) fn arming(state: &State) -> Option<Step> {
    if let Some(why) = lost_before_users(state) {
        return Some(undo(state, why));
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
        return pass(state, shift(state, &why));
    }
    late.then(|| undo(state, with_lines(state.readiness(), state.trouble_lines())))
}

pub(crate) fn shifting(state: &State) -> Option<Step> {
    if let Some(why) = trouble(state).filter(|_| !nothing_to_return_to(state)) {
        return Some(undo(state, why));
    }
    let version = &state.candidate().version;
    let settled = settled(state);
    let (all, unseen) = (state.share() == Weight::ALL, state.share() == Weight::NONE);
    // The prober is nobody whom a rule names.
    let watched = state.watched() && !unseen;
    let met = !watched || state.seen.candidate_answered;
    if settled && (met || hardly_met(state)) {
        let told = match state.share() {
            Weight::NONE => "the router sends them to",
            Weight::ALL => "the router sends everything to",
            _ => "the router sends its share to",
        };
        let seen = match (watched, met) {
            (false, _) => "",
            (true, true) => ", and the prober sees its answers",
            (true, false) => {
                "; the prober hardly ever meets so small a share, and is not waited for"
            }
        };
        let why = prefixed(trial(state), &format!("{told} {version}{seen}"));
        return Some(Step::Enter(Phase::Baking, why));
    }
    overdue(state).then(|| {
        let what = match (all, unseen) {
            (true, _) => "everything",
            (_, true) => "whom a rule names",
            _ => "its share",
        };
        let missing = if settled {
            format!("the prober saw no good answer of {version}")
        } else {
            format!("the router was not seen to send {what} to {version}")
        };
        undo(state, format!("{missing} within {}", allowed(state)))
    })
}

/// True when the prober's requests of the time until the deadline may all miss a healthy candidate of this share, by
/// chance. Half of them are of clients who were there before, and may stay where they are.
fn hardly_met(state: &State) -> bool {
    let settings = &state.start.settings;
    let asked = u128::from(settings.probe_per_minute) * u128::from(settings.shift_deadline_ms);
    let expected = asked * u128::from(state.share().basis_points()) / (60_000 * 10_000);
    asked > 0 && expected < MEETINGS && state.share() < Weight::ALL
}

pub(crate) fn baking(state: &State) -> Option<Step> {
    if let Some(why) = trouble(state) {
        let stay = nothing_to_return_to(state) && !overdue(state);
        return (!stay).then(|| undo(state, why));
    }
    // However early all the rest is shown, what is to be measured in a step is waited for.
    let measured = state.start.settings.rules < 7 || measure::unmeasured(state).is_none();
    let early = compare::early(state).filter(|_| measured);
    if state.now_ms < bake_end_ms(state) && early.is_none() {
        return None;
    }
    // Whoever paused it waits for more, and whoever promotes does not need to be shown.
    let asked = state.facts.pause.is_some() || state.facts.hurried_ms.is_some();
    if let Some(step) = unshown(state).filter(|_| !asked) {
        return Some(step);
    }
    if settled(state)
        && state.candidate_is_ready()
        && let Some(step) = after_baking(state, early)
    {
        return pass(state, step);
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

/// What becomes of a step that ends before it has shown what it was to show.
fn unshown(state: &State) -> Option<Step> {
    if let Some((metric, why)) = measure::unmeasured(state) {
        return Some(match metric.unmeasured {
            Unmeasured::Abort => undo(state, why),
            _ => Step::Pause(Cause::Unmeasured, why),
        });
    }
    let (policy, why) = compare::unshown(state)?;
    Some(match policy {
        Inconclusive::Pause => Step::Pause(Cause::Inconclusive, why),
        _ => undo(state, why),
    })
}

/// The next share, the next batch, or the end of the trial; `None` while nothing can be spared for
/// the next batch.
fn after_baking(state: &State, early: Option<String>) -> Option<Step> {
    let (version, baked) = (&state.candidate().version, duration(state.elapsed_ms()));
    let mut why = match early {
        Some(early) => format!("{version} served for {baked}, and it is shown that {early}"),
        None => format!(
            "{version} served for {baked} without a reason to go back{}{}{}",
            compare::so_far(state),
            measure::so_far(state),
            untold::words(state)
        ),
    };
    let nameless = state.facts.judged_step.shared.errors();
    if nameless > 0 {
        let failures = count(nameless, "failure");
        why = format!("{why}; {failures} without a version not counted");
    }
    if let Some(roll) = &state.facts.roll {
        if roll.running.stable == 0 {
            return Some(Step::Enter(Phase::Promoted, why));
        }
        return rolling::make_room(state, roll, why);
    }
    if state.share() < Weight::ALL {
        return Some(shift(state, &why));
    }
    let leaves = state.start.stable.is_some() && course::hold(&state.start).is_none();
    let next = if leaves { Phase::Draining } else { Phase::Promoted };
    Some(Step::Enter(next, why))
}

/// Version of the release that is left behind.
fn stable_version(state: &State) -> &str {
    state.start.stable.as_ref().map_or("", |stable| stable.version.as_str())
}

pub(crate) fn draining(state: &State) -> Option<Step> {
    let version = stable_version(state);
    let open = state.seen.stable.open;
    if let Some(step) = keep::makes_way(state) {
        return Some(step);
    }
    let Some(end) = state.facts.drained else {
        // The candidate must be able to carry on alone before anything of stable is told to end.
        if let Some(end) = drained(state, open).filter(|_| state.candidate_serves()) {
            return Some(Step::Drained(end));
        }
        return left_running(state, unsettled(state));
    };
    if course::keeps(&state.start) {
        return Some(keep::drained(state, version, end));
    }
    // A hook may have lasted since, or nobody looked, or somebody else changed the routes.
    if state.start.settings.rules >= 4 && !(state.candidate_serves() && settled(state)) {
        return left_running(state, unsettled(state));
    }
    let words = drain_words(state, version, end);
    Some(match open {
        Some(open) if open.none() => {
            Step::Enter(Phase::Stopping, format!("{words}, and no tunnel"))
        }
        Some(open) if open.tunnels > 0 => {
            let tunnels = count(open.tunnels, "tunnel");
            let why = format!("{words}; {tunnels} to hand over");
            Step::Enter(Phase::HandingOver, with_offenders(state, end, why))
        }
        _ => Step::Enter(Phase::HandingOver, with_offenders(state, end, words)),
    })
}

pub(crate) fn handing_over(state: &State) -> Option<Step> {
    if course::keeps(&state.start) {
        return keep::makes_way(state).or_else(|| keep::handing_over(state));
    }
    let version = stable_version(state);
    let why = handed_over(state, state.seen.stable.open, state.seen.stable.existing(), version)?;
    if covered(state) {
        return Some(Step::Enter(Phase::Stopping, why));
    }
    left_running(state, unsettled(state).filter(|_| !unrouted(state)))
}

/// What is missing while the router was not last seen to send stable nothing new.
fn unsettled(state: &State) -> Option<String> {
    let missing =
        || format!("the router was not seen to send nothing new to {}", stable_version(state));
    (!settled(state)).then(missing)
}

/// Stable is never told to end where that is not safe: once the time is over, somebody must look. What
/// is missing is a candidate that serves, unless said otherwise.
fn left_running(state: &State, missing: Option<String>) -> Option<Step> {
    overdue(state).then(|| {
        let nobody = || format!("no instance of {} is ready", state.candidate().version);
        let missing = missing.unwrap_or_else(nobody);
        let (limit, version) = (allowed(state), stable_version(state));
        let why = format!("{missing} within {limit}; {version} is left running");
        Step::Enter(Phase::Stuck, why)
    })
}

pub(crate) fn stopping(state: &State) -> Option<Step> {
    let why = stopped(state, state.seen.stable.existing(), stable_version(state))?;
    Some(homeward::set_out(state, &why))
}
