//! A surplus instance and a release that nobody names go out of the routes, finish, and end.
//!
//! What comes in their place is not tried here: that is a rollout's.

use std::collections::BTreeMap;

use drivers::platform::{Condition, FleetHave, FleetWant, InstanceHave, ReleaseHave, ReleaseWant};
use drivers::router::{Open, RoutesHave};
use model::{
    AppName, Generation, Instance, InstanceId, Pool, PoolState, Release, ReleaseId, Routes,
    RunState, Version, Weight,
};

use super::super::sample_release;
use super::{Departing, Patience, Staffed};

const PATIENCE: Patience = Patience { requests_ms: 1_000, tunnels_ms: 2_000 };

fn app() -> AppName {
    AppName::new("shop").unwrap()
}

fn release(id: u32) -> Release {
    Release { stop_timeout_ms: 1_000, ..sample_release::release("shop", id) }
}

fn id(release: u32, number: u32) -> InstanceId {
    InstanceId(format!("shop-{release}-{number}"))
}

fn address() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

/// Ready instances: releases and numbers.
fn fleet(now_ms: u64, instances: &[(u32, u32)]) -> FleetHave {
    let have = |(of, number): &(u32, u32)| InstanceHave {
        id: id(*of, *number),
        release: ReleaseId(*of),
        address: address(),
        pid: Some(9),
        identity: String::new(),
        condition: Condition::Ready,
        ready_before: true,
        told_at_ms: None,
        telling_ms: None,
        killed: false,
        left_behind: false,
        trouble: Vec::new(),
    };
    let mut releases: Vec<u32> = instances.iter().map(|(of, _)| *of).collect();
    releases.dedup();
    let known = |of: &u32| ReleaseHave {
        release: release(*of),
        crashes: 0,
        unstarted: 0,
        not_before_ms: 0,
        last_crash: Vec::new(),
        discovered: None,
    };
    FleetHave {
        app: app(),
        change: 0,
        now_ms,
        instances: instances.iter().map(have).collect(),
        releases: releases.iter().map(known).collect(),
        last_numbers: BTreeMap::new(),
        free_ports: Vec::new(),
    }
}

fn routes(routed: &[InstanceId], open: &[(InstanceId, u64, u64)]) -> RoutesHave {
    let instances =
        routed.iter().map(|id| Instance { id: id.clone(), address: address() }).collect();
    let pool = Pool {
        release: ReleaseId(1),
        version: Version::new("v1").unwrap(),
        weight: Weight::ALL,
        state: PoolState::Serving,
        instances,
    };
    let slice = Routes {
        app: app(),
        generation: Generation(1),
        hosts: Vec::new(),
        path_prefix: "/".to_owned(),
        pools: vec![pool],
        rules: vec![],
        hold: None,
        hand_over: None,
        spread: model::Spread::default(),
    };
    let open = open
        .iter()
        .map(|(id, requests, tunnels)| {
            (id.clone(), Open { requests: *requests, tunnels: *tunnels })
        })
        .collect();
    RoutesHave { routes: Some(slice), instances: open, epoch: 1, ..RoutesHave::nothing(app()) }
}

/// One instance of release 1 is wanted.
fn one() -> FleetWant {
    let want =
        ReleaseWant { release: release(1), instances: 1, state: RunState::Running, leave: None };
    FleetWant { app: app(), releases: vec![want] }
}

/// Who is named for `of`, and in what state; `None` when nobody leaves.
fn named(staffed: &Staffed, of: u32) -> Option<(Vec<InstanceId>, RunState)> {
    let release = staffed.want.releases.iter().find(|want| want.release.id == ReleaseId(of))?;
    release.leave.as_ref().map(|leave| (leave.named.clone(), leave.state))
}

#[test]
fn surplus_leaves_the_routes_then_finishes_then_ends() {
    let mut departing = Departing::default();
    let both = [(1, 1), (1, 2)];
    let mut at =
        |ms, seen: &RoutesHave| departing.staff(one(), &fleet(ms, &both), Some(seen), PATIENCE);
    // It still gets requests: only out of the routes.
    let staffed = at(0, &routes(&[id(1, 1), id(1, 2)], &[]));
    assert_eq!(staffed.without, [id(1, 1)]);
    assert_eq!(named(&staffed, 1), Some((vec![], RunState::Running)));
    // Out, and a request is open.
    let busy = routes(&[id(1, 2)], &[(id(1, 1), 1, 1)]);
    assert_eq!(named(&at(100, &busy), 1), Some((vec![], RunState::Running)));
    assert_eq!(named(&at(1_099, &busy), 1), Some((vec![], RunState::Running)));
    // Its time is over; a tunnel is told first.
    assert_eq!(named(&at(1_100, &busy), 1), Some((vec![id(1, 1)], RunState::Terminating)));
    // Idle: no waiting.
    let idle = routes(&[id(1, 2)], &[]);
    let staffed = at(200, &idle);
    assert_eq!(named(&staffed, 1), Some((vec![id(1, 1)], RunState::Gone)));
    assert_eq!(staffed.without, [id(1, 1)]);
}

#[test]
fn nobody_is_told_while_the_router_is_away_or_a_process_is_not_on_record() {
    let mut departing = Departing::default();
    let mut have = fleet(0, &[(1, 1), (1, 2)]);
    let staffed = departing.staff(one(), &have, None, PATIENCE);
    assert_eq!(named(&staffed, 1), Some((vec![], RunState::Running)));
    have.instances[1].condition = Condition::Found;
    let staffed = departing.staff(one(), &have, Some(&routes(&[], &[])), PATIENCE);
    assert_eq!(named(&staffed, 1), None);
}

#[test]
fn a_told_instance_keeps_its_tunnels_for_a_while() {
    let mut departing = Departing::default();
    let mut have = fleet(2_500, &[(1, 1), (1, 2)]);
    have.instances[0].told_at_ms = Some(1_000);
    let open = routes(&[id(1, 2)], &[(id(1, 1), 0, 3)]);
    let staffed = departing.staff(one(), &have, Some(&open), PATIENCE);
    assert_eq!(named(&staffed, 1), Some((vec![id(1, 1)], RunState::Terminating)));
    have.now_ms = 3_000;
    let staffed = departing.staff(one(), &have, Some(&open), PATIENCE);
    assert_eq!(named(&staffed, 1), Some((vec![id(1, 1)], RunState::Gone)));
}

#[test]
fn a_release_that_nobody_names_is_not_cut_off() {
    let mut departing = Departing::default();
    let have = fleet(0, &[(1, 1), (2, 1)]);
    let busy = routes(&[id(1, 1), id(2, 1)], &[(id(2, 1), 1, 0)]);
    let staffed = departing.staff(one(), &have, Some(&busy), PATIENCE);
    assert_eq!(named(&staffed, 2), Some((vec![], RunState::Running)));
    assert_eq!(staffed.without, [id(2, 1)]);
    let idle = routes(&[id(1, 1)], &[]);
    let staffed = departing.staff(one(), &have, Some(&idle), PATIENCE);
    assert_eq!(named(&staffed, 2), Some((vec![id(2, 1)], RunState::Gone)));
    // Nobody of it is left: the platform may forget it.
    let staffed = departing.staff(one(), &fleet(1, &[(1, 1)]), Some(&idle), PATIENCE);
    assert_eq!(named(&staffed, 2), None);
    assert_eq!(staffed.want.releases.len(), 1);
}

#[test]
fn what_a_rollout_decides_is_left_alone() {
    let mut departing = Departing::default();
    let have = fleet(0, &[(1, 1), (1, 2)]);
    let mut want = one();
    want.releases[0].instances = 0;
    want.releases[0].state = RunState::Gone;
    let staffed = departing.staff(want.clone(), &have, Some(&routes(&[], &[])), PATIENCE);
    assert_eq!((staffed.want, staffed.without), (want, vec![]));
}
