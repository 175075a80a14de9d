//! What measured metrics mean for a step: undo, pause, wait, or nothing.
//!
//! Beyond its limit once is not enough where more times in a row were asked for; then the step waits for
//! the next measurement.

use model::{Measured, Phase};

use crate::metric::{Gauge, Metric, Unmeasured};
use crate::pause::Cause;
use crate::state::State;
use crate::step::Step;
use crate::words::count;

/// Those that are to be measured now; none on a first deploy, which has nothing to go back to.
pub(crate) fn wanted(state: &State) -> impl Iterator<Item = &Metric> {
    let share = state.share();
    let trial = state.phase == Phase::Baking && state.judging();
    let now = trial && state.start.stable.is_some();
    let metrics = state.start.settings.metrics.iter().filter(move |_| now);
    metrics.filter(move |metric| metric.at.is_empty() || metric.at.contains(&share))
}

/// Remembers a measurement. One that could not be made for the last time that it may fail is a pause.
pub(crate) fn hear(state: &mut State, name: &str, found: Measured, words: &str) -> Option<Step> {
    let metric = wanted(state).find(|metric| metric.name == name)?.clone();
    let before = state.facts.gauges.get(name).filter(|gauge| gauge.found == found);
    let times = before.map_or(0, |gauge| gauge.times).saturating_add(1);
    let gauge = Gauge { found, times, words: words.to_owned() };
    if found == Measured::Unknown && times == 1 {
        state.note(words.to_owned());
    }
    state.facts.gauges.insert(name.to_owned(), gauge);
    let asks = metric.unmeasured == Unmeasured::Pause && state.facts.pause.is_none();
    let why = unknown(state, &metric).filter(|_| asks && !passed(state))?;
    Some(Step::Pause(Cause::Unmeasured, why))
}

/// A person looked at this step already, or wants no further pauses.
fn passed(state: &State) -> bool {
    state.facts.full_ms.is_some() || state.facts.passed.contains(&state.share())
}

fn gauge<'a>(state: &'a State, metric: &Metric) -> Option<&'a Gauge> {
    state.facts.gauges.get(&metric.name)
}

/// So many measurements in a row found this.
fn in_a_row<'a>(state: &'a State, metric: &Metric, found: Measured) -> Option<&'a Gauge> {
    gauge(state, metric).filter(|it| it.found == found && it.times >= metric.failures.max(1))
}

/// Why it counts as one that cannot be measured.
fn unknown(state: &State, metric: &Metric) -> Option<String> {
    let gauge = in_a_row(state, metric, Measured::Unknown)?;
    let times = count(gauge.times.into(), "time");
    Some(format!("{} could not be measured ({times} in a row): {}", metric.name, gauge.words))
}

/// Why the candidate must go.
pub(crate) fn against(state: &State) -> Option<String> {
    let beyond = |metric: &Metric| {
        let gauge = in_a_row(state, metric, Measured::Beyond)?;
        let times = count(gauge.times.into(), "time");
        Some(format!("{} is beyond its limit ({times} in a row): {}", metric.name, gauge.words))
    };
    let lost =
        |metric: &Metric| unknown(state, metric).filter(|_| metric.unmeasured == Unmeasured::Abort);
    wanted(state).find_map(beyond).or_else(|| wanted(state).find_map(lost))
}

/// True when what was found last lets the step end.
fn settled(state: &State, metric: &Metric) -> bool {
    match gauge(state, metric).map(|gauge| gauge.found) {
        Some(Measured::Within) => true,
        Some(Measured::Beyond) => passed(state),
        Some(Measured::Unknown) | None => metric.unmeasured == Unmeasured::Ignore || passed(state),
    }
}

/// How much longer than its time the present step may last for what is not yet measured, ms.
pub(crate) fn patience_ms(state: &State) -> u64 {
    let open = wanted(state).filter(|metric| !settled(state, metric));
    open.map(|metric| metric.patience_ms).max().unwrap_or(0)
}

/// The first metric of which nothing is known though the step's time is over, and why that matters.
pub(crate) fn unmeasured(state: &State) -> Option<(&Metric, String)> {
    let open = wanted(state).find(|metric| !settled(state, metric))?;
    let why = match gauge(state, open) {
        Some(gauge) => format!("{} does not keep its limit: {}", open.name, gauge.words),
        None => format!("{} was not measured in time", open.name),
    };
    Some((open, why))
}

/// "; checkout is 0.2, at most 0.5".
pub(crate) fn so_far(state: &State) -> String {
    let words = wanted(state).filter_map(|metric| gauge(state, metric));
    words.fold(String::new(), |text, gauge| text + "; " + &gauge.words)
}
