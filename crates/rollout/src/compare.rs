//! What the comparison of candidate and stable means for a step: abort, go on early, hold, or nothing. The limits
//! of the candidate alone are judged in every strategy, by the same counts.
//!
//! The tests themselves are `analysis`; when a step is taken, `forward` decides.

use model::survey::CountBy;
use model::{Counters, Phase, Threshold, Tick, Weight, grown};

use crate::analysis::{Arm, Comparison, Finding};
use crate::comparing::{Analysis, Incident, Inconclusive, OnIncident};
use crate::deadline::bake_end_ms;
use crate::incident::{CALM_MS, held};
use crate::judge::Judged;
use crate::pause::Cause;
use crate::state::State;
use crate::step::Step;
use crate::words::{count, duration};

/// Fewer units than this in a second, of both releases, are few ...
const FEW: u64 = 2;
/// ... when it was so for this long, ms.
const LEAST_MS: u64 = 10_000;

/// The comparison begins, by these latencies: by those that were told last before the candidate was to have
/// a share. Once it was, they stay.
pub(crate) fn begin(state: &mut State, thresholds: &[Threshold]) {
    let wanted = state.start.settings.analysis.filter(|_| state.start.stable.is_some());
    let Some(Analysis { rules, .. }) = wanted else { return };
    let begins = || Comparison::new(rules, thresholds).by_rules(state.start.settings.rules);
    if state.has_entered(Phase::Shifting) {
        state.facts.comparison.get_or_insert_with(begins);
    } else {
        state.facts.comparison = Some(begins());
    }
}

/// What was counted in a tick of users' requests; one that was told before says nothing new.
pub(crate) fn take(state: &mut State, at_s: u64, tick: &Tick) {
    if at_s <= state.facts.compared_s || !state.judging() {
        return;
    }
    state.facts.compared_s = at_s;
    add(state, tick);
}

/// What the router's counters say now: what they have grown by since they were told last is a tick. The first time says
/// from where to count, and times in which the candidate had no request nothing of both.
pub(crate) fn grow(state: &mut State, now: &Counters) {
    let begins = state.facts.counters.is_none();
    let grown = grown(state.facts.counters.get_or_insert_default(), now);
    let stable = state.start.stable.as_ref().map(|stable| stable.id);
    let mut tick = Tick::default();
    for one in grown {
        let counted = match one.release {
            Some(release) if release == state.start.candidate.id => &mut tick.candidate,
            Some(release) if Some(release) == stable => &mut tick.stable,
            _ => continue,
        };
        counted.units = counted.units.saturating_add(one.requests);
        counted.errors = counted.errors.saturating_add(one.failed);
    }
    if !begins && tick.candidate.units > 0 && state.judging() {
        add(state, &tick);
    }
}

fn add(state: &mut State, tick: &Tick) {
    begin(state, &[]);
    if let Some(comparison) = &mut state.facts.comparison {
        comparison.add(tick);
    }
}

/// Remembers an incident that hits both, as long as it goes on; when it begins, the rollout is paused.
pub(crate) fn watch(state: &mut State) -> Option<Step> {
    let words = suffering(state).filter(|_| state.judging())?;
    let now_ms = state.now_ms;
    if let Some(incident) = &mut state.facts.incident
        && now_ms <= incident.to_ms.saturating_add(CALM_MS)
    {
        incident.to_ms = now_ms;
        return None;
    }
    state.facts.incident = Some(Incident { from_ms: now_ms, to_ms: now_ms });
    // The limits count anew: what hits both says nothing of one.
    state.facts.judged = Judged::default();
    state.facts.judged_step = Judged::default();
    let facts = &state.facts;
    // Whoever wanted no further pauses gets none, and what turns back asks nobody.
    let asks = facts.pause.is_none() && facts.full_ms.is_none() && state.turning().is_none();
    if asks && state.start.settings.incident != OnIncident::Hold {
        return Some(Step::Pause(Cause::Incident, words));
    }
    state.note(format!("{words}: the step is held, neither taken further nor undone"));
    None
}

/// A person, or both being well, ended the pause: from now on a step is held for so long at most.
pub(crate) fn looked_at(state: &mut State) {
    let now_ms = state.now_ms;
    if let Some(incident) = &mut state.facts.incident {
        incident.from_ms = now_ms.min(incident.to_ms);
    }
}

/// True when stable lately fails so much like the candidate that it may be an incident that hits both,
/// of which too little was seen yet. When the step's time is over, the candidate is judged all the same.
pub(crate) fn alike(state: &State) -> bool {
    // Of a prober that is lost nothing more is seen.
    let seen = !state.facts.prober_lost || state.start.settings.rules < 4;
    let compared = || state.facts.comparison.as_ref().is_some_and(Comparison::alike);
    waits(state) && (seen && state.facts.lately.alike(&state.start.settings) || compared())
}

/// The same of slow answers.
fn late_alike(state: &State) -> bool {
    if state.start.settings.rules < 7 {
        return alike(state);
    }
    waits(state) && state.facts.comparison.as_ref().is_some_and(Comparison::late_alike)
}

/// True while a limit of the candidate alone may wait for more to be seen of stable.
fn waits(state: &State) -> bool {
    let trial = !alone(state) && state.start.settings.rules >= 3;
    trial && state.now_ms < bake_end_ms(state)
}

/// True when nothing is heard of stable that could be compared. The last batch of a rolling replacement
/// still answered what is told right after it began to leave.
fn alone(state: &State) -> bool {
    let answered = state.facts.roll.is_some() && !state.seen.window_ended;
    state.share() == Weight::ALL && !(answered && state.start.settings.rules >= 4)
}

/// Both releases fail more than the candidate may, in words.
fn suffering(state: &State) -> Option<String> {
    let (facts, settings) = (&state.facts, &state.start.settings);
    if alone(state) {
        return None;
    }
    let stable = state.start.stable.as_ref()?.version.as_str();
    let candidate = state.candidate().version.as_str();
    if let Some((new, old)) = facts.comparison.as_ref().and_then(Comparison::both_suffer) {
        return Some(format!(
            "both suffer: {} of {} of {candidate} failed and {} of {} of {stable}",
            new.events, new.units, old.events, old.units
        ));
    }
    let slow = |it: &Comparison| it.both_late_words((candidate, stable));
    if let Some(words) = facts.comparison.as_ref().and_then(slow) {
        return Some(format!("both suffer: {words}"));
    }
    // What it saw last stays what it saw last, however long that is ago.
    let of_now = !facts.prober_lost || settings.rules < 4;
    (of_now && facts.lately.both_over(settings)).then(|| {
        format!("both suffer: answers of {candidate} and of {stable} fail, as the prober sees it")
    })
}

/// Why the candidate must go.
pub(crate) fn against(state: &State) -> Option<String> {
    let (version, comparison) = (&state.candidate().version, state.facts.comparison.as_ref()?);
    if let Finding::Worse(why) = comparison.finding() {
        return Some(format!("{version} is worse: {why}"));
    }
    if held(state) {
        return None;
    }
    let fails = comparison.fails().filter(|_| !alike(state));
    let why = fails.or_else(|| comparison.is_late().filter(|_| !late_alike(state)))?;
    Some(format!("{version} is over a limit: {why}"))
}

/// Why the step may end before its time.
pub(crate) fn early(state: &State) -> Option<String> {
    let rules = state.start.settings.analysis?.rules;
    if !rules.early || state.share() == Weight::ALL || held(state) {
        return None;
    }
    match state.facts.comparison.as_ref()?.finding() {
        Finding::NotWorse(why) => Some(why),
        _ => None,
    }
}

/// Why a step whose time is over does not simply go on: nothing was shown, and that is not enough.
pub(crate) fn unshown(state: &State) -> Option<(Inconclusive, String)> {
    let policy = state.start.settings.analysis?.inconclusive;
    let looked = state.facts.full_ms.is_some() || state.facts.passed.contains(&state.share());
    let looked = looked && policy == Inconclusive::Pause;
    // Whom a rule names may be few, or nobody.
    let alone = [Weight::NONE, Weight::ALL].contains(&state.share());
    if policy == Inconclusive::Promote || looked || alone {
        return None;
    }
    let open = state.facts.comparison.as_ref().is_none_or(|it| it.finding() == Finding::Open);
    open.then(|| {
        let (version, baked) = (&state.candidate().version, duration(state.elapsed_ms()));
        let why =
            format!("after {baked} it is not shown that {version} is no worse{}", so_far(state));
        (policy, why)
    })
}

/// That hardly any request is counted of many that users may send, and what to do about it.
pub(crate) fn few(state: &State) -> Option<String> {
    let by_client = |it: &Analysis| it.rules.compare && it.count_by == CountBy::Client;
    state.start.settings.analysis.as_ref().filter(|it| by_client(it))?;
    let mut shares = state.facts.shares.iter().map(|share| (share.share, share.at_ms));
    let (_, begun) = shares.find(|(share, _)| *share > Weight::NONE)?;
    if [Weight::NONE, Weight::ALL].contains(&state.share()) {
        return None;
    }
    let (candidate, stable) = state.facts.comparison.as_ref()?.compared();
    let (units, ms) = (candidate.units + stable.units, state.now_ms.saturating_sub(begun));
    let few = ms >= LEAST_MS && units * 1_000 < FEW * ms && state.start.settings.rules >= 7;
    few.then(|| {
        let (units, time) = (count(units, "request"), duration(ms));
        format!(
            "only {units} counted in {time}, of each address one a second: if more come, your users come from few \
             addresses: set `trusted`, or `count_by`"
        )
    })
}

/// "; compared: 1 of 560 failed, 9 of 5040 of stable (p = 0.2130)"; where nothing is compared, "; of its
/// users' requests 1 of 560 failed".
pub(crate) fn so_far(state: &State) -> String {
    let Some(comparison) = &state.facts.comparison else { return String::new() };
    if !state.start.settings.analysis.is_some_and(|analysis| analysis.rules.compare) {
        let Arm { units, events } = comparison.counted();
        let whose = comparison.whose();
        let words = || format!("; of {whose} {events} of {units} failed");
        return if units == 0 { String::new() } else { words() };
    }
    let unknown = comparison.unknown_words("stable");
    let said = |words: Option<String>| words.map_or_else(String::new, |words| format!("; {words}"));
    let unknown = said(unknown) + &said(few(state));
    let (candidate, stable) = comparison.compared();
    if candidate.units == 0 {
        return unknown;
    }
    format!(
        "; compared: {} of {} failed, {} of {} of stable (p = {:.4}){unknown}",
        candidate.events,
        candidate.units,
        stable.events,
        stable.units,
        comparison.p()
    )
}
