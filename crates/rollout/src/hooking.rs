//! A hook that is being called: which one, and since when. A fact that decides nothing; `hooks` establishes
//! it.

use serde::{Deserialize, Serialize};

/// A hook that is being called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hooking {
    pub name: String,
    pub since_ms: u64,
    /// Controllers that have come since, each after the death of one that did not hear of its end.
    #[serde(default)]
    pub lives: u32,
}
