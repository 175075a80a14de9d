//! All tests of one rollout together, and what they come to: worse, not worse, or open.
//!
//! Errors and latencies are one claim ("no worse than stable"), so their e-values are averaged: half of
//! the stake is on errors, the other half is spread over the thresholds. The limits that were set for the
//! candidate alone are claims of their own, each with the whole `alpha`; where nothing is compared, they are
//! all there is. What was found is worded in `said`, and what is done about it is not decided here.

mod said;

use model::{Counted, Threshold, Tick};
use serde::{Deserialize, Serialize};

use super::above::Above;
use super::block::{Arm, Block};
use super::clean::clean_units;
use super::guard::Guard;
use super::joined::Joined;
use super::nats::{Nats, log_mean};
use super::not_worse::NotWorse;
use super::worse::Worse;

/// Errors that are expected of a release of which nothing is known, and how firmly (units).
const ERRORS: (f64, u64) = (0.001, 500);
/// How firmly stable's earlier latencies are believed, units.
const LATENCY_WEIGHT: u64 = 500;
/// The candidate counts as not worse when its odds of an event are shown to be below so many times those
/// of stable.
pub const MARGIN: f64 = 2.0;
/// Of latencies that at least so many in a hundred of stable's requests exceed, it must be shown that the
/// candidate is not worse; rarer ones would take longer than anybody waits.
const SHOWN_PERCENT: u64 = 5;
/// Fewer errors than this, of each release, are no incident.
const LEAST: u64 = 3;
/// What share of the requests may be slower than the limit of the 99th percentile.
const P99: f64 = 0.01;
/// The same, basis points.
const P99_BP: u16 = 100;

/// By which rules is judged.
#[expect(clippy::struct_excessive_bools, reason = "rules that do not depend on each other")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// The chance that a candidate that is not worse is ever found worse, in basis points; each limit has as
    /// much.
    pub alpha_bp: u16,
    /// Whether the candidate is compared with stable; otherwise only its limits are judged. Older journals
    /// compare.
    pub compare: bool,
    /// Share of its units that may fail, in basis points; 0 and 10 000 set no limit.
    pub max_error_share_bp: u16,
    /// Whether latencies are compared.
    pub latency: bool,
    /// The 99th percentile of the candidate may be this, us.
    pub p99_us: Option<u64>,
    /// Whether a step ends as soon as the candidate is shown not to be worse.
    pub early: bool,
    /// What is counted comes from a router's counters: every request, also those of the prober. Older journals know
    /// of single requests alone.
    pub counters: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            alpha_bp: 100,
            compare: true,
            max_error_share_bp: 100,
            latency: true,
            p99_us: None,
            early: false,
            counters: false,
        }
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
    /// The same of answers beyond the limit of the 99th percentile.
    #[serde(default)]
    slow_guard: Guard,
    /// What waits for a unit of the other release.
    #[serde(default)]
    joined: Joined,
    /// Not so in journals of the machine's rules before 7.
    #[serde(default)]
    rules_7: bool,
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
            slow: if rules.compare && rules.latency {
                thresholds.iter().map(slow).collect()
            } else {
                Vec::new()
            },
            peak: Nats::ZERO,
            failing: failing(rules),
            late: late(rules),
            candidate: Arm::default(),
            stable: Arm::default(),
            whole: Arm::default(),
            guard: Guard::default(),
            slow_guard: Guard::default(),
            joined: Joined::default(),
            rules_7: true,
        }
    }

    /// The same by these rules of the machine, by which its journal was begun.
    #[must_use]
    pub const fn by_rules(mut self, machine: u32) -> Self {
        self.rules_7 = machine >= 7;
        self
    }

    /// Takes a tick.
    pub fn add(&mut self, tick: &Tick) {
        if !self.rules_7 {
            self.compare(tick);
        } else if let Some(whole) = self.joined.add(tick) {
            self.compare(&whole);
        }
        let block = block(tick, |counted| Some(counted.errors));
        if let Some(failing) = &mut self.failing {
            failing.add(block.candidate);
        }
        if let Some(late) = &mut self.late {
            let slow = self::block(tick, |it| Some(it.slow.last().copied().unwrap_or_default()));
            late.add(slow.candidate);
            self.slow_guard.add(slow, self.rules_7);
        }
        self.whole.add(block.candidate);
        self.guard.add(block, self.rules_7);
        if self.both_suffer().is_some() {
            // A limit of the candidate alone counts anew: what hits both says nothing of it.
            self.failing = failing(self.rules);
        }
        if self.both_late().is_some() {
            self.late = late(self.rules);
        }
    }

    /// Takes a tick, or several that were joined, in which both have units.
    fn compare(&mut self, tick: &Tick) {
        let block = block(tick, |counted| Some(counted.errors));
        if self.rules.compare {
            self.errors.add(block);
            self.not_worse.add(block);
        }
        for (at, slow) in self.slow.iter_mut().enumerate() {
            let block = self::block(tick, |counted| counted.slow.get(at).copied());
            slow.worse.add(block);
            slow.not_worse.add(block);
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
        if self.peak.get() >= self.enough() {
            return Finding::Worse(self.worse_words());
        }
        if let Some(why) = self.fails().or_else(|| self.is_late()) {
            return Finding::Over(why);
        }
        self.shown()
            .map_or(Finding::Open, |shown| Finding::NotWorse(format!("{shown}: {}", self.counts())))
    }

    /// That the candidate is over its limit of errors, in words.
    pub(crate) fn fails(&self) -> Option<String> {
        let above = self.failing.as_ref()?;
        (above.log_e() >= self.enough()).then(|| self.failing_words())
    }

    /// That it is over its limit of the 99th percentile, in words.
    pub(crate) fn is_late(&self) -> Option<String> {
        let above = self.late.as_ref()?;
        (above.log_e() >= self.enough()).then(|| self.late_words())
    }

    /// Both releases lately, candidate first, if more answers of both are beyond the limit of the 99th percentile
    /// than those of the candidate may be.
    pub fn both_late(&self) -> Option<(Arm, Arm)> {
        self.slow_guard.suffer(LEAST, P99_BP).filter(|_| self.rules_7)
    }

    /// True when stable's answers lately were beyond that limit much as the candidate's were.
    pub(crate) fn late_alike(&self) -> bool {
        self.slow_guard.alike(P99_BP)
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

    /// Units of the candidate so far, also of ticks in which stable had none, and the errors among them.
    pub const fn counted(&self) -> Arm {
        self.whole
    }

    fn enough(&self) -> f64 {
        -self.alpha().ln()
    }

    fn alpha(&self) -> f64 {
        f64::from(self.rules.alpha_bp.clamp(1, 9_999)) / 10_000.0
    }

    /// True when the candidate's odds of an error are shown to be below [`MARGIN`] times those of stable.
    fn errs_no_more(&self) -> bool {
        self.not_worse.log_e() >= self.enough_shown()
    }

    /// True when nothing failed, and so many were asked that a share of errors at its limit is ruled out. Of
    /// a factor that says nothing.
    fn is_clean(&self) -> bool {
        let bp = self.rules.max_error_share_bp;
        let limit = (1..10_000).contains(&bp).then(|| f64::from(bp) / 10_000.0);
        let none = self.candidate.events + self.stable.events == 0;
        none && limit
            .is_some_and(|limit| self.candidate.units >= clean_units(limit, self.alpha() / 2.0))
    }

    /// The latencies of which it must be shown that the candidate does not exceed them more often.
    fn common(&self) -> impl Iterator<Item = &Slow> {
        let often = |slow: &&Slow| slow.threshold.slow * 100 >= slow.threshold.of * SHOWN_PERCENT;
        self.slow.iter().filter(often)
    }

    /// True when latencies are to be compared, and too little was known of stable's to say by which: then nothing is
    /// shown of them.
    const fn knows_no_latency(&self) -> bool {
        self.rules_7 && self.rules.compare && self.rules.latency && self.slow.is_empty()
    }

    /// Two ways lead to what is shown of errors, so each has half of `alpha`; and all that must be shown is
    /// shown by itself.
    fn is_shown_not_worse(&self) -> bool {
        let enough = self.enough_shown();
        self.rules.compare
            && !self.knows_no_latency()
            && (self.is_clean() || self.errs_no_more())
            && self.common().all(|slow| slow.not_worse.log_e() >= enough)
    }

    fn enough_shown(&self) -> f64 {
        -(self.alpha() / 2.0).ln()
    }
}

/// The limit of errors, if there is one.
fn failing(rules: Rules) -> Option<Above> {
    let share = f64::from(rules.max_error_share_bp) / 10_000.0;
    (share > 0.0 && share < 1.0).then(|| Above::share(share))
}

/// The limit of the 99th percentile, if there is one.
fn late(rules: Rules) -> Option<Above> {
    rules.p99_us.map(|_| Above::share(P99))
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
        let rules = Rules { latency: false, ..Rules::default() };
        let comparison = after(rules, 2, &tick((50, 0), (50, 0)));
        assert_eq!(comparison.finding(), Finding::Open);
        // Nothing fails: 528 units are enough at half of 1 %.
        let clean = after(rules, 11, &tick((50, 0), (50, 0)));
        let shown = |comparison: &Comparison| match comparison.finding() {
            Finding::NotWorse(words) => words,
            _ => panic!("{comparison:?}"),
        };
        // That says nothing of a factor.
        let words = "fewer than 1 % of its requests fail (alpha = 0.01): 0 of 550 failed, 0 of 550 of stable";
        assert_eq!(shown(&clean), words);
        let some = after(rules, 200, &tick((500, 1), (500, 1)));
        let words = "its odds of an error are below 2 times stable's (alpha = 0.01): 200 of 100000 \
                     failed, 200 of 100000 of stable";
        assert_eq!(shown(&some), words);
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
    fn what_is_shown_of_latencies_names_them() {
        let common = [(1_500, 1_000), (12_000, 200), (40_000, 20)];
        let thresholds = common.map(|(us, slow)| Threshold { us, slow, of: 2_000 });
        let mut comparison = Comparison::new(Rules::default(), &thresholds);
        for _ in 0..60 {
            let both = || counted(50, 0, &[25, 5, 0]);
            comparison.add(&Tick { candidate: both(), stable: both() });
        }
        let Finding::NotWorse(why) = comparison.finding() else { panic!("{comparison:?}") };
        // The rarest need not be shown.
        let words = "fewer than 1 % of its requests fail, its odds of an answer over 1.5 ms and over 12 \
                     ms are below 2 times stable's (alpha = 0.01): 0 of 3000 failed, 0 of 3000 of stable";
        assert_eq!(why, words);
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
    fn where_nothing_is_compared_only_the_limits_hold() {
        let rules = Rules { compare: false, early: true, ..Rules::default() };
        let threshold = Threshold { us: 12_500, slow: 100, of: 2_000 };
        assert_eq!(Comparison::new(rules, &[threshold]).thresholds().count(), 0);
        // Worse than stable, and within its limit.
        let lax = Rules { max_error_share_bp: 2_000, ..rules };
        let worse = after(lax, 60, &tick((50, 5), (50, 0)));
        assert_eq!((worse.finding(), worse.log_e()), (Finding::Open, 0.0));
        assert_eq!(after(rules, 60, &tick((50, 0), (50, 0))).finding(), Finding::Open);
        assert!(matches!(after(rules, 4, &tick((50, 4), (0, 0))).finding(), Finding::Over(_)));
        assert!(after(rules, 5, &tick((20, 2), (200, 20))).both_suffer().is_some());
    }

    #[test]
    fn without_a_limit_of_errors_no_clean_run_shows_anything() {
        for max_error_share_bp in [0, 10_000] {
            let rules = Rules { max_error_share_bp, ..Rules::default() };
            let clean = after(rules, 100, &tick((50, 0), (50, 0)));
            assert_eq!(clean.finding(), Finding::Open, "{max_error_share_bp}");
        }
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
