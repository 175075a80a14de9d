//! A time in which whoever carries the traffic was away: as it is handed over, and as it is told.
//!
//! Types only.

use serde::{Deserialize, Serialize};

/// A time in which the router was away, or was another process afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageSpan {
    /// What was away: `HAProxy`.
    pub what: String,
    /// The last look that found it, us on the samples' axis.
    pub from_us: i64,
    /// The first look that found it again; `None` if none did.
    pub to_us: Option<i64>,
}

/// An outage, and what it cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageFact {
    /// What was away.
    pub what: String,
    /// The last look that found it, us.
    pub from_us: i64,
    /// The first look that found it again, us; `None` if none did.
    pub to_us: Option<i64>,
    /// Failed attempts that were open at any time of it, or were to be sent in it.
    pub failed: u64,
}
