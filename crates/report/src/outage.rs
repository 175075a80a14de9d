//! A time in which whoever carries the traffic was away: as it is handed over, and as it is told.
//!
//! Types only.

use serde::{Deserialize, Serialize};

/// A time for which looks at the router leave it open whether it was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageSpan {
    /// What was looked at: `HAProxy`.
    pub what: String,
    /// When the last look that found it was begun, us on the samples' axis.
    pub from_us: i64,
    /// When the first look that found it again had its answer; `None` if none did.
    pub to_us: Option<i64>,
    /// Afterwards it was another process, or nobody knows.
    pub replaced: bool,
}

/// What such a time was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageKind {
    /// Users met it: connections were refused, or ended without an answer.
    Outage,
    /// It was another process afterwards, and users met nothing of it: a reload.
    Replaced,
    /// It could not be asked, and users met nothing of that.
    Unseen,
}

/// Such a time, and what it cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageFact {
    /// What was away.
    pub what: String,
    /// What it was.
    pub kind: OutageKind,
    /// Of an outage the last answer before it, else the last look that found it, us.
    pub from_us: i64,
    /// Of an outage the first answer after it, else the first look that found it again, us; `None` if
    /// there was none.
    pub to_us: Option<i64>,
    /// Attempts that failed in it and as an outage makes them fail.
    pub failed: u64,
}
