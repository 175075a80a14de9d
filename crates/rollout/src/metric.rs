//! What is measured beside requests, and what its limit means for a rollout. Types only.
//!
//! Who is asked, how, and what the limit is, is the controller's; the machine hears only whether it is kept.

use model::{Measured, Weight};
use serde::{Deserialize, Serialize};

/// A metric with a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name, as people wrote it.
    pub name: String,
    /// Beyond the limit, or without an answer, so many times in a row is enough; 0 counts as 1.
    pub failures: u32,
    /// What becomes of the rollout when it cannot be measured.
    pub unmeasured: Unmeasured,
    /// The shares of the candidate at which it is measured; at all of them where none is named.
    pub at: Vec<Weight>,
    /// So many measurements in a row take this long at most, ms.
    pub patience_ms: u64,
}

/// What becomes of a rollout when a metric cannot be measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmeasured {
    /// A person is to look.
    #[default]
    Pause,
    /// It is undone.
    Abort,
    /// It goes on: nothing speaks against the candidate.
    Ignore,
}

/// What was measured of one metric in the present step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gauge {
    /// What was found last.
    pub found: Measured,
    /// How many times in a row.
    pub times: u32,
    /// What was found last, in words.
    pub words: String,
}
