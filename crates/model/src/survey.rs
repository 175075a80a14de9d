//! What a router is asked to count so that two releases can be compared, and what it answers.
//!
//! Ticks are seconds of CLOCK_MONOTONIC, which all processes of one boot share. A tick's units are
//! those that *began* in it; how they end is added to the same tick, later. Nothing is judged here.

use serde::{Deserialize, Serialize};

use crate::fleet::ReleaseId;
use crate::name::AppName;

/// What makes a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountBy {
    /// The first request of a client (its address; of IPv6 the first 64 bits) in a tick.
    #[default]
    Client,
    /// Every request: right only if requests fail independently of each other.
    Request,
}

/// What is to be counted of one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// The app.
    pub app: AppName,
    /// Its releases that are compared.
    pub releases: Vec<ReleaseId>,
    /// What makes a unit.
    pub count_by: CountBy,
    /// A request whose field [`PROBE_FIELD`] says this is the prober's (see [`crate::receipt`]): it is no
    /// unit, and the field is not passed on.
    pub probe_key: String,
}

/// The field by which a prober makes itself known to the proxy.
pub const PROBE_FIELD: &str = "x-cutover-probe";

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surveyed {
    /// The tick of now.
    pub now_s: u64,
    /// Ticks after the one that was named, oldest first, of each release that had units in it.
    pub ticks: Vec<TickSeen>,
    /// How long all requests of each release ever took, but for the prober's.
    pub history: Vec<(ReleaseId, Buckets)>,
}

/// How often each bucket of [`crate::latency`] was met; those that never were are left out.
pub type Buckets = Vec<(u16, u64)>;

/// Units of one release that began in one tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickSeen {
    /// The tick.
    pub at_s: u64,
    /// The release they were sent to first.
    pub release: ReleaseId,
    /// How many there are.
    pub units: u64,
    /// Those that have ended.
    pub ended: u64,
    /// Those that failed.
    pub errors: u64,
    /// How long those that have ended took.
    pub lasted: Buckets,
}
