//! All tests of one rollout together, and what they come to: worse, not worse, or open.
//!
//! Errors and latencies are one claim ("no worse than stable"), so their e-values are averaged: half of
//! the stake is on errors, the other half is spread over the thresholds. The limits that were set for the
//! candidate alone are claims of their own, each with the whole `alpha`.

use model::{Counted, Threshold, Tick};
use serde::{Deserialize, Serialize};

use super::above::Above;
use super::block::{Arm, Block};
use super::clean::clean_units;
use super::guard::Guard;
use super::nats::{Nats, log_mean};
use super::not_worse::NotWorse;
use super::worse::Worse;

/// Errors that are expected of a release of which nothing is known, and how firmly (units).
const ERRORS: (f64, u64) = (0.001, 500);
/// How firmly stable's earlier latencies are believed, units.
const LATENCY_WEIGHT: u64 = 500;
/// The candidate counts as not worse when its odds of an event are shown to be below so many times those
/// of stable.
const MARGIN: f64 = 2.0;
/// Of latencies that at least so many in a hundred of stable's requests exceed, it must be shown that the
/// candidate is not worse; rarer ones would take longer than anybody waits.
const SHOWN_PERCENT: u64 = 5;
/// Fewer errors than this, of each release, are no incident.
const LEAST: u64 = 3;
/// What share of the requests may be slower than the limit of the 99th percentile.
const P99: f64 = 0.01;

/// By which rules is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// The chance that a candidate that is not worse is ever found worse, in basis points.
    pub alpha_bp: u16,
    /// Share of its units that may fail, in basis points; 0 and 10 000 set no limit.
    pub max_error_share_bp: u16,
    /// Whether latencies are compared.
    pub latency: bool,
    /// The 99th percentile of the candidate may be this, us.
    pub p99_us: Option<u64>,
    /// Whether a step ends as soon as the candidate is shown not to be worse.
    pub early: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { alpha_bp: 100, max_error_share_bp: 100, latency: true, p99_us: None, early: false }
    }
}

/// What was found so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The candidate is worse, in words.
    Worse(String),
    /// It is over a limit that was set for it alone, in words.
    Over(String),
    /// It is not worse by more than a margin, in words.
    NotWorse(String),
    /// Neither is shown.
    Open,
}

/// A latency by which releases are compared, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Slow {
    threshold: Threshold,
    worse: Worse,
    not_worse: NotWorse,
}

/// Both releases of a rollout, compared tick by tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    rules: Rules,
    errors: Worse,
    not_worse: NotWorse,
    slow: Vec<Slow>,
    /// The highest value of errors and latencies together so far.
    peak: Nats,
    failing: Option<Above>,
    /// The limit of the 99th percentile is the last of the thresholds counted.
    late: Option<Above>,
    /// Units and errors so far, of ticks in which both had some.
    candidate: Arm,
    stable: Arm,
    /// Units and errors of the candidate in all ticks.
    whole: Arm,
    guard: Guard,
}

impl Comparison {
    /// Begins. The thresholds are those that every tick counts by, in this order; where the rules limit
    /// the 99th percentile, a count beyond that limit follows them.
    pub fn new(rules: Rules, thresholds: &[Threshold]) -> Self {
        let slow = |threshold: &Threshold| Slow {
            threshold: *threshold,
            worse: Worse::expecting(rate(*threshold), LATENCY_WEIGHT),
            not_worse: NotWorse::than(MARGIN),
        };
        Self {
            rules,
            errors: Worse::expecting(ERRORS.0, ERRORS.1),
            not_worse: NotWorse::than(MARGIN),
            slow: if rules.latency { thresholds.iter().map(slow).collect() } else { Vec::new() },
            peak: Nats::ZERO,
            failing: failing(rules),
            late: rules.p99_us.map(|_| Above::share(P99)),
            candidate: Arm::default(),
            stable: Arm::default(),
            whole: Arm::default(),
            guard: Guard::default(),
        }
    }

    /// Takes a tick.
    pub fn add(&mut self, tick: &Tick) {
        let block = block(tick, |counted| Some(counted.errors));
        self.errors.add(block);
        self.not_worse.add(block);
        for (at, slow) in self.slow.iter_mut().enumerate() {
            let block = self::block(tick, |counted| counted.slow.get(at).copied());
            slow.worse.add(block);
            slow.not_worse.add(block);
        }
        if let Some(failing) = &mut self.failing {
            failing.add(block.candidate);
        }
        if let Some(late) = &mut self.late {
            let slow = tick.candidate.slow.last().copied().unwrap_or_default();
            late.add(Arm::new(tick.candidate.units, slow));
        }
        self.whole.add(block.candidate);
        self.guard.add(block);
        if self.both_suffer().is_some() {
            // A limit of the candidate alone counts anew: what hits both says nothing of it.
            self.failing = failing(self.rules);
        }
        if block.compares() {
            self.candidate.add(block.candidate);
            self.stable.add(block.stable);
            self.peak = Nats::new(self.peak.get().max(self.log_e()));
        }
    }

    /// The latencies by which is compared, in the order in which ticks count them.
    pub fn thresholds(&self) -> impl Iterator<Item = Threshold> {
        self.slow.iter().map(|slow| slow.threshold)
    }

    /// The logarithm of the e-value of "worse in errors or latencies" now, nats.
    pub fn log_e(&self) -> f64 {
        let errors = self.errors.log_e();
        let slow: Vec<f64> = self.slow.iter().map(|slow| slow.worse.log_e()).collect();
        if slow.is_empty() { errors } else { log_mean(&[errors, log_mean(&slow)]) }
    }

    /// The chance that a candidate that is not worse ever looks as bad as this one did. It may be looked
    /// at after every tick, and only falls.
    pub fn p(&self) -> f64 {
        (-self.peak.get()).exp().min(1.0)
    }

    /// What was found so far. Once found worse it stays so.
    pub fn finding(&self) -> Finding {
        let enough = -self.alpha().ln();
        if self.peak.get() >= enough {
            return Finding::Worse(self.worse_words());
        }
        if self.failing.as_ref().is_some_and(|above| above.log_e() >= enough) {
            let Arm { units, events } = self.whole;
            let limit = f64::from(self.rules.max_error_share_bp) / 100.0;
            return Finding::Over(format!(
                "more than {limit} % of its users' requests fail ({events} of {units})"
            ));
        }
        if let Some(late) = &self.late
            && late.log_e() >= enough
        {
            let limit = milliseconds(self.rules.p99_us.unwrap_or_default());
            return Finding::Over(format!("more than 1 % of its answers take over {limit}"));
        }
        if self.is_shown_not_worse() {
            return Finding::NotWorse(format!(
                "not worse than stable by a factor of {MARGIN}: {}",
                self.counts()
            ));
        }
        Finding::Open
    }

    /// Both releases lately, candidate first, if both fail more than the candidate may.
    pub fn both_suffer(&self) -> Option<(Arm, Arm)> {
        self.guard.suffer(LEAST, self.rules.max_error_share_bp)
    }

    /// True when stable's users lately failed much as the candidate's did, more than those may.
    pub fn alike(&self) -> bool {
        self.guard.alike(self.rules.max_error_share_bp)
    }

    /// Units compared so far, of the candidate and of stable, and the errors among them.
    pub const fn compared(&self) -> (Arm, Arm) {
        (self.candidate, self.stable)
    }

    fn alpha(&self) -> f64 {
        f64::from(self.rules.alpha_bp.clamp(1, 9_999)) / 10_000.0
    }

    /// Two ways lead there, so each has half of `alpha`; and all that must be shown is shown by itself.
    fn is_shown_not_worse(&self) -> bool {
        let half = self.alpha() / 2.0;
        let enough = -half.ln();
        let share = f64::from(self.rules.max_error_share_bp) / 10_000.0;
        let none = self.candidate.events + self.stable.events == 0;
        let clean = none && self.candidate.units >= clean_units(share, half);
        let common = |slow: &&Slow| slow.threshold.slow * 100 >= slow.threshold.of * SHOWN_PERCENT;
        (clean || self.not_worse.log_e() >= enough)
            && self.slow.iter().filter(common).all(|slow| slow.not_worse.log_e() >= enough)
    }

    fn worse_words(&self) -> String {
        let worst = self.slow.iter().max_by(|a, b| a.worse.log_e().total_cmp(&b.worse.log_e()));
        let what = match worst.filter(|slow| slow.worse.log_e() > self.errors.log_e()) {
            Some(slow) => format!("more answers over {}", milliseconds(slow.threshold.us)),
            None => "more errors".to_owned(),
        };
        format!("{what} than stable at the same time (p = {:.4}): {}", self.p(), self.counts())
    }

    fn counts(&self) -> String {
        let of = |arm: Arm| format!("{} of {}", arm.events, arm.units);
        format!("{} failed, {} of stable", of(self.candidate), of(self.stable))
    }
}

/// The limit of errors, if there is one.
fn failing(rules: Rules) -> Option<Above> {
    let share = f64::from(rules.max_error_share_bp) / 10_000.0;
    (share > 0.0 && share < 1.0).then(|| Above::share(share))
}

/// The share of stable's requests that were slower before.
fn rate(threshold: Threshold) -> f64 {
    threshold.slow as f64 / threshold.of.max(1) as f64
}

/// One kind of event of a tick; empty where it was not counted.
fn block(tick: &Tick, events: impl Fn(&Counted) -> Option<u64>) -> Block {
    let arm = |counted: &Counted| {
        events(counted).map_or_else(Arm::default, |events| Arm::new(counted.units, events))
    };
    Block { candidate: arm(&tick.candidate), stable: arm(&tick.stable) }
}

/// "12.5 ms".
fn milliseconds(us: u64) -> String {
    let tenths = us.div_ceil(100);
    if tenths.is_multiple_of(10) {
        format!("{} ms", tenths / 10)
    } else {
        format!("{}.{} ms", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use model::{Counted, Threshold, Tick};

    use super::{Comparison, Finding, Rules};

    fn counted(units: u64, errors: u64, slow: &[u64]) -> Counted {
        Counted { units, errors, slow: slow.to_vec() }
    }

    fn tick(candidate: (u64, u64), stable: (u64, u64)) -> Tick {
        Tick {
            candidate: counted(candidate.0, candidate.1, &[]),
            stable: counted(stable.0, stable.1, &[]),
        }
    }

    fn after(rules: Rules, ticks: usize, tick: &Tick) -> Comparison {
        let mut comparison = Comparison::new(rules, &[]);
        for _ in 0..ticks {
            comparison.add(tick);
        }
        comparison
    }

    #[test]
    fn more_errors_than_stable_are_worse_and_stay_so() {
        let rules = Rules { max_error_share_bp: 0, ..Rules::default() };
        let mut comparison = after(rules, 3, &tick((10, 2), (90, 0)));
        let Finding::Worse(why) = comparison.finding() else { panic!("{comparison:?}") };
        assert!(why.starts_with("more errors than stable at the same time (p = 0.00"), "{why}");
        assert!(why.ends_with("6 of 30 failed, 0 of 270 of stable"), "{why}");
        let p = comparison.p();
        for _ in 0..500 {
            comparison.add(&tick((10, 0), (90, 5)));
        }
        assert!(matches!(comparison.finding(), Finding::Worse(_)));
        assert!(comparison.log_e() < 0.0 && (comparison.p() - p).abs() < 1e-15, "p never rises");
    }

    #[test]
    fn equal_releases_are_found_equal_by_and_by() {
        let comparison = after(Rules::default(), 2, &tick((50, 0), (50, 0)));
        assert_eq!(comparison.finding(), Finding::Open);
        // Nothing fails: 528 units are enough at half of 1 %.
        let clean = after(Rules::default(), 11, &tick((50, 0), (50, 0)));
        assert!(matches!(clean.finding(), Finding::NotWorse(_)));
        let some = after(Rules::default(), 200, &tick((500, 1), (500, 1)));
        assert!(matches!(some.finding(), Finding::NotWorse(_)), "{some:?}");
    }

    #[test]
    fn slower_answers_are_worse_and_name_their_threshold() {
        let threshold = Threshold { us: 12_500, slow: 100, of: 2_000 };
        let mut comparison = Comparison::new(Rules::default(), &[threshold]);
        for _ in 0..10 {
            let (candidate, stable) = (counted(10, 0, &[5]), counted(90, 0, &[4]));
            comparison.add(&Tick { candidate, stable });
        }
        let Finding::Worse(why) = comparison.finding() else { panic!("{comparison:?}") };
        assert!(why.starts_with("more answers over 12.5 ms than stable"), "{why}");
    }

    #[test]
    fn limits_of_the_candidate_alone() {
        let failing = after(Rules::default(), 4, &tick((50, 4), (0, 0)));
        let Finding::Over(why) = failing.finding() else { panic!("{failing:?}") };
        assert!(why.starts_with("more than 1 % of its users' requests fail"), "{why}");
        let rules = Rules { p99_us: Some(300_000), ..Rules::default() };
        let mut late = Comparison::new(rules, &[]);
        for _ in 0..4 {
            late.add(&Tick { candidate: counted(50, 0, &[4]), stable: Counted::default() });
        }
        let Finding::Over(why) = late.finding() else { panic!("{late:?}") };
        assert_eq!(why, "more than 1 % of its answers take over 300 ms");
    }

    #[test]
    fn both_suffer_when_both_are_over_the_limit() {
        let incident = after(Rules::default(), 5, &tick((20, 2), (200, 20)));
        assert!(incident.both_suffer().is_some());
        let alone = after(Rules::default(), 5, &tick((20, 2), (200, 0)));
        assert!(alone.both_suffer().is_none());
    }

    #[test]
    fn it_comes_back_from_the_journal_as_it_was() {
        let comparison = after(Rules::default(), 7, &tick((13, 1), (90, 2)));
        let json = serde_json::to_string(&comparison).unwrap();
        let back: Comparison = serde_json::from_str(&json).unwrap();
        assert_eq!(back, comparison);
    }
}
