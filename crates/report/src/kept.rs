//! A connection that carried several requests, and which version answered on it when.
//!
//! Types only.

use model::Lane;
use model::attempt::Ending;
use serde::{Deserialize, Serialize};

/// One kept connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptConnection {
    /// Its number.
    pub connection: u32,
    /// Its lane.
    pub lane: Lane,
    /// When it was asked for; without a record of it, when it was first used.
    pub opened_us: i64,
    /// When it ended; without a record of it, when its last answer had come.
    pub closed_us: i64,
    /// How it ended; `None` without a record of it.
    pub ending: Option<Ending>,
    /// Requests it carried.
    pub requests: u64,
    /// Of these, requests that failed.
    pub failed: u64,
    /// Who answered when, in order.
    pub stretches: Vec<Stretch>,
}

/// Requests one after the other that the same version answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Index into `versions`.
    pub version: usize,
    /// When the first of them was meant to be sent.
    pub from_us: i64,
    /// When the last of them was answered.
    pub to_us: i64,
    /// How many.
    pub requests: u64,
}
