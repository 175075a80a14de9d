//! Which step comes next, by routes and sightings made up here; no Consul.

use model::{
    AppName, Generation, Instance, InstanceId, Pool, PoolState, ReleaseId, Routes, Spread, Version,
    Weight,
};

use super::plan;
use crate::router::fenced::Fenced as _;
use crate::router::follower::foretell::after;
use crate::router::follower::record::Record;
use crate::router::follower::seen::{Seen, Sighted, State, There, group};
use crate::router::follower::step::Step;

fn instance(release: u32, n: u16) -> Instance {
    let id = InstanceId(format!("demo-{release}-{n}"));
    Instance { id, address: ([127, 0, 0, 1], 100 * u16::try_from(release).unwrap() + n).into() }
}

/// Releases with their weight and number of instances; one at weight 0 is retiring.
fn routes(pools: &[(u32, u16, u16)]) -> Routes {
    let pool = |&(release, weight, count): &(u32, u16, u16)| Pool {
        release: ReleaseId(release),
        version: Version::new(format!("v{release}")).unwrap(),
        weight: Weight::new(weight).unwrap(),
        state: if weight > 0 { PoolState::Serving } else { PoolState::Retiring },
        instances: (1..=count).map(|n| instance(release, n)).collect(),
    };
    Routes {
        app: AppName::new("demo").unwrap(),
        generation: Generation::default(),
        hosts: vec![],
        path_prefix: "/".into(),
        pools: pools.iter().map(pool).collect(),
        rules: vec![],
        hold: None,
        hand_over: None,
        spread: Spread::default(),
    }
}

fn there(release: u32, n: u16, state: State) -> There {
    let Instance { id, address } = instance(release, n);
    There { id, group: group(ReleaseId(release)), address, state, open: 0 }
}

/// v1 is carried, v2 is wanted.
fn replacing(there: Vec<There>, sighted: Sighted) -> Seen {
    let record = Record {
        generation: 3,
        routes: Some(routes(&[(1, 0, 1), (2, 10_000, 1)])),
        carried: Some(routes(&[(1, 10_000, 1)])),
        followed: false,
        ..Record::default()
    };
    Seen { app: AppName::new("demo").unwrap(), record, there, sighted, of_another: false }
}

/// The words of what is to be done and of what is waited for.
fn said(seen: &Seen) -> (Vec<String>, Vec<String>) {
    let plan = plan(seen.record.routes.as_ref(), seen);
    (plan.changes.into_iter().map(|change| change.words).collect(), plan.waiting)
}

fn words(to_take_up: Option<&str>, to_leave: Option<&str>) -> Sighted {
    let own = |text: Option<&str>| text.map(str::to_owned);
    Sighted { to_take_up: own(to_take_up), to_leave: own(to_leave) }
}

#[test]
fn nobody_leaves_before_the_follower_has_taken_up_who_comes() {
    let old = |state| there(1, 1, state);
    let new = |state| there(2, 1, state);
    let done = |seen: &Seen| said(seen).0;
    let none = Sighted::default;
    let seen = replacing(vec![old(State::Passing), new(State::Absent)], none());
    assert_eq!(done(&seen), ["register demo-2-1 (v2) of demo at Consul"]);
    for state in [State::Unasked, State::Failing("no".into())] {
        let seen = replacing(vec![old(State::Passing), new(state)], none());
        assert!(done(&seen).is_empty() && said(&seen).1[0].contains("demo-2-1"), "{seen:?}");
    }
    let both = vec![old(State::Passing), new(State::Passing)];
    let seen = replacing(both.clone(), words(Some("v2 (v1 still answers)"), Some("x")));
    assert_eq!(
        said(&seen),
        (vec![], vec!["Consul's follower to take up v2 (v1 still answers)".into()])
    );
    let seen = replacing(both, words(None, Some("x")));
    assert_eq!(done(&seen), ["put demo-1-1 of demo into maintenance at Consul"]);
    let parted = vec![old(State::Parted), new(State::Passing)];
    let seen = replacing(parted.clone(), words(None, Some("demo-1-1 still answers")));
    let waiting = "Consul's follower to follow: demo-1-1 still answers";
    assert_eq!(said(&seen), (vec![], vec![waiting.into()]));
    let mut seen = replacing(parted, none());
    assert_eq!(done(&seen), ["note that Consul's follower carries generation 3 of demo"]);
    // It stays registered as long as it is in the routes.
    seen.record.followed = true;
    seen.record.carried.clone_from(&seen.record.routes);
    assert!(plan(seen.record.routes.as_ref(), &seen).settled());
}

#[test]
fn who_is_in_no_route_is_removed_when_nothing_is_open_there() {
    let mut seen =
        replacing(vec![there(1, 1, State::Parted), there(2, 1, State::Passing)], words(None, None));
    seen.record.routes = Some(routes(&[(2, 10_000, 1)]));
    assert!(said(&seen).0[0].starts_with("note that"), "{seen:?}");
    seen.record.followed = true;
    seen.there[0].open = 1;
    assert!(plan(seen.record.routes.as_ref(), &seen).settled());
    seen.there[0].open = 0;
    assert_eq!(said(&seen).0, ["remove demo-1-1 of demo from Consul"]);
}

#[test]
fn where_no_release_takes_the_place_of_another_who_is_lost_leaves_at_once() {
    let all = vec![there(1, 1, State::Passing), there(1, 2, State::Failing("gone".into()))];
    let mut seen = replacing(all, words(Some("demo-1-1"), Some("demo-1-2 still answers")));
    seen.record.routes = Some(routes(&[(1, 10_000, 1)]));
    seen.record.carried = Some(routes(&[(1, 10_000, 2)]));
    assert_eq!(said(&seen).0, ["put demo-1-2 of demo into maintenance at Consul"]);
}

#[test]
fn what_nobody_who_follows_consul_can_do_is_refused() {
    let seen = replacing(vec![], Sighted::default());
    let mut want = routes(&[(1, 10_000, 1)]);
    want.spread.slow_start_ms = 1;
    let plan = plan(Some(&want), &seen);
    assert!(plan.changes[0].words.contains("slow start"), "{plan:?}");
}

#[test]
fn an_app_that_nobody_carries_any_more_is_seen_off_whole() {
    let mut seen = replacing(vec![there(1, 1, State::Passing)], words(None, Some("x")));
    let publish = &plan(None, &seen).changes;
    assert_eq!(publish[0].words, "have nobody of demo served");
    seen.record.routes = None;
    let again = plan(None, &seen);
    assert_eq!(again.changes[0].words, "put demo-1-1 of demo into maintenance at Consul");
}

/// Whatever is planned leads, step by step as it is foretold, to where nothing is left to do.
#[test]
fn what_is_foretold_ends_where_it_should() {
    let mut seen = replacing(vec![there(1, 1, State::Passing)], Sighted::default());
    seen.record.routes = seen.record.carried.clone();
    seen.record.followed = true;
    let mut said = Vec::new();
    for wanted in [routes(&[(1, 0, 1), (2, 10_000, 1)]), routes(&[(2, 10_000, 1)])] {
        for _ in 0..9 {
            for change in plan(Some(&wanted), &seen).changes {
                said.push(change.words.clone());
                seen = after(Step::read(&change).unwrap(), seen).unwrap();
            }
        }
        assert!(plan(Some(&wanted), &seen).settled(), "{seen:?}");
        assert_eq!(seen.record.carried, Some(wanted));
    }
    assert_eq!(
        said,
        [
            "have demo-2-1 (v2) of demo served by Consul's follower",
            "register demo-2-1 (v2) of demo at Consul",
            "put demo-1-1 of demo into maintenance at Consul",
            "note that Consul's follower carries generation 4 of demo",
            "have demo-2-1 (v2) of demo served by Consul's follower",
            "note that Consul's follower carries generation 5 of demo",
            "remove demo-1-1 of demo from Consul",
        ]
    );
}

/// Another controller's app is left alone until somebody of ours is to serve.
#[test]
fn what_another_controller_has_is_left_alone() {
    let mut seen = replacing(vec![there(1, 1, State::Passing)], Sighted::default());
    seen.of_another = true;
    for nobody in [None, Some(routes(&[])), Some(routes(&[(1, 0, 1)]))] {
        assert!(plan(nobody.as_ref(), &seen).settled());
    }
    assert!(!plan(Some(&routes(&[(3, 10_000, 1)])), &seen).settled());
}
