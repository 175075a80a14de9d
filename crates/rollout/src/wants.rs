//! What should be true now, as the controller is told. Types only; `target` fills them in.

use model::event::PoolSeen;
use model::{Hold, InstanceId, Pace, ReleaseId, RunState};
use serde::{Deserialize, Serialize};

/// What should be true of the instances of one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetWant {
    /// The release.
    pub release: ReleaseId,
    /// How many should run and stay; 0 unless `state` is `Running`. Those in [`Wants::leave`] come
    /// on top of them.
    pub instances: u16,
    /// What they should do.
    pub state: RunState,
}

/// Some instances of a running release should make room. See the crate's documentation for what
/// the controller does with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveWant {
    /// The release.
    pub release: ReleaseId,
    /// How many should leave, at most: those that exist beyond the ones that stay.
    pub instances: u16,
    /// Which; while it is empty and `state` is `Running` the controller picks. Those that are named are
    /// never routed again.
    pub named: Vec<InstanceId>,
    /// `Running`: out of the routes and otherwise left alone. `Terminating`, `Gone`: the named ones
    /// are told to end, or ended.
    pub state: RunState,
}

/// The router should move tunnels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOverWant {
    /// Off instances of this release: those that [`Wants::leave`] names, or all where nobody is named.
    pub release: ReleaseId,
    /// What their clients are told, and how fast.
    pub pace: Pace,
    /// How long it may take in all, ms.
    pub within_ms: u64,
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
    /// The instances that should make room, when rolling and on the way home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave: Option<LeaveWant>,
    /// The pools the routes should carry, in the order of release numbers.
    pub pools: Vec<PoolSeen>,
    /// The candidate has no share, and those are to see it all the same whom a rule names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
    /// New requests wait within these bounds; then no pool has a weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Tunnels that the router should move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_over: Option<HandOverWant>,
    /// The hook that is to be called, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// The prober.
    pub probe: ProbeWant,
    /// How many direct requests the candidate should have been asked in all, when previewing.
    pub preview: Option<u32>,
}
