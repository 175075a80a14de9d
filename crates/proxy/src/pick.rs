//! Which instance takes a request: pool by rule or weight, then the least open of two.
//!
//! It reads gates and never enters one.

use std::sync::Arc;

use model::ReleaseId;

use crate::gate::Gate;
use crate::limits;
use crate::table::{App, Pool};

/// The release that one request is meant for, and the instances that were tried.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    meant: Option<ReleaseId>,
    serials: [u64; limits::TRIES],
    count: usize,
}

impl Tried {
    /// Nothing tried yet.
    pub(crate) fn meant_for(meant: Option<ReleaseId>) -> Self {
        Self { meant, ..Self::default() }
    }

    /// Notes one.
    pub(crate) fn add(&mut self, gate: &Gate) {
        if let Some(place) = self.serials.get_mut(self.count) {
            *place = gate.serial;
            self.count += 1;
        }
    }

    /// How many were tried.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    fn has(&self, gate: &Gate) -> bool {
        self.serials[..self.count].contains(&gate.serial)
    }
}

/// Picks an instance that was not tried, of the release that a rule means for the request while there
/// is one; else by weight. Pools at weight 0 come into question for a replay, or when
/// no weighted pool has any instance at all.
pub(crate) fn pick<'a>(app: &'a App, tried: &Tried) -> Option<&'a Arc<Gate>> {
    let meant = tried.meant.and_then(|release| app.rules.gates(release));
    if let Some(gate) = meant.and_then(|gates| from_gates(gates, tried)) {
        return Some(gate);
    }
    let weighted = from_pools(&app.weighted, tried);
    let empty = app.weighted.iter().all(|pool| pool.gates.is_empty());
    if weighted.is_some() || (tried.count() == 0 && !empty) {
        return weighted;
    }
    from_pools(&app.standby, tried)
}

fn from_pools<'a>(pools: &'a [Pool], tried: &Tried) -> Option<&'a Arc<Gate>> {
    if let [pool] = pools {
        return from_gates(&pool.gates, tried);
    }
    let usable = |pool: &&Pool| pool.gates.iter().any(|gate| !tried.has(gate));
    // A pool at weight 0 counts as one basis point, so that standby pools can be drawn too.
    let total: u32 = pools.iter().filter(usable).map(|pool| pool.weight.max(1)).sum();
    if total == 0 {
        return None;
    }
    let mut drawn = fastrand::u32(..total);
    for pool in pools.iter().filter(usable) {
        match drawn.checked_sub(pool.weight.max(1)) {
            Some(rest) => drawn = rest,
            None => return from_gates(&pool.gates, tried),
        }
    }
    None
}

/// Two at random, the one with less open wins (power of two choices).
fn from_gates<'a>(gates: &'a [Arc<Gate>], tried: &Tried) -> Option<&'a Arc<Gate>> {
    if let [only] = gates {
        return (!tried.has(only)).then_some(only);
    }
    let fresh = |gate: &&Arc<Gate>| !tried.has(gate);
    let good = gates.iter().filter(|gate| fresh(gate) && !gate.avoided()).count();
    if good == 0 {
        let left = gates.iter().filter(fresh).count();
        return (left > 0).then(|| gates.iter().filter(fresh).nth(fastrand::usize(..left)))?;
    }
    let draw = || {
        let at = fastrand::usize(..good);
        gates.iter().filter(|gate| fresh(gate) && !gate.avoided()).nth(at)
    };
    let load = |gate: &Arc<Gate>| {
        let open = gate.inside();
        open.requests + open.tunnels
    };
    match (draw(), draw()) {
        (Some(one), Some(other)) => Some(if load(other) < load(one) { other } else { one }),
        // An instance became one to avoid between counting and drawing.
        _ => gates.iter().find(fresh),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{AppName, Generation, Instance, InstanceId, ReleaseId, Routes, Version};

    use super::{Tried, pick};
    use crate::counters::Counters;
    use crate::gate::{Entry, Gate};
    use crate::table::{App, Pool};

    fn pool(weight: u32, release: u32, count: u32) -> Pool {
        let gate = |n: u32| {
            let instance = Instance {
                id: InstanceId(format!("demo-{release}-{n}")),
                address: "127.0.0.1:1".parse().unwrap(),
            };
            let version = Version::new("v1").unwrap();
            let counters = Arc::new(Counters::default());
            let gate = Arc::new(Gate::new(&instance, ReleaseId(release), &version, counters));
            gate.open();
            gate
        };
        Pool { weight, gates: (0..count).map(gate).collect() }
    }

    fn app(weighted: Vec<Pool>, standby: Vec<Pool>) -> App {
        let routes = Routes {
            app: AppName::new("demo").unwrap(),
            generation: Generation(1),
            hosts: Vec::new(),
            path_prefix: "/".into(),
            pools: Vec::new(),
            rules: Vec::new(),
            hold: None,
        };
        let mut app = App::compile(&routes, Arc::default(), |_| None);
        (app.weighted, app.standby) = (weighted, standby);
        app
    }

    #[test]
    fn standby_takes_replays_only() {
        let app = app(vec![pool(10_000, 2, 1)], vec![pool(0, 1, 1)]);
        let mut tried = Tried::default();
        for expected in [2, 1] {
            let gate = pick(&app, &tried).unwrap();
            assert_eq!(gate.release, ReleaseId(expected));
            tried.add(gate);
        }
        assert!(pick(&app, &tried).is_none());
    }

    #[test]
    fn standby_takes_everything_when_no_weighted_pool_has_an_instance() {
        let app = app(vec![pool(10_000, 2, 0)], vec![pool(0, 1, 1)]);
        assert_eq!(pick(&app, &Tried::default()).unwrap().release, ReleaseId(1));
    }

    #[test]
    fn weights_are_shares() {
        let app = app(vec![pool(9_000, 1, 2), pool(1_000, 2, 1)], Vec::new());
        let drawn = (0..10_000)
            .filter(|_| pick(&app, &Tried::default()).unwrap().release == ReleaseId(2))
            .count();
        assert!((800..1_200).contains(&drawn), "{drawn} of 10000 for a tenth");
    }

    #[test]
    fn the_less_loaded_of_two_wins_and_a_refusing_one_is_avoided() {
        let app = app(vec![pool(10_000, 1, 2)], Vec::new());
        let [one, other] = app.weighted[0].gates.as_slice() else { panic!("two gates") };
        let inside: Vec<_> = (0..10).filter_map(|_| Entry::enter(one)).collect();
        let loaded = (0..1_000).filter(|_| pick(&app, &Tried::default()).unwrap().id == one.id);
        assert!((150..350).contains(&loaded.count()), "a quarter draws the loaded one twice");
        drop(inside);
        one.note_refused();
        assert!((0..200).all(|_| pick(&app, &Tried::default()).unwrap().id == other.id));
    }
}
