//! Before, during and after the switch: how long answers took, per version.
//!
//! Types only.

use serde::{Deserialize, Serialize};

/// Which part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EraName {
    /// Until the switch began.
    Before,
    /// Until the last answer of the version that traffic moved away from.
    During,
    /// From then on.
    After,
}

/// One part of the run; requests belong to it by their intended send time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Era {
    /// Which.
    pub name: EraName,
    /// Start.
    pub from_us: i64,
    /// End.
    pub to_us: i64,
    /// Requests sent; messages on sockets and lanes that are slow on purpose apart.
    pub sent: u64,
    /// Of these, requests that failed.
    pub failed: u64,
    /// Versions that answered in it.
    pub sides: Vec<EraSide>,
}

/// One version in one part of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraSide {
    /// Index into `versions`.
    pub version: usize,
    /// Whole, right answers.
    pub answers: u64,
    /// Quantiles of their TTLB, from low to high; only those with ten answers beyond them, and the longest.
    pub curve: Vec<CurvePoint>,
}

/// A quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Share of answers that took at most as long; 1,000 is the longest.
    pub per_mille: u16,
    /// How long, us.
    pub ttlb_us: u64,
}

impl EraSide {
    /// A quantile, where there are answers enough for it.
    pub(crate) fn at(&self, per_mille: u16) -> Option<u64> {
        self.curve.iter().find(|point| point.per_mille == per_mille).map(|point| point.ttlb_us)
    }
}
