//! How an app's requests are spread over its pools and over the instances of each.
//!
//! Wishes only: who is in which cohort, and what is open where, is the router's to know.

use serde::{Deserialize, Serialize};

use crate::fleet::{HealthCheck, InstanceId, ReleaseId};

/// How requests are spread; the default draws a pool for each request by the weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spread {
    /// Clients stay with the release that they were given; `None` draws for each request anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cohorts: Option<Cohorts>,
    /// For how long the share of an instance grows that joins others which have served for longer,
    /// ms; 0 gives it its whole share at once.
    pub slow_start_ms: u64,
    /// Instances that fail their checks, in order. One that is in a pool all the same gets requests:
    /// too few of the others pass. To be told, not to be judged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<InstanceId>,
    /// How a router checks instances by itself for as long as nobody speaks to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Watch>,
}

/// How the instances of a release are checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The release.
    pub release: ReleaseId,
    /// Over HTTP or by connecting; never by a program.
    pub how: HealthCheck,
    /// When fewer percent of them pass, all get requests.
    pub fail_open: u32,
}

impl Spread {
    /// True when nothing is wished for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Each client has a number from 0 to 9999 for good, its cohort. Pools take the numbers in the order
/// of their releases, the newest first: as its weight grows, nobody goes back from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cohorts {
    /// The header whose value makes the number, in lower case: requests with the same value are in
    /// one cohort. Those without it go by the cookie, or are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The number is kept in a signed cookie, which a client without one is given.
    pub cookie: bool,
}
