//! How a drain ended. A fact without a decision: `leave`, `rolling` and `unroll` establish it.

use serde::{Deserialize, Serialize};

/// The end of a drain. The pool was seen Retiring before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Drained {
    pub at_ms: u64,
    /// Requests still open then; `None` when nobody could say. More than 0 only at the deadline.
    pub left: Option<u64>,
}
