//! How far a rollout is, for `status`: what is planned, what is done, how long the phase goes on.
//!
//! Types only; `show` fills them.

use serde::{Deserialize, Serialize};

use super::bus::Live;

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// How traffic moves, as `cutover.toml` names it.
    pub(crate) strategy: String,
    /// The new version's shares, one after the other, in basis points; the last is all traffic.
    pub(crate) steps: Vec<u16>,
    /// The share that it is to have now, in basis points; none before the first switch.
    pub(crate) share: Option<u16>,
    /// Why the present phase was entered; a sentence.
    pub(crate) why: String,
    /// How long the present phase has lasted, ms.
    pub(crate) phase_ms: u64,
    /// How long until it ends by time alone, ms.
    pub(crate) left_ms: Option<u64>,
    /// What happens then, if nothing else does: the rollout goes on, or the phase is given up.
    pub(crate) goes_on: bool,
    /// What the phase waits for although its time is over, and `left_ms` is how long at most: "until …".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waits: Option<String>,
    /// What the prober saw so far.
    pub(crate) live: Live,
    /// What users' requests show of the new version so far, and at which `alpha`; in words, where the router
    /// counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) judged: Option<String>,
}
