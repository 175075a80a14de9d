//! Whether a metric beside the requests is within its limit. Nothing is measured or judged here.

use serde::{Deserialize, Serialize};

/// What one measurement of a metric found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// Its value is within the limit.
    Within,
    /// It is beyond it.
    Beyond,
    /// There was no value: nobody answered, or without a number.
    Unknown,
}
