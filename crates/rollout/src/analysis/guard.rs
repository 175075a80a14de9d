//! Do both releases suffer? Then neither going on nor going back is the answer.
//!
//! An incident that hits both says nothing about the candidate, unless the candidate is what breaks
//! something they share. So it is told apart from a verdict: a person must look.

use serde::{Deserialize, Serialize};

use super::block::{Arm, Block};

/// How many ticks are looked at, in which a release had units.
const TICKS: usize = 10;
/// No more than so many altogether.
const LONGEST: usize = 60;

/// The last ticks of both releases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Candidate and stable, oldest first.
    ticks: Vec<(Arm, Arm)>,
}

impl Guard {
    /// Takes a tick, errors being the events. Where it is `sparse`, ticks in which one release had nobody may push out
    /// none of the last in which it had somebody.
    pub fn add(&mut self, block: Block, sparse: bool) {
        self.ticks.push((block.candidate, block.stable));
        while self.ticks.len() > TICKS && (!sparse || self.spares_the_oldest()) {
            self.ticks.remove(0);
        }
    }

    /// True when enough is left of both without the oldest tick, or it is too long ago.
    fn spares_the_oldest(&self) -> bool {
        let rest = self.ticks.iter().skip(1);
        let had = |of: fn(&(Arm, Arm)) -> Arm| rest.clone().filter(|it| of(it).units > 0).count();
        let enough = had(|it| it.0) >= TICKS && had(|it| it.1) >= TICKS;
        enough || self.ticks.len() > LONGEST
    }

    /// Both releases in the last ticks, candidate first, if each had at least `least` errors there and
    /// they were more than this share of its units.
    pub fn suffer(&self, least: u64, share_bp: u16) -> Option<(Arm, Arm)> {
        let sums = self.sums();
        let suffers = |arm: Arm| arm.events >= least.max(1) && arm.over(share_bp);
        (suffers(sums.0) && suffers(sums.1)).then_some(sums)
    }

    /// True when stable had errors in the last ticks, more than this share of its units, and at least half
    /// as often as the candidate.
    pub fn alike(&self, share_bp: u16) -> bool {
        let (candidate, stable) = self.sums();
        let half = u128::from(stable.events) * u128::from(candidate.units) * 2;
        stable.events > 0
            && stable.over(share_bp)
            && half >= u128::from(candidate.events) * u128::from(stable.units)
    }

    fn sums(&self) -> (Arm, Arm) {
        let mut sums = (Arm::default(), Arm::default());
        for (candidate, stable) in &self.ticks {
            sums.0.add(*candidate);
            sums.1.add(*stable);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::{Arm, Block};
    use super::Guard;

    #[test]
    fn ticks_of_one_release_alone_do_not_push_out_those_of_the_other() {
        // One unit a second, of one release after the other.
        let (mut guard, mut dense) = (Guard::default(), Guard::default());
        for _ in 0..10 {
            for block in [Block::new((1, 1), (0, 0)), Block::new((0, 0), (1, 1))] {
                guard.add(block, true);
                dense.add(block, false);
            }
        }
        assert_eq!(guard.suffer(6, 100), Some((Arm::new(10, 10), Arm::new(10, 10))));
        assert_eq!(dense.suffer(6, 100), None);
        for _ in 0..60 {
            guard.add(Block::new((0, 0), (1, 0)), true);
        }
        assert_eq!(guard.suffer(1, 100), None, "long ago");
    }

    #[test]
    fn only_both_and_only_lately() {
        let mut guard = Guard::default();
        let suffer = |guard: &Guard| guard.suffer(3, 100);
        for _ in 0..10 {
            guard.add(Block::new((10, 0), (90, 10)), true);
        }
        assert_eq!(suffer(&guard), None, "stable alone");
        for _ in 0..3 {
            guard.add(Block::new((10, 1), (90, 10)), true);
        }
        assert_eq!(suffer(&guard), Some((Arm::new(100, 3), Arm::new(900, 100))));
        for _ in 0..9 {
            guard.add(Block::new((10, 1), (90, 0)), true);
        }
        assert_eq!(suffer(&guard).map(|(_, stable)| stable.events), Some(10));
        guard.add(Block::new((10, 1), (90, 0)), true);
        assert_eq!(suffer(&guard), None, "the candidate alone");
    }
}
