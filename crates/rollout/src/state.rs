//! Everything the machine remembers. No decisions here: `forward` and `back` decide, `target` says
//! what is wanted, `machine` changes the state.

use model::{Entered, Phase, ReleaseId};
use serde::{Deserialize, Serialize};

use crate::judge::Judged;
use crate::seen::{Seen, Sighting};
use crate::settings::{Named, Start};
use crate::wants::Wants;

/// Something worth telling that changed no phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When, ms since the rollout began.
    pub at_ms: u64,
    /// What, in words for people.
    pub words: String,
}

/// The end of a drain. The pool was seen Retiring before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Drained {
    pub at_ms: u64,
    /// Requests still open then; `None` when nobody could say. More than 0 only at the deadline.
    pub left: Option<u64>,
}

/// What stays true once it happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub prober_lost: bool,
    pub judged: Judged,
    /// Most crashes of the candidate ever seen.
    pub crashes: u32,
    /// Those it had when it was first ready.
    pub crashes_before: u32,
    /// Rolling back: stable was seen ready and is to carry the traffic again.
    pub returned: bool,
    /// The release that leaves (only one does) has been drained.
    pub drained: Option<Drained>,
    /// When the controller last came back.
    pub resumed_ms: Option<u64>,
    /// What was wanted when the rollout got stuck.
    pub stuck: Option<Wants>,
}

/// The machine's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub start: Start,
    pub now_ms: u64,
    pub phase: Phase,
    pub since_ms: u64,
    pub entered: Vec<Entered>,
    pub notes: Vec<Note>,
    pub seen: Seen,
    pub facts: Facts,
}

impl State {
    pub(crate) fn new(start: Start) -> Self {
        let why = match &start.stable {
            Some(stable) => format!("{} is to follow {}", start.candidate.version, stable.version),
            None => format!("{} is the first release", start.candidate.version),
        };
        Self {
            start,
            now_ms: 0,
            phase: Phase::Starting,
            since_ms: 0,
            entered: vec![Entered { phase: Phase::Starting, at_ms: 0, why }],
            notes: Vec::new(),
            seen: Seen::default(),
            facts: Facts::default(),
        }
    }

    /// Instances wanted of a running release.
    pub(crate) fn instances(&self) -> u16 {
        self.start.instances.max(1)
    }

    pub(crate) fn candidate(&self) -> &Named {
        &self.start.candidate
    }

    /// The sighting of a release, if it takes part.
    pub(crate) fn sighting_mut(&mut self, release: ReleaseId) -> Option<&mut Sighting> {
        if release == self.start.candidate.id {
            return Some(&mut self.seen.candidate);
        }
        let stable = self.start.stable.as_ref().is_some_and(|stable| stable.id == release);
        stable.then_some(&mut self.seen.stable)
    }

    pub(crate) fn has_entered(&self, phase: Phase) -> bool {
        self.entered.iter().any(|entered| entered.phase == phase)
    }

    /// True when the candidate is or will be stable, whatever happens.
    pub(crate) fn promotion_is_final(&self) -> bool {
        self.has_entered(Phase::Draining) || self.has_entered(Phase::Promoted)
    }

    /// True when a prober watches and can be reached.
    pub(crate) fn watched(&self) -> bool {
        self.start.settings.probing && !self.facts.prober_lost
    }

    pub(crate) fn candidate_is_ready(&self) -> bool {
        self.seen.candidate.ready().is_some_and(|ready| ready >= self.instances())
    }

    pub(crate) fn candidate_serves(&self) -> bool {
        self.seen.candidate.ready().is_some_and(|ready| ready > 0)
    }

    pub(crate) fn stable_serves(&self) -> bool {
        self.seen.stable.ready().is_some_and(|ready| ready > 0)
    }

    /// "1 of 2 instances of v2 ready", as last seen.
    pub(crate) fn readiness(&self) -> String {
        match self.seen.candidate.ready() {
            Some(ready) => {
                let (wanted, version) = (self.instances(), &self.candidate().version);
                format!("{ready} of {wanted} instances of {version} ready")
            }
            None => format!("nothing is known of the instances of {}", self.candidate().version),
        }
    }

    /// What the platform says is wrong with the candidate.
    pub(crate) fn trouble_lines(&self) -> &[String] {
        self.seen.candidate.fleet.as_ref().map_or(&[], |seen| &seen.trouble)
    }

    /// How long the present phase has lasted, ms.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.now_ms.saturating_sub(self.since_ms)
    }
}
