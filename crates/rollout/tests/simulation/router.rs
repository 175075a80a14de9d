//! The router of the world: it applies late, dies, and carries pools without those that leave.
//!
//! Instances and users are in `world`.

use std::collections::BTreeSet;

use model::event::PoolSeen;
use model::{PoolState, ReleaseId, Weight};

use crate::plan::{Plan, STABLE};

/// Pools, and the instances that are not in them.
pub(crate) type Routes = (Vec<PoolSeen>, BTreeSet<u64>);

pub(crate) struct Router {
    pub routes: Routes,
    ordered: Routes,
    apply_at: u64,
    dead: Option<u64>,
    /// Somebody else set the routes.
    pub foreign: bool,
    /// Its own were ordered since.
    reordered: bool,
}

impl Router {
    pub(crate) fn new(plan: &Plan) -> Self {
        let (weight, state) = (Weight::ALL, PoolState::Serving);
        let stable = plan.start.stable.as_ref();
        let pools = stable.map(|_| PoolSeen { release: STABLE, weight, state });
        let routes: Routes = (pools.into_iter().collect(), BTreeSet::new());
        let (dead, foreign, reordered) = (plan.router_dead, false, false);
        Self { ordered: routes.clone(), routes, apply_at: 0, dead, foreign, reordered }
    }

    pub(crate) fn alive(&self, now: u64) -> bool {
        self.dead.is_none_or(|at| now < at)
    }

    pub(crate) fn order(&mut self, routes: Routes, apply_at: u64) {
        if routes != self.ordered || (self.foreign && !self.reordered) {
            self.reordered = true;
            self.ordered = routes;
            self.apply_at = apply_at;
        }
    }

    pub(crate) fn step(&mut self, now: u64) {
        let mine = !self.foreign || self.reordered;
        if mine && now >= self.apply_at && self.alive(now) {
            self.foreign = false;
            self.routes.clone_from(&self.ordered);
        }
    }

    /// True when it carries what it was told.
    pub(crate) fn applied(&self, now: u64) -> bool {
        self.alive(now) && !self.foreign && self.routes == self.ordered
    }

    /// Somebody else sets the routes.
    pub(crate) fn meddle(&mut self, routes: Routes, now: u64) {
        if self.alive(now) {
            (self.routes, self.foreign, self.reordered) = (routes, true, false);
        }
    }

    /// True when new requests were to reach that instance.
    pub(crate) fn was_told_of(&self, release: ReleaseId, id: u64) -> bool {
        let (pools, out) = &self.ordered;
        let serves = |pool: &PoolSeen| pool.release == release && pool.state == PoolState::Serving;
        !self.foreign || (pools.iter().any(serves) && !out.contains(&id))
    }

    /// True when an instance gets nothing new.
    pub(crate) fn out(&self, id: u64) -> bool {
        self.routes.1.contains(&id)
    }

    /// True when users reach a release, at least by replays.
    pub(crate) fn carries(&self, release: ReleaseId) -> bool {
        self.serving().iter().any(|(carried, _)| *carried == release)
    }

    /// Serving pools with their weights.
    pub(crate) fn serving(&self) -> Vec<(ReleaseId, u64)> {
        let serving = self.routes.0.iter().filter(|pool| pool.state == PoolState::Serving);
        serving.map(|pool| (pool.release, u64::from(pool.weight.basis_points()))).collect()
    }
}
