//! Requests that go to a certain release because of what they are, whatever its weight.
//!
//! What is looked at stands in `mark`. Reading requests is the routers' own.

use serde::{Deserialize, Serialize};

use crate::fleet::ReleaseId;
use crate::mark::Mark;

/// Sends requests that carry a mark to one release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What such requests carry.
    pub mark: Mark,
    /// Where they go, whatever its weight; without a pool that serves the rule matches nothing.
    pub release: ReleaseId,
}
