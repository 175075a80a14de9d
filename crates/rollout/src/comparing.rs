//! How candidate and stable are compared in a rollout, and what is remembered of it. Types only.

use model::survey::CountBy;
use serde::{Deserialize, Serialize};

use crate::analysis::Rules;

/// How candidate and stable are compared while both have a share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Analysis {
    /// The tests.
    pub rules: Rules,
    /// What becomes of a step whose time is over before anything was shown.
    pub inconclusive: Inconclusive,
    /// What the router is asked to count.
    pub count_by: CountBy,
}

/// What becomes of a step in which neither was shown: that the candidate is worse, or that it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inconclusive {
    /// It goes on: nothing speaks against the candidate.
    #[default]
    Promote,
    /// It is undone: nothing speaks for it.
    Abort,
    /// A person is to look: the rollout is paused.
    Pause,
}

/// What becomes of a rollout while both releases fail more than the candidate may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnIncident {
    /// It is paused until a person goes on or turns back.
    #[default]
    Pause,
    /// It is paused, and goes on by itself when both have been well again for a while.
    Resume,
    /// The step lasts on until both are well, and nobody is asked; so in journals that know no other way.
    Hold,
}

/// Both releases failed at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incident {
    /// When the first of a row was seen, ms since the rollout began.
    pub from_ms: u64,
    /// When it was last seen.
    pub to_ms: u64,
}
