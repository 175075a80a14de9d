//! The router of the world: it applies late, dies, and carries pools without those that leave.

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
}

impl Router {
    pub(crate) fn new(plan: &Plan) -> Self {
        let (weight, state) = (Weight::ALL, PoolState::Serving);
        let stable = plan.start.stable.as_ref();
        let pools = stable.map(|_| PoolSeen { release: STABLE, weight, state });
        let routes: Routes = (pools.into_iter().collect(), BTreeSet::new());
        Self { ordered: routes.clone(), routes, apply_at: 0, dead: plan.router_dead }
    }

    pub(crate) fn alive(&self, now: u64) -> bool {
        self.dead.is_none_or(|at| now < at)
    }

    pub(crate) fn order(&mut self, routes: Routes, apply_at: u64) {
        if routes != self.ordered {
            self.ordered = routes;
            self.apply_at = apply_at;
        }
    }

    pub(crate) fn step(&mut self, now: u64) {
        if now >= self.apply_at && self.alive(now) {
            self.routes.clone_from(&self.ordered);
        }
    }

    /// True when it carries what it was told.
    pub(crate) fn applied(&self, now: u64) -> bool {
        self.alive(now) && self.routes == self.ordered
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
