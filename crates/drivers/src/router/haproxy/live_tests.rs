//! Tests of what an edited map means: every kind of edit is noticed, and read as requests read it.
//!
//! No HAProxy runs here: with a real one this is tried in `tests/engines/haproxy_truth`.

use super::{Entry, compare};
use crate::router::haproxy::record::{Record, Slot};
use model::{
    AppName, Generation, Instance, InstanceId, Mark, Pool, PoolState, ReleaseId, Routes, Rule,
    Selector, Version, Weight,
};

fn app() -> AppName {
    AppName::new("demo").unwrap()
}

fn pool(release: u32, weight: u16, state: PoolState) -> Pool {
    let id = InstanceId(format!("demo-{release}-0"));
    Pool {
        release: ReleaseId(release),
        version: Version::new(format!("v{release}")).unwrap(),
        weight: Weight::new(weight).unwrap(),
        state,
        instances: vec![Instance { id, address: ([127, 0, 0, 1], 80).into() }],
    }
}

/// v1 with 75% in slot b, v2 with 25% in slot a, one rule.
fn record(hosts: &[&str], prefix: &str) -> Record {
    let mark = Mark::new(Selector::Header("x-canary".into()), "1").unwrap();
    let routes = Routes {
        spread: model::Spread::default(),
        app: app(),
        generation: Generation(7),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        path_prefix: prefix.into(),
        pools: vec![pool(1, 7_500, PoolState::Serving), pool(2, 2_500, PoolState::Serving)],
        rules: vec![Rule { mark, release: ReleaseId(2) }],
        hold: None,
        hand_over: None,
    };
    let (routes, slots) = (Some(routes), vec![Slot::B, Slot::A]);
    Record { epoch: 3, generation: 7, worker: 9, routes, slots, left: vec![] }
}

/// Entries after an edit: value `None` deletes.
fn edit(entries: &[Entry], key: &str, value: Option<&str>) -> Vec<Entry> {
    let mut edited = entries.to_vec();
    edited.retain(|(there, _)| there != key);
    assert!(edited.len() < entries.len() || value.is_some());
    edited.extend(value.map(|value| (key.to_owned(), value.to_owned())));
    edited
}

/// What requests obey: weights and states of the pools, and how many rules.
fn obeyed(entries: &[Entry], kept: &[Entry]) -> (Vec<(u32, u16, PoolState)>, usize) {
    let (_, edited) = compare(&app(), entries, || kept.to_vec()).unwrap();
    let routes = edited.expect("the edit is noticed").routes;
    let pool = |p: &Pool| (p.release.0, p.weight.basis_points(), p.state);
    let pools = routes.iter().flat_map(|routes| routes.pools.iter().map(pool)).collect();
    (pools, routes.map_or(0, |routes| routes.rules.len()))
}

#[test]
fn what_was_published_is_believed_without_its_file() {
    for record in [record(&[], "/"), record(&["a.example"], "/shop/"), Record::default()] {
        let entries = if record == Record::default() { vec![] } else { record.entries(&app()) };
        let mut moved = entries.clone();
        moved.reverse();
        for entries in [entries, moved] {
            let found = compare(&app(), &entries, Vec::new);
            assert_eq!(found, Ok((record.clone(), None)));
        }
    }
}

#[test]
fn requests_obey_the_entries_and_not_the_notes() {
    use PoolState::{Retiring, Serving};
    let entries = record(&[], "/").entries(&app());
    let at = |value| obeyed(&edit(&entries, "at:*/", Some(value)), &entries);
    assert_eq!(at("1:10000:v2:v1"), (vec![(1, 10_000, Serving), (2, 0, Serving)], 1));
    assert_eq!(at("1:0:v2:~"), (vec![(1, 0, Retiring), (2, 10_000, Serving)], 1));
    // A version that nobody published there belongs to no release.
    assert_eq!(at("1:7500:v3:v1"), (vec![(1, 7_500, Serving)], 1));
    for garbage in ["", "x", "1:a:v2:v1", "0:1:v2:v1", "9:1:v2:v1", "1:1:v2"] {
        assert_eq!(at(garbage), (vec![], 0), "{garbage}");
    }
    assert_eq!(obeyed(&edit(&entries, "at:*/", None), &entries), (vec![], 0));
    assert_eq!(obeyed(&[], &entries), (vec![], 0), "cleared, and the file knows what it was");
    let as_before = vec![(1, 7_500, Serving), (2, 2_500, Serving)];
    let rule = |value| obeyed(&edit(&entries, "31.h.x-canary", value), &entries);
    assert_eq!(rule(None), (as_before.clone(), 0));
    assert_eq!(rule(Some("0:b:v1")), (as_before.clone(), 0));
    // One more host, an entry twice, a note that is gone or says something else.
    let more = [("at:a.example/", "1000001:0:v2:v1"), ("at:*/", "1:7500:v2:v1")];
    for (key, value) in more {
        let mut edited = entries.clone();
        edited.push((key.into(), value.into()));
        assert_eq!(obeyed(&edited, &entries).0, as_before, "{key}");
    }
    for (key, value) in [("cutover:pool:0", None), ("cutover:pool:0", Some("b:1:1:serving:v1"))] {
        assert_eq!(obeyed(&edit(&entries, key, value), &entries), (as_before.clone(), 1));
    }
}

#[test]
fn hosts_and_prefixes_are_read_from_the_keys() {
    let entries = record(&["a.example", "b.example"], "/shop/").entries(&app());
    let less = edit(&entries, "at:b.example/shop/", None);
    let (_, edited) = compare(&app(), &less, Vec::new).unwrap();
    let routes = edited.unwrap().routes.unwrap();
    assert_eq!((routes.hosts, routes.path_prefix), (vec!["a.example".to_owned()], "/shop/".into()));
}

#[test]
fn notes_that_are_lost_are_found_in_the_file_and_the_fence_never_falls() {
    let published = record(&[], "/");
    let entries = published.entries(&app());
    for broken in [vec![], edit(&entries, "cutover:app", None)] {
        let (record, edited) = compare(&app(), &broken, || entries.clone()).unwrap();
        assert!(record == published && edited.is_some());
    }
    let newer = Record { epoch: 8, generation: 8, ..published.clone() }.entries(&app());
    let lost = edit(&entries, "cutover:hosts", None);
    assert_eq!(compare(&app(), &lost, || newer).unwrap().0.epoch, 8);
    // Nobody knows anything any more.
    let broken = edit(&entries, "cutover:app", None);
    assert!(compare(&app(), &broken, Vec::new).is_err());
}
