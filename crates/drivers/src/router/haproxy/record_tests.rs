//! Tests of the record: round trips, the entry that requests read, maps that somebody damaged.
//!
//! Whether HAProxy reads an entry so is not tried here, but in `tests/engines`.

use super::{Left, Record, Slot};
use model::{
    AppName, Generation, Instance, InstanceId, Mark, Pool, PoolState, ReleaseId, Routes, Rule,
    Selector, Version, Weight,
};

fn app() -> AppName {
    AppName::new("demo").unwrap()
}

fn pool(release: u32, weight: u16, state: PoolState) -> Pool {
    let instance = |n: u16| Instance {
        id: InstanceId(format!("demo-{release}-{n}")),
        address: if n == 0 { ([127, 0, 0, 1], 80).into() } else { "[::1]:81".parse().unwrap() },
    };
    Pool {
        release: ReleaseId(release),
        version: Version::new(format!("v{release}.0+b_1")).unwrap(),
        weight: Weight::new(weight).unwrap(),
        state,
        instances: (0..2).map(instance).collect(),
    }
}

fn record(pools: Vec<Pool>, slots: &[Slot], hosts: &[&str], prefix: &str) -> Record {
    let routes = Routes {
        app: app(),
        generation: Generation(7),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        path_prefix: prefix.into(),
        pools,
        rules: vec![rule("new", 2), rule("a b;#", 1), rule("new", 1)],
        hold: None,
        hand_over: None,
        spread: model::Spread::default(),
    };
    let left = Left { id: InstanceId("demo-1-9".into()), slot: Slot::A, release: ReleaseId(1) };
    let (routes, slots, left) = (Some(routes), slots.to_vec(), vec![left]);
    Record { epoch: 3, generation: 7, worker: 99, routes, slots, left }
}

fn rule(value: &str, release: u32) -> Rule {
    let mark = Mark::new(Selector::Header("x-canary".into()), value).unwrap();
    Rule { mark, release: ReleaseId(release) }
}

fn ways(record: &Record) -> Vec<String> {
    let entries = record.entries(&app()).into_iter();
    entries.filter(|(key, _)| key.starts_with("at:")).map(|(k, v)| format!("{k} {v}")).collect()
}

#[test]
fn what_is_written_is_read_back() {
    let two = vec![pool(1, 7500, PoolState::Serving), pool(2, 2500, PoolState::Retiring)];
    for record in [
        record(two, &[Slot::B, Slot::A], &["a.example", "b.example"], "/shop/"),
        record(vec![], &[], &[], "/"),
        Record { routes: None, slots: vec![], ..record(vec![], &[], &[], "/") },
    ] {
        assert_eq!(Record::read(&app(), &record.entries(&app())), Ok(record));
    }
    assert_eq!(Record::read(&app(), &[]), Ok(Record::default()));
}

#[test]
fn requests_read_the_share_of_b_and_both_versions() {
    use PoolState::{Retiring, Serving};
    let one = |weight, state| record(vec![pool(1, weight, state)], &[Slot::A], &[], "/");
    assert_eq!(ways(&one(10_000, Serving)), ["at:*/ 1:0:v1.0+b_1:~"]);
    assert_eq!(ways(&one(0, Serving)), ["at:*/ 1:0:v1.0+b_1:~"], "the only one stands in");
    assert_eq!(ways(&one(10_000, Retiring)), ["at:*/ 1:0:~:~"]);
    let both = |a, b| {
        let pools = vec![pool(1, a, Serving), pool(2, b, Serving)];
        ways(&record(pools, &[Slot::A, Slot::B], &["x.example"], "/s/"))
    };
    assert_eq!(both(7500, 2500), ["at:x.example/s/ 1000003:2500:v1.0+b_1:v2.0+b_1"]);
    assert_eq!(both(10_000, 1), ["at:x.example/s/ 1000003:1:v1.0+b_1:v2.0+b_1"]);
    assert_eq!(both(0, 10_000), ["at:x.example/s/ 1000003:10000:v1.0+b_1:v2.0+b_1"]);
    assert_eq!(both(0, 0), ["at:x.example/s/ 1000003:5000:v1.0+b_1:v2.0+b_1"]);
}

#[test]
fn a_damaged_map_is_named_and_never_believed() {
    let good = record(vec![pool(1, 1, PoolState::Serving)], &[Slot::A], &[], "/").entries(&app());
    for (key, value) in [
        ("cutover:app", "other"),
        ("cutover:epoch", "x"),
        ("cutover:generation", "-1"),
        ("cutover:pool:0", "c:1:1:serving:v1"),
        ("cutover:pool:0", "a:1:10001:serving:v1"),
        ("cutover:pool:0", "a:1:1:serving:v 1"),
        ("cutover:instance:0:0", "nowhere@demo-1-0"),
        ("cutover:left:demo-1-9", "a"),
        ("cutover:rule:0", "2:h.x-canary:3"),
    ] {
        let mut bad = good.clone();
        bad.iter_mut().filter(|(k, _)| k == key).for_each(|(_, v)| *v = value.into());
        let named = Record::read(&app(), &bad).unwrap_err();
        assert!(named.contains(key), "{named}");
    }
    let foreign = [("somebody".to_owned(), "else".to_owned())];
    assert!(Record::read(&app(), &foreign).is_err());
}

#[test]
fn a_server_that_left_still_has_its_release() {
    let record = record(vec![pool(2, 1, PoolState::Serving)], &[Slot::B], &[], "/");
    assert_eq!(record.release_of(Slot::A, "demo-1-9"), Some(ReleaseId(1)));
    assert_eq!(record.release_of(Slot::B, "demo-2-0"), Some(ReleaseId(2)));
    assert_eq!(record.release_of(Slot::A, "demo-2-0"), None);
}

#[test]
fn rules_lead_to_the_slots_of_pools_that_serve() {
    use PoolState::{Retiring, Serving};
    let marked = |state| {
        let pools = vec![pool(1, 10_000, Serving), pool(2, 0, state)];
        let entries = record(pools, &[Slot::B, Slot::A], &[], "/").entries(&app()).into_iter();
        let marked = entries.filter(|(key, _)| key.ends_with(".h.x-canary"));
        marked.map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>()
    };
    let blanks = "6120623B23.h.x-canary";
    let both = ["6E6577.h.x-canary 0:a:v2.0+b_1".to_owned(), format!("{blanks} 1:b:v1.0+b_1")];
    assert_eq!(marked(Serving), both, "of two on the same value the first wins");
    // What cannot match leaves the place to the next.
    let left = [format!("{blanks} 0:b:v1.0+b_1"), "6E6577.h.x-canary 1:b:v1.0+b_1".to_owned()];
    assert_eq!(marked(Retiring), left);
}
