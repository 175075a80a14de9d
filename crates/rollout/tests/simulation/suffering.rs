//! What hits both releases at once, and what is measured beside requests: drawn from its own stream, so
//! that the worlds without it stay what they were.
//!
//! What the machine must do then is judged in `main`.

use model::{Counted, Counters, Event, Measured, Tick, Weight};
use rollout::analysis::Rules;
use rollout::{Analysis, Inconclusive, Metric, OnIncident, Settings, Strategy, Unmeasured};

use crate::plan::{CANDIDATE, STABLE};
use crate::rng::Rng;

/// In most rolling replacements that users judge, the versions are compared, too. It is drawn last, so that the
/// others stay what they were.
fn compare_batches(settings: &mut Settings, rng: &mut Rng) {
    let rolling = matches!(settings.strategy, Strategy::Rolling { .. });
    let Some(analysis) = settings.analysis.as_mut().filter(|_| rolling) else { return };
    if !rng.chance(60) {
        return;
    }
    let told = !analysis.rules.counters;
    let early = rng.chance(30) && told;
    analysis.rules = Rules { compare: true, latency: false, early, ..analysis.rules };
    analysis.inconclusive = match rng.between(0, 9) {
        0 if told => Inconclusive::Abort,
        1..=2 if told => Inconclusive::Pause,
        _ => Inconclusive::Promote,
    };
}

/// What goes wrong beside the candidate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suffering {
    /// From when until when every request fails, whoever answers it, ms.
    pub incident: Option<(u64, u64)>,
    /// Of 100 measurements, so many are beyond the limit, and so many bring nothing.
    pub beyond: u64,
    pub unknown: u64,
}

impl Suffering {
    pub(crate) fn draw(settings: &mut Settings, rng: &mut Rng) -> Self {
        settings.incident = match rng.between(0, 2) {
            0 => OnIncident::Pause,
            1 => OnIncident::Resume,
            _ => OnIncident::Hold,
        };
        if matches!(settings.strategy, Strategy::Canary { .. }) && rng.chance(50) {
            let rules = Rules { latency: false, early: rng.chance(30), ..Rules::default() };
            let inconclusive = match rng.between(0, 9) {
                0 => Inconclusive::Abort,
                1..=3 => Inconclusive::Pause,
                _ => Inconclusive::Promote,
            };
            settings.analysis = Some(Analysis { rules, inconclusive, ..Analysis::default() });
        } else if rng.chance(50) {
            let rules = Rules { compare: false, ..Rules::default() };
            settings.analysis = Some(Analysis { rules, ..Analysis::default() });
        }
        let mut suffering = Self::default();
        if rng.chance(30) {
            let (from, lasts) = (rng.between(2, 25) * 1_000, rng.between(1, 15) * 1_000);
            suffering.incident = Some((from, from + lasts));
        }
        if rng.chance(30) {
            let unmeasured = match rng.between(0, 2) {
                0 => Unmeasured::Pause,
                1 => Unmeasured::Abort,
                _ => Unmeasured::Ignore,
            };
            let failures = u32::try_from(rng.between(1, 3)).unwrap();
            let name = "queue".to_owned();
            let at = Vec::new();
            settings.metrics = vec![Metric { name, failures, unmeasured, at, patience_ms: 2_000 }];
            suffering.beyond = if rng.chance(30) { rng.between(1, 100) } else { 0 };
            suffering.unknown = if rng.chance(30) { rng.between(1, 100) } else { 0 };
        }
        if let Some(analysis) = settings.analysis.as_mut().filter(|it| !it.rules.compare) {
            analysis.rules.counters = rng.chance(50);
        }
        compare_batches(settings, rng);
        suffering
    }

    /// True while every request fails. It begins with a window of the prober, so that both are in it.
    pub(crate) fn hits(&self, now: u64) -> bool {
        self.incident.is_some_and(|(from, to)| from < now && now <= to)
    }

    /// True when a good candidate is promoted all the same.
    pub(crate) fn spares(&self, settings: &Settings) -> bool {
        let shown = settings.analysis.is_none_or(|it| it.inconclusive == Inconclusive::Promote);
        self.incident.is_none() && self.beyond + self.unknown == 0 && shown
    }

    /// How much longer it may take for all this, where a phase is entered so many times, ms.
    pub(crate) fn bound_ms(&self, settings: &Settings, steps: u64) -> u64 {
        let pauses = 1 + 2 * steps;
        let incident = self.incident.map_or(0, |(_, to)| to + 15_000);
        let patience: u64 = settings.metrics.iter().map(|it| it.patience_ms).sum();
        // The end of the last step waits for what was counted in it, anew after each of five deaths.
        let told = settings.analysis.map_or(0, |_| 6 * 15_000);
        incident + pauses * settings.pause_deadline_ms + steps * patience + told
    }

    /// What a look at what was counted in a second brings, with the counters of a router that has no more, which only
    /// grow.
    pub(crate) fn seen(
        &self,
        now: u64,
        (share, candidate_errors): (Weight, u64),
        counters: Option<&mut Counters>,
    ) -> Event {
        let tick = self.tick(now, share, candidate_errors);
        let Some(counters) = counters else {
            return Event::Units { at_s: 100 + now / 1_000, tick };
        };
        for (release, counted) in [(CANDIDATE, tick.candidate), (STABLE, tick.stable)] {
            let counter = counters.entry(format!("7/{release}")).or_default();
            counter.release = Some(release);
            counter.requests += counted.units;
            counter.failed += counted.errors;
        }
        Event::Counters { counters: counters.clone(), until_ms: now }
    }

    fn tick(&self, now: u64, share: Weight, candidate_errors: u64) -> Tick {
        let candidate = u64::from(share.basis_points()) / 200;
        let failing = if self.hits(now) { 100 } else { candidate_errors };
        let counted =
            |units, percent| Counted { units, errors: units * percent / 100, slow: Vec::new() };
        let stable = if self.hits(now) { 100 } else { 0 };
        Tick { candidate: counted(candidate, failing), stable: counted(50 - candidate, stable) }
    }

    /// What a measurement brings.
    pub(crate) fn measured(&self, metric: String, rng: &mut Rng) -> Event {
        let found = match rng.between(0, 99) {
            n if n < self.beyond => Measured::Beyond,
            n if n < self.beyond + self.unknown => Measured::Unknown,
            _ => Measured::Within,
        };
        Event::Measured { metric, found, words: format!("queue is {found:?}") }
    }
}
