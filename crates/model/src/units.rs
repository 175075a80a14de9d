//! What a router counted in one tick, so that two releases can be compared.
//!
//! A unit is at most one request of a client in a tick (a second): the first one. Requests sent again
//! count where they were sent first, and once; the prober's are no units. Nothing is judged here.

use serde::{Deserialize, Serialize};

/// Units of one release that began in one tick.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Units.
    pub units: u64,
    /// Those of them that failed: an answer of 500 or more, none, or one broken off.
    pub errors: u64,
    /// Those of them that took as long as each threshold or longer, ended or not; in the thresholds' order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slow: Vec<u64>,
}

/// Both releases in one tick.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The release on trial.
    pub candidate: Counted,
    /// The release users come from.
    pub stable: Counted,
}

/// A latency that releases are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// This long or longer counts, us.
    pub us: u64,
    /// How many of stable's requests took so long before the candidate had any ...
    pub slow: u64,
    /// ... of so many.
    pub of: u64,
}
