//! Routes follow each other here: what stays, what closes, what is forgotten. No request is carried.

use std::sync::Arc;

use model::{
    AppName, Generation, Instance, InstanceId, Pool, PoolState, ReleaseId, Routes, Spread, Version,
    Weight,
};

use super::Ledger;
use crate::gate::Entry;
use crate::limits;
use crate::pick::{Tried, pick};
use crate::table::Table;

fn routes(generation: u64, pools: &[(u32, PoolState)]) -> Routes {
    let pool = |&(release, state): &(u32, PoolState)| Pool {
        release: ReleaseId(release),
        version: Version::new(format!("v{release}")).unwrap(),
        weight: if state == PoolState::Serving { Weight::ALL } else { Weight::NONE },
        state,
        instances: vec![Instance {
            id: InstanceId(format!("demo-{release}-1")),
            address: "127.0.0.1:1".parse().unwrap(),
        }],
    };
    Routes {
        app: AppName::new("demo").unwrap(),
        generation: Generation(generation),
        hosts: Vec::new(),
        path_prefix: "/".into(),
        pools: pools.iter().map(pool).collect(),
        rules: Vec::new(),
        hold: None,
        hand_over: None,
        spread: Spread::default(),
    }
}

/// R23: a request that loaded the old table a moment ago finds the gate closed; the gate and
/// what is inside stay the same when the instance comes back.
#[test]
fn gates_close_when_they_leave_and_are_kept_when_they_return() {
    use PoolState::{Retiring, Serving};
    let mut ledger = Ledger::default();
    let mut publish = |generation: u64, pools: &[(u32, PoolState)]| {
        let mut shown = Table::default();
        let before = Generation(generation - 1);
        ledger.publish(1, before, routes(generation, pools), |table| shown = table).unwrap();
        let app = Arc::clone(shown.find("", "/").unwrap());
        (Arc::clone(pick(&app, &Tried::default()).unwrap()), ledger.seen().remove(0).instances)
    };
    let (old, _) = publish(1, &[(1, Serving)]);
    let inside = Entry::enter(&old).unwrap();
    for away in [vec![(1, Retiring), (2, Serving)], vec![(2, Serving)]] {
        let (new, seen) = publish(if away.len() == 2 { 2 } else { 3 }, &away);
        assert!(Entry::enter(&old).is_none() && Entry::enter(&new).is_some());
        let open: Vec<_> = seen.iter().map(|one| (one.release.0, one.requests)).collect();
        assert!(open.contains(&(1, 1)), "{open:?}");
    }
    let (back, seen) = publish(4, &[(1, Serving)]);
    assert!(Arc::ptr_eq(&old, &back) && Entry::enter(&back).is_some());
    assert_eq!(seen.iter().map(|one| one.requests).sum::<u64>(), 1);
    drop(inside);
}

/// Thousands of deploys leave no counters behind, and what an app had in all never falls.
#[test]
fn counters_of_releases_that_left_long_ago_are_folded_into_one_sum() {
    let mut ledger = Ledger::default();
    let mut open = None;
    for release in 1..=100 {
        let next = routes(release.into(), &[(release, PoolState::Serving)]);
        let before = Generation(u64::from(release) - 1);
        let mut shown = Table::default();
        ledger.publish(1, before, next, |table| shown = table).unwrap();
        let app = Arc::clone(shown.find("", "/").unwrap());
        let entry = Entry::enter(pick(&app, &Tried::default()).unwrap()).unwrap();
        if release == 3 {
            open = Some(entry);
        }
        let seen = ledger.seen().remove(0);
        let known: u64 = seen.releases.iter().map(|seen| seen.requests).sum();
        assert_eq!(known + seen.past.requests, u64::from(release));
        assert_eq!(seen.releases.len() as u64 + seen.past.releases, u64::from(release));
        let slice = ledger.slices.values_mut().next().unwrap();
        slice.gone.age(limits::COUNTERS_LINGER / 20);
    }
    let kept = |ledger: &mut Ledger| -> Vec<u32> {
        ledger.seen().remove(0).releases.iter().map(|seen| seen.release.0).collect()
    };
    // What is open keeps its counters; of the others those of an hour are there.
    assert_eq!(kept(&mut ledger), [&[3][..], &(80..=100).collect::<Vec<_>>()].concat());
    drop(open);
    ledger.slices.values_mut().next().unwrap().gone.age(limits::COUNTERS_LINGER);
    // One that returns begins anew, and its gate counts where its release is told.
    let mut shown = Table::default();
    let next = routes(101, &[(7, PoolState::Serving)]);
    ledger.publish(1, Generation(100), next, |table| shown = table).unwrap();
    assert_eq!(kept(&mut ledger), [&[7][..], &(91..=100).collect::<Vec<_>>()].concat());
    let app = Arc::clone(shown.find("", "/").unwrap());
    drop(Entry::enter(pick(&app, &Tried::default()).unwrap()).unwrap());
    let seen = ledger.seen().remove(0);
    let again = seen.releases.iter().find(|seen| seen.release == ReleaseId(7)).unwrap();
    assert_eq!((again.requests, seen.past.releases), (1, 90));
    let known: u64 = seen.releases.iter().map(|seen| seen.requests).sum();
    assert_eq!(known + seen.past.requests, 101);
}
