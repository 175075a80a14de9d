//! What was observed of the world, for as long as it may be relied on.
//!
//! Observations are forgotten when what was wanted of their subject changes, and all of them when
//! the controller died. Facts that stay true (errors counted, a prober lost) are not kept here.

use model::event::PoolSeen;
use model::{FleetSeen, InstanceId, Offenders, Tally};
use serde::{Deserialize, Serialize};

/// What is open on a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Open {
    pub requests: u64,
    pub tunnels: u64,
}

impl Open {
    /// "2 requests and 1 tunnel".
    pub(crate) fn words(self) -> String {
        let requests = crate::words::count(self.requests, "request");
        format!("{requests} and {}", crate::words::count(self.tunnels, "tunnel"))
    }

    /// True when nothing is open.
    pub(crate) fn none(self) -> bool {
        self.requests == 0 && self.tunnels == 0
    }
}

/// One release as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sighting {
    pub fleet: Option<FleetSeen>,
    /// Only counts taken while the routes were seen to be as wanted.
    pub open: Option<Open>,
}

impl Sighting {
    /// Ready instances, if the fleet was seen.
    pub(crate) fn ready(&self) -> Option<u16> {
        self.fleet.as_ref().map(|seen| seen.ready)
    }

    /// Existing instances, if the fleet was seen.
    pub(crate) fn existing(&self) -> Option<u16> {
        self.fleet.as_ref().map(|seen| seen.existing)
    }
}

/// Direct requests to the candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preview {
    pub tally: Tally,
    pub failures: Vec<String>,
}

/// Instances that make room, as last seen: out of the routes, and still there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leaving {
    pub instances: Vec<InstanceId>,
    pub open: Open,
}

/// Everything observed and not forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub stable: Sighting,
    pub candidate: Sighting,
    /// Those that leave now.
    #[serde(default)]
    pub leaving: Option<Leaving>,
    /// WebSockets that the router could still move off what leaves now.
    #[serde(default)]
    pub movable: Option<u64>,
    /// What they, or the release that leaves, had open for longest when that was last asked.
    #[serde(default)]
    pub lingering: Offenders,
    /// The pools of the last settled look at the router.
    pub routes: Option<Vec<PoolSeen>>,
    /// The prober had a good answer from the candidate after the routes were seen as wanted.
    pub candidate_answered: bool,
    /// A window ended after the routes were seen as wanted: later ones began after it too.
    pub window_ended: bool,
    pub armed: bool,
    pub preview: Option<Preview>,
}

impl Seen {
    /// Forgets what depended on the routes being as wanted.
    pub(crate) fn forget_traffic(&mut self) {
        self.leaving = None;
        self.movable = None;
        self.lingering = Offenders::default();
        self.stable.open = None;
        self.candidate.open = None;
        self.candidate_answered = false;
        self.window_ended = false;
    }
}
