//! Chance with a fixed seed (splitmix64), so that a test sees the same on each machine. Nothing of it is
//! for anything but tests.

/// What comes next.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// True with this chance.
    pub(crate) fn hits(&mut self, chance: f64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / ((1_u64 << 53) as f64) < chance
    }

    /// Of so many, those that it hits.
    pub(crate) fn of(&mut self, n: u64, chance: f64) -> u64 {
        (0..n).filter(|_| self.hits(chance)).count() as u64
    }
}
