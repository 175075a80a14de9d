//! What a driver would do, before it does it.
//!
//! The payload is opaque to everyone but the driver that made it. What stands in it, and whether it still
//! holds, is never judged outside that driver.

use serde::{Deserialize, Serialize};

/// One step of a driver, journaled around its execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// For people and for the audit log: "start demo-2-1 on port 40001".
    pub words: String,
    /// What the driver saw and relies on; it refuses to act when this no longer holds.
    pub expected_before: String,
    /// The driver's own data.
    pub payload: serde_json::Value,
}

/// What stands between what is and what should be. Settled means that both lists are empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Steps to take now, in this order.
    pub changes: Vec<Change>,
    /// What has been set in motion and is not there yet, in words for people.
    pub waiting: Vec<String>,
}

impl Plan {
    /// True when nothing is left to do or to wait for.
    pub fn settled(&self) -> bool {
        self.changes.is_empty() && self.waiting.is_empty()
    }
}
