//! What the prober's rate, a share and a limit can find in a given time. Arithmetic only.
//!
//! Errors come by chance here (Poisson); the rule they must break is the rollout machine's.

use model::{Counted, Tick};
use rollout::analysis::{Comparison, Finding, Rules};

use super::planned::{Compared, Finds};

/// The rule by which errors abort a rollout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// As many errors at least ...
    pub(super) max_errors: u32,
    /// ... and more than this share of the attempts, basis points.
    pub(super) max_share: u16,
}

/// What is found in `ms` by `rate` attempts a second, of which the candidate gets `share` basis points.
pub(super) fn finds(rate: f64, share: u16, ms: u64, rule: Rule) -> Finds {
    let per_second = rate * f64::from(share) / 10_000.0;
    let answers = per_second * ms as f64 / 1000.0;
    let needed = f64::from(rule.max_errors.max(1));
    // More than a share of them, too.
    let by_share = (answers * f64::from(rule.max_share) / 10_000.0).floor() + 1.0;
    let floor = mean_that_gives(needed.max(by_share)) / answers;
    let all_failing_ms = needed / per_second * 1000.0;
    Finds {
        answers: whole(answers),
        all_failing_ms: (all_failing_ms <= ms as f64).then(|| whole(all_failing_ms.ceil())),
        floor: (floor <= 1.0)
            .then(|| u16::try_from(whole((floor * 10_000.0).ceil())).unwrap_or(10_000)),
    }
}

/// The stake of one threshold of latencies among twelve: half is on errors, six share the other half.
const STAKE: f64 = 12.0;

/// What the comparison of both versions finds while the candidate has this share, in basis points, and
/// when, if users send so many requests a second.
pub(super) fn compares(share: u16, rules: Rules, per_second: Option<f64>) -> Compared {
    let latency = rules.latency;
    let rules = Rules { max_error_share_bp: 0, latency: false, ..rules };
    let mut comparison = Comparison::new(rules, &[]);
    let counted = |units, errors| Counted { units, errors, slow: Vec::new() };
    let (units, most) = (u64::from(share.clamp(1, 9_999)), 1_000);
    let mut errors = 0;
    while errors < most && !matches!(comparison.finding(), Finding::Worse(_)) {
        comparison.add(&Tick { candidate: counted(units, 1), stable: counted(10_000 - units, 0) });
        errors += 1;
    }
    let share_of = units as f64 / 10_000.0;
    let alpha = f64::from(rules.alpha_bp) / 10_000.0;
    let requests = requests_for((0.001, 10.0), share_of, alpha).ceil();
    let slow = latency.then(|| requests_for((0.01, 2.0), share_of, alpha / STAKE).ceil());
    let ms = |requests: f64| per_second.map(|rate| whole((requests / rate * 1000.0).ceil()));
    Compared {
        share,
        errors,
        requests: whole(requests),
        requests_ms: ms(requests),
        slow_requests: slow.map(whole),
        slow_ms: slow.and_then(ms),
    }
}

/// About how many requests of both versions show that the candidate's errors (or slow answers) are `times` those of stable,
/// which has this rate. An error tells as much as its distance (Kullback-Leibler) from one of equals;
/// the mixture pays about a fifth for not knowing how many times.
fn requests_for((rate, times): (f64, f64), share: f64, alpha: f64) -> f64 {
    let told = share * times / (share * times + 1.0 - share);
    let tells = told * (told / share).ln() + (1.0 - told) * ((1.0 - told) / (1.0 - share)).ln();
    let errors = 1.2 * -alpha.ln() / tells;
    errors / (rate * (share * times + 1.0 - share))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no figure is negative"
)]
fn whole(figure: f64) -> u64 {
    figure as u64
}

/// The expected number of errors that makes at least `k` of them come 95 of 100 times.
fn mean_that_gives(k: f64) -> f64 {
    const SURE: f64 = 0.95;
    // From here on the normal approximation is right to a percent.
    if k > 500.0 {
        return k + 1.645 * k.sqrt() + 1.35;
    }
    let (mut low, mut high) = (0.0, k + 5.0 * k.sqrt() + 10.0);
    for _ in 0..60 {
        let mean = f64::midpoint(low, high);
        if at_least(k, mean) < SURE { low = mean } else { high = mean }
    }
    high
}

/// The chance of `k` events or more, where `mean` are expected.
fn at_least(k: f64, mean: f64) -> f64 {
    let (mut term, mut below, mut n) = ((-mean).exp(), 0.0, 0.0);
    while n < k {
        below += term;
        n += 1.0;
        term *= mean / n;
    }
    1.0 - below
}

#[cfg(test)]
mod tests {
    use model::{Counted, Threshold, Tick};
    use rollout::analysis::{Comparison, Finding, Rules};

    use super::{Rule, compares, finds, mean_that_gives};

    /// The simulation of `cargo xtask bench canary`: a median of 5263 requests at 10 %.
    #[test]
    fn a_share_of_a_tenth_is_ended_by_three_errors_or_some_thousand_requests() {
        let found = compares(1_000, Rules::default(), Some(50.0));
        assert!((3..=4).contains(&found.errors), "{found:?}");
        assert!((4_000..=7_000).contains(&found.requests), "{found:?}");
        assert!((80_000..=140_000).contains(&found.requests_ms.unwrap()), "{found:?}");
        assert!(compares(5_000, Rules::default(), None).errors > found.errors);
    }

    /// Fed with what is expected, the comparison itself is about as quick.
    #[test]
    fn slow_answers_twice_as_often_are_found_about_when_it_is_said() {
        for share in [500_u64, 1_000, 5_000] {
            let said = compares(u16::try_from(share).unwrap(), Rules::default(), Some(100.0));
            let (requests, ms) = (said.slow_requests.unwrap(), said.slow_ms.unwrap());
            assert_eq!(ms, requests * 10);
            // Six quantiles of stable, of which only the fifth tells.
            let thresholds: Vec<Threshold> = [500_000, 250_000, 100_000, 50_000, 10_000, 1_000]
                .into_iter()
                .zip(1..)
                .map(|(slow, us)| Threshold { us, slow, of: 1_000_000 })
                .collect();
            let mut comparison = Comparison::new(Rules::default(), &thresholds);
            let mut found = 0;
            while !matches!(comparison.finding(), Finding::Worse(_)) && found < 10 * requests {
                comparison.add(&expected(share));
                found += 2_000;
            }
            let times = found as f64 / requests as f64;
            assert!((0.6..=1.6).contains(&times), "{share}: {found} of {requests}");
        }
        let unasked = Rules { latency: false, ..Rules::default() };
        assert_eq!(compares(1_000, unasked, Some(1.0)).slow_requests, None);
    }

    /// What is expected of 2 000 requests, with a share in basis points.
    fn expected(share: u64) -> Tick {
        let counted = |units: u64, times: u64| {
            let slow = [500, 250, 100, 50, 10 * times, 1].map(|parts| units * parts / 1_000);
            Counted { units, errors: 0, slow: slow.into() }
        };
        Tick { candidate: counted(share / 5, 2), stable: counted((10_000 - share) / 5, 1) }
    }

    /// Half of the chi-square quantiles in the tables: 95 % with 2k degrees of freedom.
    #[test]
    fn known_answers_of_the_poisson_distribution() {
        for (k, mean) in [(1.0, 2.996), (3.0, 6.296), (10.0, 15.705), (50.0, 62.17)] {
            assert!((mean_that_gives(k) - mean).abs() < 0.01, "{k}: {}", mean_that_gives(k));
        }
        let (exact, normal) = (mean_that_gives(500.0), mean_that_gives(500.5));
        assert!((exact - normal).abs() < 3.0, "{exact} {normal}");
    }

    #[test]
    fn a_short_step_with_a_small_share_finds_little() {
        let rule = Rule { max_errors: 3, max_share: 100 };
        let found = |rate, share, ms| finds(rate, share, ms, rule);
        let one = found(50.0, 10_000, 10_000);
        // 500 answers; six errors or more are more than 1 %, and 10.51 must be expected for that.
        assert_eq!((one.answers, one.all_failing_ms, one.floor), (500, Some(60), Some(211)));
        let small = found(50.0, 500, 10_000);
        assert_eq!(
            (small.answers, small.all_failing_ms, small.floor),
            (25, Some(1_200), Some(2_519))
        );
        // Two answers: not even all of them failing is found.
        let none = found(10.0, 100, 20_000);
        assert_eq!((none.answers, none.all_failing_ms, none.floor), (2, None, None));
    }
}
