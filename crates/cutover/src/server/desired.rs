//! From what the machine wants (releases) to what the drivers need (instances and addresses).
//!
//! Pure: looks are passed in, nothing is done.

use std::collections::BTreeMap;

use drivers::platform::{FleetHave, FleetWant, Leave, ReleaseWant};
use model::event::PoolSeen;
use model::{
    AppName, Generation, HandOver, Hold, InstanceId, Pool, PoolState, Release, ReleaseId, Routes,
    Rule, RunState, Spread, Watch, Weight,
};
use rollout::{HandOverWant, LeaveWant, Wants};

/// What should be true of an app now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Desired {
    /// Instances.
    pub(super) fleet: Vec<(ReleaseId, u16, RunState)>,
    /// Those of one release that make room.
    pub(super) leave: Option<LeaveWant>,
    /// Traffic.
    pub(super) pools: Vec<PoolSeen>,
    /// The candidate has no share, and rules are in force all the same.
    pub(super) unseen: bool,
    /// New requests wait.
    pub(super) hold: Option<Hold>,
    /// Tunnels that the router moves.
    pub(super) hand_over: Option<HandOverWant>,
}

impl Desired {
    /// What the machine of a rollout wants.
    pub(super) fn of(wants: &Wants) -> Self {
        let fleet = wants.fleet.iter().map(|w| (w.release, w.instances, w.state)).collect();
        let (leave, pools) = (wants.leave.clone(), wants.pools.clone());
        let (unseen, hold, hand_over) = (wants.unseen, wants.hold, wants.hand_over.clone());
        Self { fleet, leave, pools, unseen, hold, hand_over }
    }

    /// No rollout: the stable release serves, if there is one. With `spare`, what there is beyond its
    /// instances stays, out of the routes, up to as many again.
    pub(super) fn steady(stable: Option<&Release>, instances: u16, spare: bool) -> Self {
        let fleet = stable.map(|release| (release.id, instances, RunState::Running));
        let pool = stable.map(|release| PoolSeen {
            release: release.id,
            weight: Weight::ALL,
            state: PoolState::Serving,
        });
        let (fleet, pools) = (fleet.into_iter().collect(), pool.into_iter().collect());
        let leave = stable.filter(|_| spare).map(|release| LeaveWant {
            release: release.id,
            instances,
            named: Vec::new(),
            state: RunState::Running,
        });
        Self { fleet, leave, pools, ..Self::nothing() }
    }

    /// Everything ends.
    pub(super) fn nothing() -> Self {
        let (fleet, pools) = (Vec::new(), Vec::new());
        Self { fleet, leave: None, pools, unseen: false, hold: None, hand_over: None }
    }

    /// The tunnels that the router moves, by the instances that are there. Nobody is among them who
    /// gets something new.
    pub(super) fn hand_over(&self, have: &FleetHave) -> Option<HandOver> {
        let HandOverWant { release, pace, within_ms } = self.hand_over.as_ref()?;
        let leave = self.leave.as_ref().filter(|leave| leave.release == *release);
        let named = leave.map_or(&[][..], |leave| &leave.named);
        let leaves = |id: &InstanceId| named.is_empty() || named.contains(id);
        let there = have.of(*release).filter(|one| one.exists() && leaves(&one.id));
        let instances = there.map(|one| one.id.clone()).collect();
        Some(HandOver { instances, pace: pace.clone(), within_ms: *within_ms })
    }

    /// The release that carries traffic; of several, the one with the most.
    pub(super) fn carrying(&self) -> Option<ReleaseId> {
        let serving = self.pools.iter().filter(|pool| pool.weight > Weight::NONE);
        serving.max_by_key(|pool| pool.weight).map(|pool| pool.release)
    }

    /// The platform's share. Releases that are not named are gone.
    pub(super) fn fleet<'a>(
        &self,
        app: &AppName,
        release: impl Fn(ReleaseId) -> Option<&'a Release>,
    ) -> FleetWant {
        let want = |(id, instances, state): &(ReleaseId, u16, RunState)| {
            let release = release(*id)?.clone();
            let leave = self.leave.as_ref().filter(|leave| leave.release == *id).map(as_leave);
            Some(ReleaseWant { release, instances: *instances, state: *state, leave })
        };
        FleetWant { app: app.clone(), releases: self.fleet.iter().filter_map(want).collect() }
    }

    /// The pools with their releases.
    pub(super) fn pools<'a>(
        &self,
        release: impl Fn(ReleaseId) -> Option<&'a Release>,
    ) -> Vec<(PoolSeen, &'a Release)> {
        let both = |pool: &PoolSeen| Some((pool.clone(), release(pool.release)?));
        self.pools.iter().filter_map(both).collect()
    }
}

/// How requests find an app among the others on a router, and the candidate among its releases.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// Host names; empty means every host.
    pub(super) hosts: Vec<String>,
    /// Path prefix.
    pub(super) path_prefix: String,
    /// Who sees which release of the rollout under way, whatever its share.
    pub(super) rules: Vec<Rule>,
    /// They are in force also without a share.
    pub(super) unseen: bool,
    /// How the others are spread.
    pub(super) spread: Spread,
    /// When fewer percent of a pool's instances pass their checks, all get requests.
    pub(super) fail_open: BTreeMap<ReleaseId, u32>,
    /// The router is told who fails.
    pub(super) tells: bool,
}

fn as_leave(want: &LeaveWant) -> Leave {
    Leave { instances: want.instances, named: want.named.clone(), state: want.state }
}

/// The routing slice that gives `pools` their instances, except for those in `without`.
///
/// A pool whose instances are not (yet again) known to be ready keeps those that it has in one of
/// `before` and that are still alive: a restarted controller must not empty it, nor a router that has
/// them all down for a moment.
pub(super) fn compose(
    app: &AppName,
    address: &Address,
    pools: &[(PoolSeen, &Release)],
    (have, without): (&FleetHave, &[InstanceId]),
    before: &[&Routes],
) -> Routes {
    let pool = |(seen, release): &(PoolSeen, &Release)| {
        let fail_open = address.fail_open.get(&seen.release).copied().unwrap_or_default();
        let mut instances = have.serving_open(seen.release, without, fail_open);
        if instances.is_empty() {
            let pools = before.iter().flat_map(|routes| &routes.pools);
            let kept = pools.filter(|pool| pool.release == seen.release);
            let stays = |id: &InstanceId| alive(have, id) && !without.contains(id);
            let kept = kept.flat_map(|pool| &pool.instances).filter(|one| stays(&one.id));
            instances = kept.cloned().collect();
        }
        instances.sort_by(|a, b| a.id.cmp(&b.id));
        instances.dedup_by(|a, b| a.id == b.id);
        Pool {
            release: seen.release,
            version: release.version.clone(),
            weight: seen.weight,
            state: seen.state,
            instances,
        }
    };
    let in_force = |release| shares(release, pools.iter().map(|(pool, _)| pool));
    let ruled = |release| address.unseen || in_force(release);
    let fails = |(pool, _): &(PoolSeen, &Release)| have.failing(pool.release).cloned();
    let mut failing: Vec<_> = pools.iter().filter(|_| address.tells).flat_map(fails).collect();
    failing.sort();
    // With all traffic in one place there is nothing to stay with.
    let divided = pools.iter().any(|(pool, _)| in_force(pool.release));
    Routes {
        app: app.clone(),
        generation: Generation::default(),
        hosts: address.hosts.clone(),
        path_prefix: address.path_prefix.clone(),
        pools: pools.iter().map(pool).collect(),
        rules: address.rules.iter().filter(|rule| ruled(rule.release)).cloned().collect(),
        spread: Spread {
            cohorts: address.spread.cohorts.clone().filter(|_| divided),
            slow_start_ms: address.spread.slow_start_ms,
            failing,
            checks: if address.tells { checks(address, pools) } else { Vec::new() },
        },
        hold: None,
        hand_over: None,
    }
}

/// How the router is to check instances while nobody else does. Programs it does not start.
fn checks(address: &Address, pools: &[(PoolSeen, &Release)]) -> Vec<Watch> {
    let serving = pools.iter().filter(|(pool, _)| pool.state == PoolState::Serving);
    let asked = serving.filter(|(_, release)| release.health.command.is_empty());
    let watch = |(pool, release): &(PoolSeen, &Release)| Watch {
        release: pool.release,
        how: release.health.clone(),
        fail_open: address.fail_open.get(&pool.release).copied().unwrap_or_default(),
    };
    asked.map(watch).collect()
}

/// True while a release has some of the traffic and not all of it. At weight 0 it was found
/// wanting, or is not known to be any good; with all of the traffic there is nothing to choose.
fn shares<'a>(release: ReleaseId, mut pools: impl Iterator<Item = &'a PoolSeen>) -> bool {
    let some = |weight: Weight| weight > Weight::NONE && weight < Weight::ALL;
    pools.any(|pool| {
        pool.release == release && pool.state == PoolState::Serving && some(pool.weight)
    })
}

/// What a router was seen to carry, in the machine's words; `None` while a serving pool with
/// weight has no instance to serve it.
pub(super) fn seen(routes: &Routes) -> Option<Vec<PoolSeen>> {
    let hollow = |pool: &Pool| {
        pool.state == PoolState::Serving && pool.weight > Weight::NONE && pool.instances.is_empty()
    };
    if routes.pools.iter().any(hollow) {
        return None;
    }
    let mut pools: Vec<PoolSeen> = routes
        .pools
        .iter()
        .map(|p| PoolSeen { release: p.release, weight: p.weight, state: p.state })
        .collect();
    pools.sort_by_key(|pool| pool.release);
    Some(pools)
}

fn alive(have: &FleetHave, id: &InstanceId) -> bool {
    have.instances.iter().any(|instance| instance.id == *id && instance.stays())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use drivers::platform::{Condition, FleetHave, InstanceHave};
    use model::event::PoolSeen;
    use model::{
        Cohorts, InstanceId, Mark, PoolState, Release, ReleaseId, Rule, Selector, Spread, Weight,
    };

    use super::super::sample_release;
    use super::{Address, compose, shares};

    fn release(number: u32) -> Release {
        sample_release::release("demo", number)
    }

    /// No instance of anybody.
    fn nothing(release: &Release) -> FleetHave {
        FleetHave {
            app: release.app.clone(),
            change: 0,
            now_ms: 0,
            instances: Vec::new(),
            releases: Vec::new(),
            last_numbers: BTreeMap::new(),
            free_ports: Vec::new(),
        }
    }

    #[test]
    fn rules_and_cohorts_hold_while_both_releases_have_a_share() {
        let mark = |value: &str| Mark::new(Selector::Header("x".into()), value).unwrap();
        let rules = [("new", 2), ("old", 1)];
        let address = Address {
            hosts: vec!["*.test".into()],
            path_prefix: "/".into(),
            rules: rules.map(|(v, id)| Rule { mark: mark(v), release: ReleaseId(id) }).into(),
            unseen: false,
            spread: Spread {
                cohorts: Some(Cohorts { header: None, cookie: true }),
                slow_start_ms: 7,
                ..Spread::default()
            },
            fail_open: BTreeMap::new(),
            tells: true,
        };
        let (stable, candidate) = (release(1), release(2));
        for (points, divided) in [(0, false), (1_000, true), (9_999, true), (10_000, false)] {
            let weight = Weight::new(points).unwrap();
            let pool = |release: &Release, weight| PoolSeen {
                release: release.id,
                weight,
                state: PoolState::Serving,
            };
            let pools =
                [(pool(&stable, weight.rest()), &stable), (pool(&candidate, weight), &candidate)];
            let have = nothing(&stable);
            let routes = compose(&stable.app, &address, &pools, (&have, &[]), &[]);
            assert_eq!(routes.rules.len(), if divided { 2 } else { 0 }, "{points}");
            let unseen = Address { unseen: true, ..address.clone() };
            let unseen = compose(&stable.app, &unseen, &pools, (&have, &[]), &[]);
            assert_eq!((unseen.rules.len(), unseen.spread), (2, routes.spread.clone()));
            assert_eq!(routes.spread.cohorts.is_some(), divided, "{points}");
            assert_eq!(routes.spread.slow_start_ms, 7);
        }
    }

    /// Instances of release 1, all ready at some time.
    pub(crate) fn fleet(conditions: &[Condition]) -> FleetHave {
        let instance = |(number, condition): (u16, &Condition)| InstanceHave {
            id: InstanceId(format!("demo-1-{number}")),
            release: ReleaseId(1),
            address: ([127, 0, 0, 1], number).into(),
            pid: None,
            identity: String::new(),
            condition: *condition,
            ready_before: true,
            told_at_ms: None,
            telling_ms: None,
            killed: false,
            left_behind: false,
            trouble: Vec::new(),
        };
        let instances = (1..).zip(conditions).map(instance).collect();
        FleetHave { instances, ..nothing(&release(1)) }
    }

    #[test]
    fn requests_go_to_failing_instances_when_too_few_pass_and_the_routes_say_who_fails() {
        let stable = release(1);
        let have = fleet(&[Condition::Ready, Condition::Unready, Condition::Unready]);
        let pool = PoolSeen { release: stable.id, weight: Weight::ALL, state: PoolState::Serving };
        let routed = |percent: Option<u32>, tells| {
            let address = Address {
                hosts: Vec::new(),
                path_prefix: "/".into(),
                rules: Vec::new(),
                unseen: false,
                spread: Spread::default(),
                fail_open: percent.map(|percent| (stable.id, percent)).into_iter().collect(),
                tells,
            };
            let pools = [(pool.clone(), &stable)];
            let routes = compose(&stable.app, &address, &pools, (&have, &[]), &[]);
            (routes.pools[0].instances.len(), routes.spread.failing.len())
        };
        assert_eq!(routed(Some(50), true), (3, 2));
        assert_eq!(routed(Some(30), true), (1, 2));
        assert_eq!(routed(None, true), (1, 2), "a candidate is not trusted so far");
        assert_eq!(routed(Some(50), false), (3, 0), "a router that takes no such word");
    }

    #[test]
    fn a_target_is_in_force_while_the_candidate_has_a_share() {
        use PoolState::{Retiring, Serving};
        let [stable, candidate] = [1, 2].map(ReleaseId);
        let in_force = |points: u16, state| {
            let weight = Weight::new(points).unwrap();
            let pools = [
                PoolSeen { release: stable, weight: weight.rest(), state: Serving },
                PoolSeen { release: candidate, weight, state },
            ];
            shares(candidate, pools.iter())
        };
        assert!(in_force(1, Serving) && in_force(2_500, Serving) && in_force(9_999, Serving));
        // Given up, given up and emptied, promoted.
        assert!(!in_force(0, Serving) && !in_force(0, Retiring) && !in_force(10_000, Serving));
        assert!(!shares(candidate, [].iter()));
    }
}
