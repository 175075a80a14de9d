//! A hook that is being called: which one, and since when. A fact; `hooks` establishes it.

use serde::{Deserialize, Serialize};

/// A hook that is being called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hooking {
    pub name: String,
    pub since_ms: u64,
}
