//! Tests of the plan: which steps in which order, what is waited for, what is refused. No step is taken.

use std::collections::BTreeMap;

use model::{
    AppName, Generation, Instance, InstanceId, Mark, Pool, PoolState, ReleaseId, Routes, Rule,
    Selector, Version, Weight,
};

use super::{Record, Slot, plan};
use crate::router::fenced::Fenced as _;
use crate::router::haproxy::live::Edited;
use crate::router::haproxy::seen::{Condition, Seen, Server};
use crate::router::haproxy::step::Step;

fn app() -> AppName {
    AppName::new("demo").unwrap()
}

fn id(release: u32) -> InstanceId {
    InstanceId(format!("demo-{release}-1"))
}

fn pool(release: u32, weight: u16, state: PoolState) -> Pool {
    let port = 1000 + u16::try_from(release).unwrap();
    Pool {
        release: ReleaseId(release),
        version: Version::new(format!("v{release}")).unwrap(),
        weight: Weight::new(weight).unwrap(),
        state,
        instances: vec![Instance { id: id(release), address: ([127, 0, 0, 1], port).into() }],
    }
}

fn serving(release: u32, weight: u16) -> Pool {
    pool(release, weight, PoolState::Serving)
}

fn routes(pools: Vec<Pool>) -> Routes {
    let generation = Generation(4);
    Routes {
        app: app(),
        generation,
        hosts: vec![],
        path_prefix: "/".into(),
        pools,
        rules: vec![],
        hold: None,
        hand_over: None,
        spread: model::Spread::default(),
    }
}

fn server(slot: Slot, release: u32, condition: Condition) -> Server {
    let address = Some(pool(release, 0, PoolState::Serving).instances[0].address);
    Server { slot, id: id(release), address, condition, open: 0 }
}

fn seen(carried: Option<Routes>, slots: &[Slot], servers: Vec<Server>) -> Seen {
    let slots = slots.to_vec();
    let record = Record { generation: 4, routes: carried, slots, ..Record::default() };
    let looks_at = vec![Selector::Header("x-canary".into())];
    Seen { app: app(), record, edited: None, looks_at, servers }
}

/// The plan in short: words of the changes, then what is waited for.
fn short(want: Option<&Routes>, seen: &Seen) -> Vec<String> {
    let plan = plan(want, seen);
    assert!(plan.changes.iter().all(|change| Step::read(change).is_ok()), "{plan:?}");
    let changes = plan.changes.into_iter().map(|change| change.words);
    changes.chain(plan.waiting.into_iter().map(|what| format!("wait: {what}"))).collect()
}

#[test]
fn a_release_is_added_checked_and_only_then_routed() {
    let carried = routes(vec![serving(1, 10_000)]);
    let want = routes(vec![serving(1, 0), serving(2, 10_000)]);
    let with = |conditions: &[Condition]| {
        let mut servers = vec![server(Slot::A, 1, Condition::Ready)];
        servers.extend(conditions.iter().map(|c| server(Slot::B, 2, c.clone())));
        short(Some(&want), &seen(Some(carried.clone()), &[Slot::A], servers))
    };
    assert_eq!(with(&[]), ["add demo-2-1 (127.0.0.1:1002) to slot b of demo"]);
    assert_eq!(with(&[Condition::Maint]), ["check demo-2-1 again in slot b of demo"]);
    assert_eq!(with(&[Condition::Unchecked]), ["wait: the first check of demo-2-1"]);
    let failing = Condition::Failing("L4CON".into());
    assert_eq!(with(&[failing]), ["wait: demo-2-1 to pass its check: L4CON"]);
    let route = "route demo (generation 5): v1 0.00% on 1 in slot a, v2 100.00% on 1 in slot b";
    assert_eq!(with(&[Condition::Passing]), [route]);
}

#[test]
fn a_release_stays_in_the_slot_where_its_first_server_is() {
    let want = routes(vec![serving(1, 10_000)]);
    for slot in Slot::BOTH {
        let one = seen(None, &[], vec![server(slot, 1, Condition::Unchecked)]);
        assert_eq!(short(Some(&want), &one), ["wait: the first check of demo-1-1"]);
    }
}

#[test]
fn settled_is_settled_and_a_lost_server_is_not() {
    let carried = routes(vec![serving(1, 10_000)]);
    let ready = vec![server(Slot::A, 1, Condition::Ready)];
    assert_eq!(short(Some(&carried), &seen(Some(carried.clone()), &[Slot::A], ready)), [""; 0]);
    let lost = seen(Some(carried.clone()), &[Slot::A], vec![]);
    assert_eq!(short(Some(&carried), &lost), ["add demo-1-1 (127.0.0.1:1001) to slot a of demo"]);
    assert_eq!(short(None, &seen(None, &[], vec![])), [""; 0]);
}

/// In use, and HAProxy sends it nothing.
#[test]
fn a_server_that_is_down_is_waited_for_and_one_without_weight_gets_it_back() {
    let carried = routes(vec![serving(1, 10_000), serving(2, 0)]);
    let with = |one: Condition, two: Condition| {
        let servers = vec![server(Slot::A, 1, one), server(Slot::B, 2, two)];
        seen(Some(carried.clone()), &[Slot::A, Slot::B], servers)
    };
    let down = || Condition::Down("L4CON refused".into());
    let ready = || Condition::Ready;
    let said = short(Some(&carried), &with(down(), ready()));
    assert_eq!(said, ["wait: demo-1-1 to pass its check: L4CON refused"]);
    // One that stands by gets nothing, and may stay down for ever.
    assert_eq!(short(Some(&carried), &with(ready(), down())), [""; 0]);
    let said = short(Some(&carried), &with(Condition::Weightless, ready()));
    assert_eq!(said, ["give demo-1-1 its weight back in slot a of demo"]);
    // Nobody is given more of a release that is down, and taking from it waits for nothing.
    let both = |one, two| routes(vec![serving(1, one), serving(2, two)]);
    let half = short(Some(&both(5_000, 5_000)), &with(down(), ready()));
    assert_eq!(half.len(), 2, "{half:?}");
    assert!(half[0].starts_with("route demo (generation 5): v1 50.00%"), "{half:?}");
    let more = short(Some(&both(5_000, 5_000)), &with(ready(), down()));
    assert_eq!(more, ["wait: demo-2-1 to pass its check: L4CON refused"]);
}

#[test]
fn a_release_that_has_lost_everybody_leaves_before_anything_is_written() {
    let carried = routes(vec![serving(1, 0), serving(2, 10_000)]);
    let mut back = routes(vec![serving(1, 10_000), serving(2, 0)]);
    back.pools[1].instances.clear();
    let with = |stable: Condition| {
        let servers = vec![server(Slot::A, 1, stable), server(Slot::B, 2, Condition::Ready)];
        short(Some(&back), &seen(Some(carried.clone()), &[Slot::A, Slot::B], servers))
    };
    let said = with(Condition::Ready);
    assert_eq!(said[0], "take demo-2-1 out of use in slot b of demo");
    assert!(said[1].starts_with("route demo (generation 5): v1 100.00%") && said.len() == 2);
    // Nobody could stand in: the routes come first.
    assert!(with(Condition::Passing)[0].starts_with("route demo"));
}

#[test]
fn a_map_that_somebody_changed_is_put_back_at_once() {
    let carried = routes(vec![serving(1, 10_000)]);
    let ready = vec![server(Slot::A, 1, Condition::Ready)];
    let mut have = seen(Some(carried.clone()), &[Slot::A], ready);
    let entry = "`at:*/` is missing".to_owned();
    have.edited = Some(Edited { entry, routes: None, slots: vec![] });
    let back = "route demo (generation 5): v1 100.00% on 1 in slot a (somebody changed the map: \
                `at:*/` is missing)";
    assert_eq!(short(Some(&carried), &have), [back]);
    // Also while something else is being brought in, which takes its time.
    let want = routes(vec![serving(1, 7_500), serving(2, 2_500)]);
    have.servers.push(server(Slot::B, 2, Condition::Unchecked));
    assert_eq!(short(Some(&want), &have), [back, "wait: the first check of demo-2-1"]);
    assert_eq!(short(None, &have).len(), 1, "withdrawing puts it right as well");
}

#[test]
fn what_left_is_taken_out_of_use_and_deleted_when_idle() {
    let carried = routes(vec![serving(2, 10_000)]);
    let with = |condition: Condition, open: u64| {
        let left = Server { open, ..server(Slot::A, 1, condition) };
        let servers = vec![left, server(Slot::B, 2, Condition::Ready)];
        short(Some(&carried), &seen(Some(carried.clone()), &[Slot::B], servers))
    };
    assert_eq!(with(Condition::Ready, 3), ["take demo-1-1 out of use in slot a of demo"]);
    assert_eq!(with(Condition::Maint, 3), [""; 0]);
    assert_eq!(with(Condition::Maint, 0), ["delete demo-1-1 from slot a of demo"]);
}

#[test]
fn a_third_release_waits_for_a_slot_that_is_emptied_first() {
    let carried = routes(vec![pool(1, 0, PoolState::Retiring), serving(2, 10_000)]);
    let want = routes(vec![serving(2, 0), serving(3, 10_000)]);
    let both = vec![server(Slot::A, 1, Condition::Ready), server(Slot::B, 2, Condition::Ready)];
    let full = seen(Some(carried), &[Slot::A, Slot::B], both.clone());
    let emptied = "route demo (generation 5): v2 100.00% on 1 in slot b";
    assert_eq!(short(Some(&want), &full), [emptied]);
    // The old server is still in use: the new release is not routed into its slot.
    let mut servers = both;
    servers.push(server(Slot::A, 3, Condition::Passing));
    let one = seen(Some(routes(vec![serving(2, 10_000)])), &[Slot::B], servers);
    assert_eq!(short(Some(&want), &one), ["take demo-1-1 out of use in slot a of demo"]);
}

#[test]
fn what_retires_or_stands_by_holds_nothing_up() {
    let carried = routes(vec![serving(1, 0), serving(2, 10_000)]);
    let failing = || Condition::Failing("L4CON".into());
    let servers = vec![server(Slot::A, 1, Condition::Ready), server(Slot::B, 2, failing())];
    let have = seen(Some(carried), &[Slot::A, Slot::B], servers);
    for back in [serving(2, 0), pool(2, 0, PoolState::Retiring)] {
        let said = short(Some(&routes(vec![serving(1, 10_000), back])), &have);
        assert!(said[0].starts_with("route demo (generation 5): v1 100.00%"), "{said:?}");
    }
}

#[test]
fn what_haproxy_cannot_carry_is_refused_with_a_reason() {
    let have = seen(None, &[], vec![]);
    let three = routes(vec![serving(1, 1), serving(2, 1), serving(3, 1)]);
    let mut odd = BTreeMap::from([("3 releases at once", three)]);
    odd.insert("path prefix", Routes { path_prefix: "/a b".into(), ..routes(vec![]) });
    odd.insert("host name", Routes { hosts: vec!["a;b".into()], ..routes(vec![]) });
    let rule = |on| Rule { mark: Mark::new(on, "1").unwrap(), release: ReleaseId(1) };
    for (why, on) in [
        ("a rule on the header x-other: its configuration", Selector::Header("X-Other".into())),
        ("a rule on the cookie x-canary: its configuration", Selector::Cookie("x-canary".into())),
        ("a rule on the cookie a|b", Selector::Cookie("a|b".into())),
    ] {
        odd.insert(why, Routes { rules: vec![rule(on)], ..routes(vec![]) });
    }
    let slow = model::Spread { slow_start_ms: 1, ..Default::default() };
    odd.insert("cohorts or a slow start", Routes { spread: slow, ..routes(vec![]) });
    let mut name = routes(vec![serving(1, 1)]);
    name.pools[0].instances[0].id = InstanceId("x;disable server".into());
    odd.insert("name of a server", name);
    for (why, want) in odd {
        let said = short(Some(&want), &have);
        assert!(said.len() == 1 && said[0].contains(why), "{why}: {said:?}");
    }
}

#[test]
fn a_pool_at_weight_0_that_a_rule_names_must_be_ready_and_its_rule_is_told() {
    let carried = routes(vec![serving(1, 10_000)]);
    let mut want = routes(vec![serving(1, 10_000), serving(2, 0)]);
    let mark = Mark::new(Selector::Header("X-Canary".into()), "new").unwrap();
    want.rules = vec![Rule { mark, release: ReleaseId(2) }];
    let with = |condition: Condition| {
        let servers = vec![server(Slot::A, 1, Condition::Ready), server(Slot::B, 2, condition)];
        short(Some(&want), &seen(Some(carried.clone()), &[Slot::A], servers))
    };
    assert_eq!(with(Condition::Unchecked), ["wait: the first check of demo-2-1"]);
    let route = "route demo (generation 5): v1 100.00% on 1 in slot a, v2 0.00% on 1 in slot b; \
                 header x-canary = new to release 2";
    assert_eq!(with(Condition::Passing), [route]);
    let both = vec![server(Slot::A, 1, Condition::Ready), server(Slot::B, 2, Condition::Ready)];
    let have = seen(Some(want.clone()), &[Slot::A, Slot::B], both);
    assert_eq!(short(Some(&want), &have), [""; 0]);
    let without = Routes { rules: vec![], ..want.clone() };
    assert!(short(Some(&without), &have)[0].ends_with("v2 0.00% on 1 in slot b"));
}
