//! What both releases had in one tick: units, and events of one kind among them.
//!
//! Counts only: what they are evidence of is for the tests beside it to say.

use serde::{Deserialize, Serialize};

/// One release in one tick, or in all ticks so far. A *unit* is a request that was the first one of its
/// client in its tick, whichever release it went to; an *event* is one that failed, or was slower than
/// some limit. How many units there are must not depend on how they end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// Units.
    pub units: u64,
    /// Those of them that were events; never more than `units`.
    pub events: u64,
}

impl Arm {
    /// `events` of `units`; more events than units count as all of them.
    pub const fn new(units: u64, events: u64) -> Self {
        Self { units, events: if events < units { events } else { units } }
    }

    /// Adds another tick.
    pub const fn add(&mut self, other: Self) {
        self.units += other.units;
        self.events += other.events;
    }

    /// Units that were no events.
    pub const fn good(self) -> u64 {
        self.units - self.events
    }

    /// True when more than `share_bp` basis points of the units were events.
    pub fn over(self, share_bp: u16) -> bool {
        u128::from(self.events) * 10_000 > u128::from(share_bp) * u128::from(self.units)
    }
}

/// Both releases in one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The release on trial.
    pub candidate: Arm,
    /// The release it is compared with.
    pub stable: Arm,
}

impl Block {
    /// Units and events of the candidate, then of stable.
    pub const fn new(candidate: (u64, u64), stable: (u64, u64)) -> Self {
        Self { candidate: Arm::new(candidate.0, candidate.1), stable: Arm::new(stable.0, stable.1) }
    }

    /// True when there is something to compare.
    pub const fn compares(self) -> bool {
        self.candidate.units > 0 && self.stable.units > 0
    }
}
