//! Where a rollout stands.
//!
//! Phases are facts of the journal; what should be true in each is the rollout machine's.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The four phases that scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Coarse {
    /// The app's stable release serves and nothing is under way.
    Healthy,
    /// A rollout is under way.
    Progressing,
    /// A rollout waits for a person.
    Paused,
    /// The last rollout was aborted or is stuck.
    Degraded,
}

/// Fine phase of a rollout. `docs` of the rollout machine say what holds in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Candidate instances are being started and must pass their health checks.
    Starting,
    /// The candidate is probed directly; users do not reach it.
    Previewing,
    /// The prober gets ready for the switch.
    Arming,
    /// The router is told to send new requests to the candidate; until seen in effect.
    Shifting,
    /// The candidate serves; stable stands by at weight 0 while the window is judged.
    Baking,
    /// Promotion is final. Requests open on the old release finish.
    Draining,
    /// The old release's tunnels move: the app is told to end and tells its clients.
    HandingOver,
    /// Old instances end.
    Stopping,
    /// The candidate is stable now. Final.
    Promoted,
    /// The router is told to send everything to stable again; until seen in effect.
    RollingBack,
    /// Requests and tunnels open on the candidate finish.
    DrainingCandidate,
    /// Candidate instances end.
    StoppingCandidate,
    /// Users are on stable (or on nothing, if there was none). Final.
    Aborted,
    /// Neither forward nor back is safe; a person is needed. Final; what serves goes on serving.
    Stuck,
}

impl Phase {
    /// True when the rollout is over.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Promoted | Self::Aborted | Self::Stuck)
    }

    /// The coarse phase it counts as.
    pub const fn coarse(self) -> Coarse {
        match self {
            Self::Promoted => Coarse::Healthy,
            Self::Aborted | Self::Stuck => Coarse::Degraded,
            _ => Coarse::Progressing,
        }
    }

    /// The name used in reports, on the command line and in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Previewing => "previewing",
            Self::Arming => "arming",
            Self::Shifting => "shifting",
            Self::Baking => "baking",
            Self::Draining => "draining",
            Self::HandingOver => "handing-over",
            Self::Stopping => "stopping",
            Self::Promoted => "promoted",
            Self::RollingBack => "rolling-back",
            Self::DrainingCandidate => "draining-candidate",
            Self::StoppingCandidate => "stopping-candidate",
            Self::Aborted => "aborted",
            Self::Stuck => "stuck",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A phase that was entered: what the journal and the report say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// The phase.
    pub phase: Phase,
    /// When, ms since the rollout began.
    pub at_ms: u64,
    /// Why, in words for people.
    pub why: String,
}
