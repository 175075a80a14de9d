//! What the rollout machine is told.
//!
//! Every event is a whole observation, not a delta: one that is lost or comes twice does no harm.
//! Events are appended to the journal before they have any effect, and replayed on start.

use serde::{Deserialize, Serialize};

use crate::barrier::Barrier;
use crate::counters::Counters;
use crate::fleet::{FleetSeen, InstanceId, ReleaseId};
use crate::measured::Measured;
use crate::name::{AppName, Version};
use crate::offender::Offenders;
use crate::routes::PoolState;
use crate::units::{Threshold, Tick};
use crate::weight::Weight;
use crate::window::{Tally, Window};

/// One pool as a router was *seen* to carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSeen {
    /// The release.
    pub release: ReleaseId,
    /// Its weight.
    pub weight: Weight,
    /// Its state.
    pub state: PoolState,
}

/// The release that is to be rolled out when the present rollout is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Successor {
    /// The release, frozen already.
    pub release: ReleaseId,
    /// Its version.
    pub version: Version,
    /// Id of its run.
    pub run: String,
    /// It ran before, and users are to return to it.
    pub rollback: bool,
}

/// An observation, or a wish of the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Nothing new, but time has passed.
    Tick,
    /// What the platform sees of one release.
    Fleet {
        /// The release.
        release: ReleaseId,
        /// What is there.
        seen: FleetSeen,
    },
    /// The router was looked at: it carries exactly these pools, at least one instance in each
    /// serving pool with weight, and nothing is left to do or to wait for.
    RoutesSettled {
        /// The pools, in the order of release numbers.
        pools: Vec<PoolSeen>,
    },
    /// What is open on one release according to the router's own counters.
    Open {
        /// The release.
        release: ReleaseId,
        /// Requests open now.
        requests: u64,
        /// Tunnels open now.
        tunnels: u64,
    },
    /// Some instances of a release are to leave (see the rollout machine's `LeaveWant`). Told only
    /// after a look at the router that carries none of them for new requests.
    Leaving {
        /// The release.
        release: ReleaseId,
        /// Those of them that still exist: before they are named, the ones that were picked.
        instances: Vec<InstanceId>,
        /// Requests open on them now.
        requests: u64,
        /// Tunnels open on them now.
        tunnels: u64,
    },
    /// While the router is to move tunnels, and was seen to know of it: how many WebSockets are left
    /// that it could move. What is open besides is for the app to end.
    Movable {
        /// The release whose instances leave.
        release: ReleaseId,
        /// WebSockets left on them.
        sockets: u64,
    },
    /// What instances that get nothing new have open for longest. Told when that takes long, and again
    /// before its time is over.
    Lingering(Offenders),
    /// The candidate was asked directly, past the router. Totals since previewing began.
    Preview {
        /// What came back.
        tally: Tally,
        /// The first failures, in words.
        failures: Vec<String>,
    },
    /// The prober has placed its long requests and sockets across the coming switch.
    Armed,
    /// The prober can no longer be reached: go on without it, the verdict will say so.
    ProberLost,
    /// What the prober saw in an interval.
    Window(Window),
    /// The latencies by which candidate and stable are compared, taken before the candidate had users.
    Thresholds {
        /// Lowest first; none where too little was known of stable.
        thresholds: Vec<Threshold>,
    },
    /// What the router counted of both releases in one tick that is over.
    Units {
        /// The tick, s of CLOCK_MONOTONIC; one that is not later than the last one says nothing new.
        at_s: u64,
        /// What it counted.
        tick: Tick,
    },
    /// What a router's counters say, where it does not tell of single requests. Told before the candidate has users,
    /// too: what they have grown by since the last time is the next tick, also for a controller that comes back.
    Counters {
        /// What they say, by who counts.
        counters: Counters,
        /// All that was counted until then is in them, ms since the rollout began.
        until_ms: u64,
    },
    /// All that users' requests which began until then have shown was told. Told once before the candidate has
    /// users, too: a router that does not tell of single requests is not waited for.
    Surveyed {
        /// Until when, ms since the rollout began.
        until_ms: u64,
    },
    /// A hook that was to be called has ended, all its attempts together.
    HookEnded {
        /// Its name.
        name: String,
        /// It ended well.
        passed: bool,
        /// How it ended, in words; lines below the first are its output.
        words: String,
    },
    /// A metric with a limit was measured while the candidate serves on trial, or could not be.
    Measured {
        /// Its name.
        metric: String,
        /// Whether it is within its limit.
        found: Measured,
        /// What was found, in words: "checkout is 0.71, at most 0.5".
        words: String,
    },
    /// All apps that are rolled out together have come to a barrier.
    BarrierOpened {
        /// The barrier.
        barrier: Barrier,
    },
    /// An app that this one is rolled out together with has turned back.
    Deserted {
        /// The app.
        app: AppName,
        /// Why it did.
        why: String,
    },
    /// An operator wants the rollout undone.
    AbortAsked {
        /// Who or why, in words.
        reason: String,
    },
    /// An operator wants users to be taken no further until somebody says so.
    PauseAsked {
        /// Who or why, in words.
        reason: String,
    },
    /// An operator wants a paused rollout to go on as it would have.
    ResumeAsked,
    /// An operator wants it to go on now, without the rest of the present pause or bake.
    PromoteAsked {
        /// Without further shares and pauses, too.
        full: bool,
    },
    /// An operator wants the candidate of a canary to have this share, and nothing to follow by itself.
    WeightAsked {
        /// The share.
        weight: Weight,
    },
    /// Another release is to follow: the rollout turns back if it still can.
    SupersedeAsked {
        /// What follows.
        by: Successor,
    },
    /// The controller died and has replayed its journal; what follows is newly observed.
    Resumed,
}
