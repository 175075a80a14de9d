//! Which instance takes a request: pool by rule, cohort or weight, then the least open of two.
//!
//! It reads gates and never enters one.

use std::sync::Arc;
use std::time::Instant;

use model::ReleaseId;

use crate::cohort::COHORTS;
use crate::gate::Gate;
use crate::limits;
use crate::ramp::Ramp;
use crate::table::{App, Pool};

/// What one request is meant for, and the instances that were tried.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    meant: Option<ReleaseId>,
    cohort: Option<u32>,
    serials: [u64; limits::TRIES],
    count: usize,
}

impl Tried {
    /// Nothing tried yet.
    pub(crate) fn meant_for(meant: Option<ReleaseId>, cohort: Option<u32>) -> Self {
        Self { meant, cohort, ..Self::default() }
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
/// is one; else of the client's cohort, else by weight. Pools at weight 0 come into question for a
/// replay, or when no weighted pool has any instance at all.
pub(crate) fn pick<'a>(app: &'a App, tried: &Tried) -> Option<&'a Arc<Gate>> {
    let meant = tried.meant.and_then(|release| app.rules.gates(release));
    if let Some(gate) = meant.and_then(|gates| from_gates(gates, None, tried)) {
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
        return from_pool(pool, tried);
    }
    if let Some(gate) = of_cohort(pools, tried).and_then(|pool| from_pool(pool, tried)) {
        return Some(gate);
    }
    let usable = |pool: &&Pool| pool.gates.iter().any(|gate| !tried.has(gate));
    // A pool at weight 0 counts as one basis point, so that standby pools can be drawn too.
    let total: u32 = pools.iter().filter(usable).map(|pool| pool.weight.max(1)).sum();
    if total == 0 {
        return None;
    }
    at(pools.iter().filter(usable), fastrand::u32(..total)).and_then(|pool| from_pool(pool, tried))
}

/// The pool of the client's cohort. The pools are in the order of their releases, the newest first: as
/// its weight grows, it takes further numbers and gives none back.
fn of_cohort<'a>(pools: &'a [Pool], tried: &Tried) -> Option<&'a Pool> {
    let total: u32 = pools.iter().map(|pool| pool.weight.max(1)).sum();
    let place = u64::from(tried.cohort?) * u64::from(total) / u64::from(COHORTS);
    at(pools.iter(), u32::try_from(place).ok()?)
}

/// The pool whose part of all weights holds that number.
fn at<'a>(pools: impl Iterator<Item = &'a Pool>, mut number: u32) -> Option<&'a Pool> {
    for pool in pools {
        match number.checked_sub(pool.weight.max(1)) {
            Some(rest) => number = rest,
            None => return Some(pool),
        }
    }
    None
}

fn from_pool<'a>(pool: &'a Pool, tried: &Tried) -> Option<&'a Arc<Gate>> {
    from_gates(&pool.gates, pool.ramp.as_ref(), tried)
}

/// Draws two different ones, and the one with less open wins (power of two choices). One that does not
/// have its whole share yet may leave its place to another.
fn from_gates<'a>(
    gates: &'a [Arc<Gate>],
    ramp: Option<&Ramp>,
    tried: &Tried,
) -> Option<&'a Arc<Gate>> {
    if let [only] = gates {
        return (!tried.has(only)).then_some(only);
    }
    let fresh = |gate: &&Arc<Gate>| !tried.has(gate);
    let kept = |at: usize| fresh(&&gates[at]) && gates[at].ejected_ms() == 0;
    let good = |at: usize| kept(at) && !gates[at].avoided();
    let Some(one) = draw(gates.len(), good) else {
        // Those that refused a connection a moment ago are better than those that keep failing, and
        // those better than none.
        let rest = draw(gates.len(), kept).or_else(|| draw(gates.len(), |at| fresh(&&gates[at])));
        return rest.map(|at| &gates[at]);
    };
    let Some(other) = draw(gates.len(), |at| at != one && good(at)) else {
        return Some(&gates[one]);
    };
    if let Some(held) = ramp.and_then(|ramp| held_back(ramp, one, other)) {
        return Some(&gates[held]);
    }
    let load = |at: usize| {
        let open = gates[at].inside();
        open.requests + open.tunnels
    };
    Some(&gates[if load(other) < load(one) { other } else { one }])
}

/// The one of two that takes the request because the other's share has not grown so far.
fn held_back(ramp: &Ramp, one: usize, other: usize) -> Option<usize> {
    let now = Instant::now();
    if !ramp.lasts(now) {
        return None;
    }
    match (ramp.takes(one, now), ramp.takes(other, now)) {
        (true, false) => Some(one),
        (false, true) => Some(other),
        _ => None,
    }
}

/// One of `0..count` for which `good` holds, each as likely.
fn draw(count: usize, good: impl Fn(usize) -> bool) -> Option<usize> {
    let start = fastrand::usize(..count.max(1));
    if start < count && good(start) {
        return Some(start);
    }
    let left = (0..count).filter(|at| good(*at)).count();
    (left > 0).then(|| (0..count).filter(|at| good(*at)).nth(fastrand::usize(..left)))?
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use model::{AppName, Generation, Instance, InstanceId, ReleaseId, Routes, Spread, Version};

    use super::{Tried, pick};
    use crate::counters::Counters;
    use crate::gate::{Entry, Gate};
    use crate::ramp::Ramp;
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
        Pool { weight, gates: (0..count).map(gate).collect(), ramp: None }
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
            hand_over: None,
            spread: Spread::default(),
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
        assert!((0..200).all(|_| pick(&app, &Tried::default()).unwrap().id == other.id));
        drop(inside);
        let first = (0..1_000).filter(|_| pick(&app, &Tried::default()).unwrap().id == one.id);
        assert!((350..650).contains(&first.count()), "with equal loads each is as likely");
        one.note_refused();
        assert!((0..200).all(|_| pick(&app, &Tried::default()).unwrap().id == other.id));
    }

    #[test]
    fn of_many_the_most_loaded_is_never_taken_and_the_least_most_often() {
        let app = app(vec![pool(10_000, 1, 5)], Vec::new());
        let gates = app.weighted[0].gates.as_slice();
        let _inside: Vec<_> =
            (0..5).flat_map(|n| (0..n).filter_map(move |_| Entry::enter(&gates[n]))).collect();
        let mut taken = [0_u32; 5];
        for _ in 0..5_000 {
            let id = &pick(&app, &Tried::default()).unwrap().id;
            taken[gates.iter().position(|gate| gate.id == *id).unwrap()] += 1;
        }
        assert!(taken.is_sorted_by(|a, b| a > b) && taken[4] == 0, "{taken:?}");
        assert!((1_700..2_300).contains(&taken[0]), "two of five: {taken:?}");
    }

    #[test]
    fn a_cohort_keeps_its_release_as_the_newer_one_grows() {
        let given = |weight: u32, cohort: u32| {
            // In the order of a compiled table.
            let pools = [pool(weight, 2, 1), pool(10_000 - weight, 1, 1)];
            let app = app(pools.into_iter().filter(|pool| pool.weight > 0).collect(), Vec::new());
            pick(&app, &Tried::meant_for(None, Some(cohort))).unwrap().release.0
        };
        for weight in [0, 1, 1_000, 5_000, 9_999, 10_000] {
            for cohort in (0..10_000).step_by(97).chain([1, 999, 1_000, 4_999, 5_000, 9_998, 9_999])
            {
                assert_eq!(
                    given(weight, cohort),
                    if cohort < weight { 2 } else { 1 },
                    "{weight} {cohort}"
                );
            }
        }
    }

    #[test]
    fn a_cohort_whose_release_fails_or_has_nobody_goes_to_the_other() {
        let app = app(vec![pool(5_000, 2, 1), pool(4_000, 1, 1), pool(1_000, 3, 0)], Vec::new());
        for (cohort, releases) in [(0, [2, 1]), (8_999, [1, 2])] {
            let mut tried = Tried::meant_for(None, Some(cohort));
            for release in releases {
                let gate = pick(&app, &tried).unwrap();
                assert_eq!(gate.release, ReleaseId(release));
                tried.add(gate);
            }
        }
        assert!(pick(&app, &Tried::meant_for(None, Some(9_500))).is_some());
    }

    #[test]
    fn who_joins_others_is_given_little_at_first() {
        let given = |ages: [u64; 4]| {
            let now = Instant::now();
            let since = ages.map(|age| now.checked_sub(Duration::from_secs(age)).unwrap()).to_vec();
            let mut four = pool(10_000, 1, 4);
            four.ramp = Ramp::since(since, Duration::from_secs(40), now);
            let new = four.gates[3].id.clone();
            let app = app(vec![four], Vec::new());
            (0..4_000).filter(|_| pick(&app, &Tried::default()).unwrap().id == new).count()
        };
        // A fifth, a half and the whole of a quarter.
        for (ages, wanted) in [([20, 20, 20, 0], 200), ([20, 20, 20, 10], 500), ([0; 4], 1_000)] {
            let taken = given(ages);
            assert!(taken.abs_diff(wanted) < 120, "{taken} of 4000, {wanted} wanted");
        }
    }
}
