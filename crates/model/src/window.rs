//! What the prober saw in an interval, folded for the rollout machine.
//!
//! A window holds counts only; the attempts themselves stay in the prober's sample file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attempt::Class;

/// Attempts that ended in an interval, by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Whole, right and in time.
    pub ok: u64,
    /// Failures by class (late ones too).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<Class, u64>,
}

impl Tally {
    /// Counts one attempt; `NotSent` is not counted.
    pub fn count(&mut self, class: Class) {
        if class == Class::Ok {
            self.ok += 1;
        } else if class.failed() {
            *self.failed.entry(class).or_default() += 1;
        }
    }

    /// All failures, late ones too.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Failures other than late answers: what speaks against a release.
    pub fn errors(&self) -> u64 {
        self.failed.iter().filter(|(class, _)| **class != Class::Late).map(|(_, n)| n).sum()
    }

    /// All attempts.
    pub fn all(&self) -> u64 {
        self.ok + self.failures()
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Self) {
        self.ok += other.ok;
        for (class, n) in &other.failed {
            *self.failed.entry(*class).or_default() += n;
        }
    }
}

/// Attempts that ended in an interval, by the version that answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Start of the interval, us since the probe run began.
    pub from_us: u64,
    /// End of the interval.
    pub to_us: u64,
    /// By the version in the answer; an empty key holds those without one.
    pub by_version: BTreeMap<String, Tally>,
    /// Attempts the prober could not send.
    #[serde(default)]
    pub not_sent: u64,
    /// Median TTLB of the whole, right answers, us; `None` when there were none. For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<u64>,
    /// Largest lateness of the prober itself (`dispatched - intended`), us. For people.
    #[serde(default)]
    pub late_us: u64,
}
