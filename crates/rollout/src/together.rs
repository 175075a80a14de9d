//! Apps that are rolled out together, as one of them knows of the others, and how far each is. Types
//! only; `barrier` decides.

use model::{AppName, Barrier, Phase, Version};
use serde::{Deserialize, Serialize};

/// The others that this rollout goes together with. Written once, into the beginning of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Together {
    /// What the apps are called together.
    pub name: AppName,
    /// The others.
    pub others: Vec<Other>,
    /// How long the others are waited for at one place, ms. Each of them has deadlines of its own: this one is
    /// for nobody being there to say that they came.
    pub wait_ms: u64,
}

impl Together {
    /// The others, for people: "credit and orders".
    pub(crate) fn others(&self) -> String {
        self.others.iter().map(|other| other.app.as_str()).collect::<Vec<_>>().join(" and ")
    }
}

/// Another app of the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// The app.
    pub app: AppName,
    /// Its version that is being shipped.
    pub version: Version,
    /// Id of its run.
    pub run: String,
}

/// How far one of the group is. Only what lasts: each later look finds it there, or farther.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// The last place at which it waits for the others, or that it has passed.
    pub reached: Option<Barrier>,
    /// It is being undone, or was, or a person is needed; and why.
    pub turned: Option<String>,
}

/// A wait for the others. A fact; `barrier` establishes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Awaiting {
    pub barrier: Barrier,
    pub since_ms: u64,
    /// What follows, and why.
    pub to: Phase,
    pub why: String,
}
