//! Chance with a fixed seed: the same draws on every machine, and nothing else.
//!
//! What is drawn, and how often, is said by who draws.

use std::f64::consts::TAU;

/// A source of draws (splitmix64).
#[derive(Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    /// One of many independent sources. The seed is scrambled: sources whose states are multiples of the
    /// step apart would be one and the same, a few draws later.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(scrambled(seed ^ 0x5851_f42d_4c95_7f2d))
    }

    const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scrambled(self.0)
    }

    /// Between 0 and 1, never 0.
    pub(crate) fn part(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// How many of `n` come true, each by itself with chance `p` (which lies below 1).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of tries"
    )]
    pub(crate) fn of(&mut self, n: u64, p: f64) -> u64 {
        if p <= 0.0 {
            return 0;
        }
        let (mut at, mut hits) = (0_u64, 0);
        loop {
            // How many fail before the next one that does not.
            let failed = self.part().ln() / (-p).ln_1p();
            at = at.saturating_add(failed as u64).saturating_add(1);
            if at > n {
                return hits;
            }
            hits += 1;
        }
    }

    /// From the normal distribution.
    pub(crate) fn normal(&mut self) -> f64 {
        let (radius, angle) = ((-2.0 * self.part().ln()).sqrt(), TAU * self.part());
        radius * angle.cos()
    }
}

const fn scrambled(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
