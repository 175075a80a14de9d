//! What should be true now, as the controller is told. Types only; `target` fills them in.

use model::event::PoolSeen;
use model::{ReleaseId, RunState};
use serde::{Deserialize, Serialize};

/// What should be true of the instances of one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetWant {
    /// The release.
    pub release: ReleaseId,
    /// How many should run; 0 unless `state` is `Running`.
    pub instances: u16,
    /// What they should do.
    pub state: RunState,
}

/// What the prober should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeWant {
    /// No prober, or it was lost.
    Off,
    /// It probes.
    On,
    /// It probes and holds long requests and sockets across the coming switch.
    Armed,
    /// It finishes and writes its account.
    Ended,
}

/// The whole of what should be true in the present phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wants {
    /// Per release, in the order of release numbers.
    pub fleet: Vec<FleetWant>,
    /// The pools the routes should carry, in the order of release numbers.
    pub pools: Vec<PoolSeen>,
    /// The prober.
    pub probe: ProbeWant,
    /// How many direct requests the candidate should have been asked in all, when previewing.
    pub preview: Option<u32>,
}
