//! The ways in which traffic can move from stable to the candidate.
//!
//! Types only. What a strategy comes to in one rollout is `course`'s.

use model::{Hold, Weight};
use serde::{Deserialize, Serialize};

/// How traffic moves. Names are those of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// All at once, with stable standing by.
    #[default]
    BlueGreen,
    /// In shares of random requests, each of them judged before the next.
    Canary {
        /// The candidate's shares. Each must be larger than the one before, or it is skipped; all
        /// traffic follows as the last one where it is not there. The first may be nothing: then only
        /// those see it whom a rule names.
        steps: Vec<Weight>,
        /// How long each share but all traffic is judged, ms; 0 counts as 1. All traffic is judged
        /// for `bake_ms`.
        step_ms: u64,
        /// How many instances of the candidate run at each of these shares, beside all of stable: never fewer
        /// than at the one before. Where it says nothing, and with all traffic, it is as many as the app
        /// has.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        counts: Vec<u16>,
    },
    /// Instance by instance: a batch of stable ends before its replacement starts, but for those of
    /// them that a surge starts first. With one instance it needs a surge; else blue-green is used.
    Rolling {
        /// Instances replaced at once: at least 1, and someone always stays to serve.
        batch: u16,
        /// How many of a batch are started, and were seen to serve, before stable makes room for the
        /// rest: so many more than usual run, and so many fewer of a batch are missing. At most
        /// `batch`; older journals know none.
        #[serde(default)]
        surge: u16,
    },
    /// The old release ends before the new one starts, for an app that can run only one copy: its
    /// requests wait meanwhile, within bounds. Needs a release to replace; the first deploy is
    /// blue-green.
    Recreate {
        /// The bounds. A quarter of the wait is for open requests of the old release to finish, an
        /// eighth for its tunnels, and half of it for the new one to become ready.
        hold: Hold,
    },
}

impl Strategy {
    /// What people call it. A canary that never has a share is a blue-green switch with a preview.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Canary { steps, .. } if steps[..] == [Weight::NONE] => "blue-green",
            Self::BlueGreen => "blue-green",
            Self::Canary { .. } => "canary",
            Self::Rolling { .. } => "rolling",
            Self::Recreate { .. } => "recreate",
        }
    }
}
