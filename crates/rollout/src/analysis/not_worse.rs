//! Is the candidate *not* worse by more than a margin? The exact test per tick.
//!
//! Given how many events a tick had and how many units each release, the candidate's part of them
//! follows Fisher's noncentral hypergeometric distribution, whatever the rate in that tick was. The
//! e-process divides its probability at smaller odds ratios by that at the margin, so it grows when the
//! candidate has fewer events than one at the margin would have. Ticks without an event say nothing:
//! for those there is `clean`.

use serde::{Deserialize, Serialize};

use super::block::Block;
use super::nats::{Nats, log_mean};

/// The evidence so far that the candidate's odds of an event are below `margin` times those of stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotWorse {
    margin: Nats,
    logs: [Nats; 4],
}

impl NotWorse {
    /// Begins at 1. The margin is an odds ratio above 1.
    pub const fn than(margin: f64) -> Self {
        Self { margin: Nats::new(margin), logs: [Nats::ZERO; 4] }
    }

    /// Takes a tick.
    pub fn add(&mut self, block: Block) {
        if !block.compares() || block.candidate.events + block.stable.events == 0 {
            return;
        }
        let margin = self.margin.get();
        let whole = log_weights(block, margin);
        let events = block.candidate.events as f64;
        let odds = [0.5, 0.75, 1.0, f64::midpoint(1.0, margin)];
        for (log, odds) in self.logs.iter_mut().zip(odds) {
            let factor = events * (odds / margin).ln() + whole - log_weights(block, odds);
            *log = Nats::new(log.get() + factor);
        }
    }

    /// The logarithm of the e-value now, nats.
    pub fn log_e(&self) -> f64 {
        log_mean(&self.logs.map(Nats::get))
    }
}

/// The logarithm of the sum of `C(n_c, x) C(n_b, k - x) odds^x` over all x, but for a factor that does
/// not depend on the odds (the combinations of the least x).
fn log_weights(Block { candidate, stable }: Block, odds: f64) -> f64 {
    let (n_c, n_b) = (candidate.units, stable.units);
    let k = candidate.events + stable.events;
    let (least, most) = (k.saturating_sub(n_b), k.min(n_c));
    let first = least as f64 * odds.ln();
    // The sum so far is `exp(top) * sum`, so that it neither overflows nor vanishes.
    let (mut log, mut top, mut sum) = (first, first, 1.0);
    for x in least..most {
        let up = (n_c - x) as f64 * (k - x) as f64;
        let down = (x + 1) as f64 * (n_b + x + 1 - k) as f64;
        log += (up / down * odds).ln();
        if log > top {
            sum *= (top - log).exp();
            top = log;
        }
        sum += (log - top).exp();
    }
    top + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::super::block::Block;
    use super::{NotWorse, log_weights};

    /// 5 of 10 and 20 units: C(10,x) C(20,5-x) for x = 0..5 is 15504, 48450, 51300, 22800, 4200, 252.
    #[test]
    fn known_answers_of_the_hypergeometric_distribution() {
        let block = Block::new((10, 2), (20, 3));
        let terms = [15_504.0, 48_450.0, 51_300.0, 22_800.0, 4_200.0, 252.0];
        for odds in [0.5, 1.0, 2.0, 3.0] {
            let whole: f64 = terms.iter().zip(0..).map(|(term, x)| term * f64::powi(odds, x)).sum();
            let wanted = (whole / 15_504.0).ln();
            assert!((log_weights(block, odds) - wanted).abs() < 1e-12);
        }
        // More events than stable has units: the least x is 2.
        let crowded = Block::new((4, 3), (3, 2));
        let whole = 6.0 + 4.0 * 3.0 + 3.0;
        assert!((log_weights(crowded, 1.0) - (whole / 6.0_f64).ln()).abs() < 1e-12);
    }

    #[test]
    fn its_bets_are_fair_at_the_margin_and_lose_beyond_it() {
        let weight = |x: u64, odds: f64| {
            let terms = [15_504.0, 48_450.0, 51_300.0, 22_800.0, 4_200.0, 252.0];
            terms[usize::try_from(x).unwrap()] * odds.powi(i32::try_from(x).unwrap())
        };
        for (truth, most, least) in [(2.0, 1.0 + 1e-12, 1.0 - 1e-12), (3.0, 1.0, 0.0)] {
            let all: f64 = (0..=5).map(|x| weight(x, truth)).sum();
            let mean: f64 = (0..=5)
                .map(|x| {
                    let mut not_worse = NotWorse::than(2.0);
                    not_worse.add(Block::new((10, x), (20, 5 - x)));
                    not_worse.log_e().exp() * weight(x, truth) / all
                })
                .sum();
            assert!((least..=most).contains(&mean), "{truth}: {mean}");
        }
    }

    #[test]
    fn fewer_errors_than_at_the_margin_speak_for_the_candidate() {
        let mut not_worse = NotWorse::than(2.0);
        for _ in 0..40 {
            not_worse.add(Block::new((500, 4), (500, 5)));
        }
        assert!(not_worse.log_e() > 20.0_f64.ln(), "{}", not_worse.log_e());
        let before = not_worse.log_e();
        not_worse.add(Block::new((500, 0), (500, 0)));
        assert!((not_worse.log_e() - before).abs() < 1e-15);
        not_worse.add(Block::new((500, 200), (500, 4)));
        assert!(not_worse.log_e() < 0.0);
    }
}
