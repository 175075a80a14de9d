//! Is the candidate worse? The block e-process with a mixture of odds ratios.
//!
//! For each tick and each odds ratio of [`ODDS`] the likelihood of what both releases had, were the
//! candidate's odds that much higher, is divided by the likelihood were they the same. The rate of
//! stable that this needs is taken from *earlier* ticks, so the factor is a bet made beforehand: its
//! expectation is at most 1 whatever the common rate of this tick is, and less where the candidate is
//! better. For errors and for answers slower than a threshold alike.
//!
//! It does not say what a large value means for a rollout.

use serde::{Deserialize, Serialize};

use super::block::{Arm, Block};
use super::nats::{Nats, log_mean};

/// How many times higher the candidate's odds may be; all are bet on with equal weight.
pub const ODDS: [f64; 8] = [1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

/// No rate is taken to be nearer than this to nothing or to everything.
const MARGIN: f64 = 1e-6;

/// The evidence so far that events come more often to the candidate than to stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worse {
    logs: [Nats; ODDS.len()],
    /// What is expected of stable before anything was seen, as if seen in so many units.
    expected: Nats,
    weight: u64,
    stable: Arm,
}

impl Worse {
    /// Begins at 1. `rate` is the share of stable's units that are expected to be events, and counts
    /// like as many as `weight` units; what is expected changes the power and never the guarantee.
    pub const fn expecting(rate: f64, weight: u64) -> Self {
        Self {
            logs: [Nats::ZERO; ODDS.len()],
            expected: Nats::new(rate),
            weight,
            stable: Arm::new(0, 0),
        }
    }

    /// Takes a tick. One in which a release had no unit says nothing: `joined` gives it company before.
    pub fn add(&mut self, block: Block) {
        if block.compares() {
            let rate = self.rate();
            for (log, odds) in self.logs.iter_mut().zip(ODDS) {
                *log = Nats::new(log.get() + factor(block, rate, odds));
            }
        }
        self.stable.add(block.stable);
    }

    /// The logarithm of the e-value now, nats.
    pub fn log_e(&self) -> f64 {
        log_mean(&self.logs.map(Nats::get))
    }

    /// The rate of stable, as far as it was known before this tick.
    fn rate(&self) -> f64 {
        let weight = self.weight as f64;
        let events = self.expected.get().mul_add(weight, self.stable.events as f64);
        (events / (self.stable.units as f64 + weight)).clamp(MARGIN, 1.0 - MARGIN)
    }
}

/// The logarithm of what a tick multiplies the e-value by, were the candidate's odds so many times those
/// of stable, whose rate is `rate`.
fn factor(Block { candidate, stable }: Block, rate: f64, odds: f64) -> f64 {
    let raised = odds * rate / (1.0 - rate + odds * rate);
    let (n_c, n_b) = (candidate.units as f64, stable.units as f64);
    let common = (n_c * raised + n_b * rate) / (n_c + n_b);
    let part = |arm: Arm, rate: f64| {
        let good = arm.good() as f64 * ((1.0 - rate) / (1.0 - common)).ln();
        if arm.events == 0 { good } else { good + arm.events as f64 * (rate / common).ln() }
    };
    part(candidate, raised) + part(stable, rate)
}

#[cfg(test)]
mod tests {
    use super::super::block::Block;
    use super::{Worse, factor};

    /// Units and events of the candidate and of stable, and the e-process after them.
    type Known = ((u64, u64), (u64, u64), f64);

    fn follows(mut worse: Worse, ticks: &[Known]) {
        for (candidate, stable, wanted) in ticks.iter().copied() {
            worse.add(Block::new(candidate, stable));
            assert!((worse.log_e() - wanted).abs() < 1e-11, "{} {wanted}", worse.log_e());
        }
    }

    #[test]
    fn known_answers_at_one_in_a_thousand() {
        follows(
            Worse::expecting(0.001, 500),
            &[
                ((10, 0), (90, 0), -0.000_512_490_382),
                ((10, 1), (90, 0), 1.126_399_029_214),
                ((10, 2), (90, 1), 3.470_614_450_256),
                ((10, 3), (90, 0), 9.143_298_188_346),
            ],
        );
    }

    #[test]
    fn known_answers_of_equal_releases() {
        let wanted = [
            -0.356_640_873_770,
            -0.535_317_390_573,
            -0.648_833_952_687,
            -0.732_244_945_944,
            -0.798_534_568_947,
        ];
        let ticks = wanted.map(|wanted| ((100, 1), (100, 1), wanted));
        follows(Worse::expecting(0.001, 500), &ticks);
    }

    #[test]
    fn known_answers_at_one_percent() {
        let first = ((50, 5), (950, 9), 4.961_810_031_935);
        let second = ((50, 6), (950, 11), 12.312_841_219_513);
        follows(Worse::expecting(0.01, 1_000), &[first, second]);
    }

    /// Errors of the candidate alone that are needed, where stable has none; rare events and many units,
    /// so that the values of the sharpest odds tell.
    #[test]
    fn few_errors_of_a_small_share_are_enough() {
        for (share, wanted) in [(50, [6, 9, 12]), (10, [2, 3, 4]), (5, [2, 3, 3])] {
            let needed = [0.05_f64, 0.01, 0.001].map(|alpha| {
                let mut worse = Worse::expecting(0.000_001, 500);
                let mut errors = 0;
                while worse.log_e() < -alpha.ln() {
                    worse.add(Block::new((share, 1), (100 - share, 0)));
                    errors += 1;
                }
                errors
            });
            for (needed, wanted) in needed.into_iter().zip(wanted) {
                // Of odds without a bound; ours end at 30.
                assert!((wanted..=wanted + 1).contains(&needed), "{share} %: {needed} {wanted}");
            }
        }
    }

    /// The expectation of the factor is at most 1 for every common rate, by adding up all outcomes.
    #[test]
    fn no_bet_has_more_than_it_pays_for() {
        let (n_c, n_b) = (6_u64, 9_u64);
        let choose =
            |n: u64, k: u64| (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product::<f64>();
        for rate in [0.0001, 0.01, 0.3, 0.9] {
            for odds in super::ODDS {
                for truth in [0.0001, 0.02, 0.25, 0.5, 0.97] {
                    let chance = |n: u64, k: u64| {
                        let power = |base: f64, n: u64| base.powi(i32::try_from(n).unwrap());
                        choose(n, k) * power(truth, k) * power(1.0 - truth, n - k)
                    };
                    let mut mean = 0.0;
                    for k_c in 0..=n_c {
                        for k_b in 0..=n_b {
                            let e = factor(Block::new((n_c, k_c), (n_b, k_b)), rate, odds).exp();
                            mean += chance(n_c, k_c) * chance(n_b, k_b) * e;
                        }
                    }
                    assert!(mean <= 1.0 + 1e-9, "{rate} {odds} {truth}: {mean}");
                }
            }
        }
    }

    #[test]
    fn a_tick_in_which_one_release_had_nobody_says_nothing() {
        let mut worse = Worse::expecting(0.001, 500);
        worse.add(Block::new((50, 50), (0, 0)));
        worse.add(Block::new((0, 0), (50, 0)));
        assert!(worse.log_e().abs() < 1e-15);
    }

    #[test]
    fn it_comes_back_from_the_journal_as_it_was() {
        let mut worse = Worse::expecting(0.001, 500);
        for n in 0..40 {
            worse.add(Block::new((10 + n, n % 3), (90, n % 2)));
        }
        let json = serde_json::to_string(&worse).unwrap();
        let mut back: Worse = serde_json::from_str(&json).unwrap();
        assert_eq!(back, worse);
        for process in [&mut worse, &mut back] {
            process.add(Block::new((7, 1), (60, 2)));
        }
        assert_eq!(back, worse);
    }
}
