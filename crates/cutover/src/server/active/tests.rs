//! What comes back from the journal, on a real database.
//!
//! What the machine decides with it is not tried here, but in the crate `rollout`.

use std::collections::BTreeMap;
use std::sync::Arc;

use drivers::router::Open;
use model::{
    AppName, Counted, Counter, Event, FleetSeen, PoolState, ReleaseId, Tick, Version, Weight,
};
use model::{InstanceId, Offender, Offenders, Tally, Window, event::PoolSeen};
use rollout::analysis::{Arm, Rules};
use rollout::{Analysis, Named, Settings, Start, Strategy};

use super::{Active, FREEZE_MS, Leaving, replay};
use crate::clock;
use crate::store::refusing::Refusing;
use crate::store::{NewRun, Run, Store};

fn start() -> Start {
    let named =
        |id, version: &str| Named { id: ReleaseId(id), version: Version::new(version).unwrap() };
    let steps = vec![Weight::new(1_000).unwrap()];
    let rules = Rules { latency: false, ..Rules::default() };
    let settings = Settings {
        strategy: Strategy::Canary { steps, step_ms: 600_000, counts: Vec::new() },
        analysis: Some(Analysis { rules, ..Analysis::default() }),
        preview_requests: 0,
        probing: false,
        ..Settings::default()
    };
    let (stable, candidate) = (Some(named(1, "v1")), named(2, "v2"));
    Start { app: AppName::new("shop").unwrap(), stable, candidate, instances: 1, settings }
}

fn begin(store: &Store, began_ago_ms: u64) -> Run {
    store
        .begin(&NewRun {
            run: "one",
            start: &start(),
            original_routes: None,
            boot_id: &clock::boot_id().unwrap(),
            began_mono_ns: clock::mono_ns() - began_ago_ms * 1_000_000,
            began_unix_ms: 0,
            epoch: 1,
        })
        .unwrap()
}

/// At 10 % of the traffic.
fn baking(active: &mut Active) {
    let seen = FleetSeen { existing: 1, ready: 1, crashes: 0, unstarted: 0, trouble: Vec::new() };
    for release in [ReleaseId(1), ReleaseId(2)] {
        active.tell(&Event::Fleet { release, seen: seen.clone() }).unwrap();
    }
    let pool = |release, weight| PoolSeen {
        release: ReleaseId(release),
        weight: Weight::new(weight).unwrap(),
        state: PoolState::Serving,
    };
    active.tell(&Event::RoutesSettled { pools: vec![pool(1, 9_000), pool(2, 1_000)] }).unwrap();
}

fn units(at_s: u64, errors: u64, stable: u64) -> Event {
    let counted = |units, errors| Counted { units, errors, slow: Vec::new() };
    Event::Units {
        at_s,
        tick: Tick { candidate: counted(10, errors), stable: counted(90, stable) },
    }
}

/// A second of a rollout under load: what is open changes with every look.
fn second(active: &mut Active, at_s: u64) {
    for look in 0..20 {
        active.saw_open(ReleaseId(1), (at_s + look, 0)).unwrap();
    }
    for _ in 0..4 {
        let by_version = BTreeMap::from([("v2".to_owned(), Tally { ok: 5, ..Tally::default() })]);
        active.tell(&Event::Window(Window { by_version, ..Window::default() })).unwrap();
    }
    let errors = u64::from(at_s.is_multiple_of(10));
    active.tell(&units(at_s, errors, errors * 9)).unwrap();
}

#[test]
fn a_controller_that_comes_back_judges_on_and_the_journal_does_not_grow() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(directory.path()).unwrap());
    let mut active = Active::begin(Arc::clone(&store), begin(&store, 1_000));
    baking(&mut active);
    // As if each of these seconds had passed: the machine is kept again in each of them.
    for at_s in 1..=120 {
        active.frozen_ms = 0;
        second(&mut active, at_s);
    }
    let (run, before) = (active.run().clone(), active.machine().clone());
    let evidence = before.comparison().unwrap().log_e();
    assert_eq!(before.comparison().unwrap().compared().0.events, 12, "{evidence}");
    drop(active);
    assert!(store.frozen(run.id).unwrap().is_some());
    let rows = store.events(run.id, 0).unwrap().len();
    assert!(rows < 60, "{rows} rows of two minutes");
    assert_eq!(replay(&store, &run).unwrap().0, before, "not a bit is lost");
    // What was told before counts once; what is told now goes on from there.
    let mut active = Active::resume(Arc::clone(&store), run).unwrap();
    active.tell(&units(120, 10, 0)).unwrap();
    assert!((active.machine().comparison().unwrap().log_e() - evidence).abs() < f64::EPSILON);
    active.tell(&units(121, 3, 0)).unwrap();
    assert!(active.machine().comparison().unwrap().log_e() > evidence);
}

/// What a router counted while nobody controlled it is found when somebody does again, and nothing twice.
#[test]
fn counters_are_followed_from_where_the_journal_has_them() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(directory.path()).unwrap());
    let mut run = begin(&store, 1_000);
    let analysis = run.start.settings.analysis.as_mut().unwrap();
    analysis.rules = Rules { compare: false, counters: true, ..Rules::default() };
    let told = |requests, failed| {
        let release = Some(ReleaseId(2));
        let counters = [("7/a".to_owned(), Counter { release, requests, failed })].into();
        Event::Counters { counters, until_ms: 0 }
    };
    let counted = |active: &Active| active.machine().comparison().unwrap().counted();
    let mut active = Active::begin(Arc::clone(&store), run.clone());
    active.tell(&told(5_000, 5_000)).unwrap();
    baking(&mut active);
    active.tell(&told(5_100, 5_001)).unwrap();
    for frozen_ms in [u64::MAX, 0] {
        // As it was told, and as the machine was kept.
        active.frozen_ms = frozen_ms;
        active.tell(&told(5_200, 5_001)).unwrap();
        assert_eq!(counted(&active), Arm::new(200, 1));
        drop(active);
        active = Active::resume(Arc::clone(&store), run.clone()).unwrap();
    }
    assert!(store.frozen(run.id).unwrap().is_some());
    active.tell(&told(5_300, 5_002)).unwrap();
    assert_eq!(counted(&active), Arm::new(300, 2));
}

#[test]
fn what_was_told_after_the_machine_was_kept_is_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(directory.path()).unwrap());
    let mut active = Active::begin(Arc::clone(&store), begin(&store, FREEZE_MS + 1));
    baking(&mut active);
    assert!(store.frozen(active.run().id).unwrap().is_some());
    active.frozen_ms = u64::MAX;
    second(&mut active, 7);
    active.tell(&Event::PauseAsked { reason: "a test".to_owned() }).unwrap();
    let (machine, _) = replay(&store, active.run()).unwrap();
    assert_eq!(&machine, active.machine());
    assert!(machine.paused().is_some());
}

#[test]
fn a_machine_of_a_newer_cutover_or_a_damaged_one_is_named_and_nothing_is_guessed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(directory.path()).unwrap());
    let mut active = Active::begin(Arc::clone(&store), begin(&store, FREEZE_MS + 1));
    baking(&mut active);
    let run = active.run().clone();
    let raw = rusqlite::Connection::open(directory.path().join("cutover.db")).unwrap();
    let newer = "UPDATE frozen SET body = json_set(body, '$.machine_version', 99)";
    raw.execute(newer, []).unwrap();
    assert!(replay(&store, &run).unwrap_err().what.contains("newer Cutover (machine 99)"));
    raw.execute("UPDATE frozen SET body = substr(body, 1, 100)", []).unwrap();
    assert!(replay(&store, &run).unwrap_err().what.contains("a rollout's machine"));
}

/// The kinds of the events in the journal, in their order.
fn journaled(store: &Store, run: &Run) -> Vec<String> {
    let kind = |event: &Event| serde_json::to_value(event).unwrap()["event"].clone();
    let events = store.events(run.id, 0).unwrap();
    events.iter().map(|(_, event)| kind(event).as_str().unwrap().to_owned()).collect()
}

/// One look at the world: everything that is told at most once while it stays as it is.
fn look(active: &mut Active) -> Vec<bool> {
    let fleet = FleetSeen { existing: 1, ready: 0, crashes: 0, unstarted: 0, trouble: Vec::new() };
    let (release, instance) = (ReleaseId(2), InstanceId("shop-2-1".to_owned()));
    let open = Open { requests: 3, tunnels: 1 };
    let leaving = Leaving { release, instances: vec![instance.clone()], open };
    let (tunnel, method, path) = (false, "GET".to_owned(), "/".to_owned());
    let oldest = vec![Offender { instance, tunnel, method, path, age_ms: 9 }];
    let offenders = Offenders { oldest, more: 0 };
    let told = [
        active.saw_fleet(release, fleet).map(drop),
        active.saw_open(release, (3, 1)).map(drop),
        active.saw_leaving(leaving).map(drop),
        active.saw_movable((release, 1)).map(drop),
        active.saw_lingering(&offenders, false),
    ];
    told.iter().map(Result::is_ok).collect()
}

#[test]
fn what_the_journal_refused_is_told_at_the_next_look_and_then_not_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(directory.path()).unwrap());
    let mut active = Active::begin(Arc::clone(&store), begin(&store, 0));
    active.frozen_ms = u64::MAX;
    let refusing = Refusing::journal(directory.path());
    let before = active.machine().clone();
    assert_eq!(look(&mut active), [false; 5]);
    assert_eq!(active.machine(), &before, "it was told what is not in the journal");
    drop(refusing);
    for _ in 0..2 {
        assert_eq!(look(&mut active), [true; 5]);
        let all = ["fleet", "open", "leaving", "movable", "lingering"];
        assert_eq!(journaled(&store, active.run()), all);
    }
}

#[test]
fn an_event_that_is_in_the_journal_was_told_also_where_the_machine_could_not_be_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(directory.path()).unwrap());
    let mut active = Active::begin(Arc::clone(&store), begin(&store, FREEZE_MS + 1));
    let refusing = Refusing::machine(directory.path());
    baking(&mut active);
    assert!(active.judges_windows(), "{:?}", active.entered());
    assert!(store.frozen(active.run().id).unwrap().is_none());
    drop(refusing);
    active.frozen_ms = 0;
    second(&mut active, 7);
    assert!(store.frozen(active.run().id).unwrap().is_some());
}
