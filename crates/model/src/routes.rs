//! The immutable routing slice of one app.
//!
//! A slice is always whole: whoever publishes it says everything about the app, and a router swaps
//! it in one step. The server composes slices of several apps; a router never edits one.

use serde::{Deserialize, Serialize};

use crate::fleet::{Instance, ReleaseId};
use crate::handover::HandOver;
use crate::name::{AppName, Version};
use crate::rule::Rule;
use crate::spread::Spread;
use crate::weight::Weight;

/// Generation of one app's routes; it only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Generation(pub u64);

/// What a pool may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolState {
    /// Gets its weight of new requests, and replays also at weight 0.
    Serving,
    /// Gets nothing new; what is open on it may finish.
    Retiring,
}

/// The instances of one release that a router knows as one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The release.
    pub release: ReleaseId,
    /// Its version, for the stamp on answers and for counters.
    pub version: Version,
    /// Share of new requests among serving pools.
    pub weight: Weight,
    /// Whether new requests may enter.
    pub state: PoolState,
    /// Where to send them.
    pub instances: Vec<Instance>,
}

/// Bounds of a hold: requests of an app wait while nobody may serve it. What comes beyond any of them
/// is refused with a full answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Longest wait of one request, ms; at least 1.
    pub wait_ms: u64,
    /// Most requests that wait at a time; at least 1.
    pub requests: u32,
    /// Most memory that they take together, bytes: heads, and room for bodies that are on their way.
    pub bytes: u64,
}

/// Everything a router knows of one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// The app.
    pub app: AppName,
    /// Grows with every publication.
    pub generation: Generation,
    /// Host names, in lower case, without port; `*.example.org` stands for every name below it. The
    /// most specific one that matches wins; empty means every host.
    pub hosts: Vec<String>,
    /// Path prefix, starting with `/`; the longest one that matches wins.
    pub path_prefix: String,
    /// The pools.
    pub pools: Vec<Pool>,
    /// Requests that go to a certain release; the first rule that matches wins, before any weight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// New requests wait, and no pool has a weight; they go where the next routes without it say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Tunnels that the router is to move off instances that get nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_over: Option<HandOver>,
    /// How the others are spread.
    #[serde(default, skip_serializing_if = "Spread::is_default")]
    pub spread: Spread,
}

impl Routes {
    /// True when both say the same, whatever their generations.
    pub fn same_as(&self, other: &Self) -> bool {
        self.app == other.app
            && self.hosts == other.hosts
            && self.path_prefix == other.path_prefix
            && self.pools == other.pools
            && self.rules == other.rules
            && self.hold == other.hold
            && self.hand_over == other.hand_over
            && self.spread == other.spread
    }

    /// The same where there may be none.
    pub fn same(one: Option<&Self>, other: Option<&Self>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => one.same_as(other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// The rules that can match, in their order, each with its pool: one that serves and has an
    /// instance. Requests that another rule names go by the weights.
    pub fn obeyed(&self) -> impl Iterator<Item = (&Rule, &Pool)> {
        let usable = |pool: &&Pool| pool.state == PoolState::Serving && !pool.instances.is_empty();
        self.rules.iter().filter_map(move |rule| {
            let mut pools = self.pools.iter().filter(usable);
            Some((rule, pools.find(|pool| pool.release == rule.release)?))
        })
    }
}
