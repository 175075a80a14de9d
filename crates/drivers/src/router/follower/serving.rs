//! Which instances of some routes are to get requests. Whether they do is not asked here.

use model::{Instance, Pool, PoolState, Routes, Weight};

/// Every instance that is to get requests, with its pool.
pub(super) fn serving(routes: &Routes) -> Vec<(&Pool, &Instance)> {
    let gets = |pool: &&Pool| pool.state == PoolState::Serving && pool.weight > Weight::NONE;
    let pools = routes.pools.iter().filter(gets);
    pools.flat_map(|pool| pool.instances.iter().map(move |one| (pool, one))).collect()
}
