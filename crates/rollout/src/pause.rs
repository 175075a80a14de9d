//! A wait for a person: since when, and why. Types and words only; `gate` says where it holds.

use model::Weight;
use serde::{Deserialize, Serialize};

use crate::words::percent;

/// Why a rollout waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// An operator asked for it.
    Asked,
    /// The rollout was begun with a pause here.
    Step,
    /// A rollback that fails is not rolled back by itself.
    Failing,
    /// Both releases fail more than the candidate may.
    Incident,
    /// A step's time is over, and nothing was shown.
    Inconclusive,
    /// A metric with a limit could not be measured.
    Unmeasured,
}

/// A wait for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when, ms since the rollout began.
    pub at_ms: u64,
    /// Why, as a fact.
    pub cause: Cause,
    /// Why, in words for people: a sentence, then its evidence, if any.
    pub why: String,
}

/// What a person is to look at when the rollout was begun with a pause after that share, or before any.
pub(crate) fn step_words(version: &str, after: Option<Weight>) -> String {
    match after {
        None => format!("a person is to look before any user is on {version}"),
        Some(Weight::NONE) => {
            format!("a person is to look while only those are on {version} whom a rule names")
        }
        Some(Weight::ALL) => format!("a person is to look before {version} is final"),
        Some(share) => {
            format!("a person is to look while {version} has {} of requests", percent(share))
        }
    }
}
