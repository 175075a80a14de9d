//! Plans and what is said of a fleet, from looks written by hand: no process runs here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{Site, app, release, running, want};
use drivers::platform::{Condition, FleetHave, InstanceHave, Platform, ReleaseHave};
use model::{InstanceId, ReleaseId, RunState};

const ONE: ReleaseId = ReleaseId(1);

fn instance(number: u16, condition: Condition) -> InstanceHave {
    InstanceHave {
        id: InstanceId(format!("demo-1-{number}")),
        release: ONE,
        address: ([127, 0, 0, 1], 20_000 + number).into(),
        pid: Some(u32::from(number)),
        identity: "it".into(),
        condition,
        ready_before: true,
        told_at_ms: None,
        killed: false,
        left_behind: false,
        trouble: Vec::new(),
    }
}

fn fleet(instances: Vec<InstanceHave>) -> FleetHave {
    let known = ReleaseHave {
        release: release(1, &[]),
        crashes: 0,
        not_before_ms: 0,
        last_crash: Vec::new(),
    };
    FleetHave {
        app: app(),
        change: 0,
        now_ms: 10_000,
        last_numbers: BTreeMap::from([(ONE, u32::try_from(instances.len()).unwrap())]),
        instances,
        releases: vec![known],
        free_ports: vec![30_001, 30_002],
    }
}

fn words(have: &FleetHave, state: RunState, instances: u16) -> (Vec<String>, Vec<String>) {
    let site = Site::new();
    let plan = site.open().plan(&want(&[(&release(1, &[]), instances, state)]), have);
    (plan.changes.into_iter().map(|change| change.words).collect(), plan.waiting)
}

fn serving(have: &FleetHave) -> Vec<String> {
    have.serving_instances(ONE).into_iter().map(|i| i.id.0).collect()
}

#[test]
fn routers_get_the_ready_then_those_that_were_then_those_that_were_told() {
    use Condition::{Adopted, Ended, Ready, Starting, Unready};
    let mut told = instance(1, Ready);
    told.told_at_ms = Some(1);
    let mut young = instance(2, Starting);
    young.ready_before = false;
    let all = |third, fourth| {
        fleet(vec![told.clone(), young.clone(), instance(3, third), instance(4, fourth)])
    };
    assert_eq!(serving(&all(Ready, Unready)), ["demo-1-3"]);
    assert_eq!(serving(&all(Ready, Adopted)), ["demo-1-3", "demo-1-4"]);
    assert_eq!(serving(&all(Unready, Ended)), ["demo-1-3"]);
    assert_eq!(serving(&all(Ended, Ended)), ["demo-1-1"]);
    assert!(serving(&fleet(vec![young, instance(3, Ended)])).is_empty());
}

#[test]
fn the_told_and_the_adopted_do_not_count_as_ready() {
    let mut told = instance(1, Condition::Ready);
    told.told_at_ms = Some(1);
    let have = fleet(vec![told, instance(2, Condition::Adopted), instance(3, Condition::Ready)]);
    let seen = have.seen(ONE);
    assert_eq!((seen.existing, seen.ready, seen.crashes), (3, 1, 0));
}

#[test]
fn the_kill_comes_when_the_stop_timeout_is_over_and_not_before() {
    let mut told = instance(1, Condition::Ready);
    told.told_at_ms = Some(9_501);
    let (changes, waiting) = words(&fleet(vec![told.clone()]), RunState::Gone, 0);
    assert!(changes.is_empty(), "{changes:?}");
    assert_eq!(waiting, ["demo-1-1 to end; it is killed in 1 ms"]);
    told.told_at_ms = Some(9_500);
    let (changes, _) = words(&fleet(vec![told.clone()]), RunState::Gone, 0);
    assert_eq!(changes, ["kill demo-1-1: it did not end within 500 ms after SIGTERM"]);
    let (changes, waiting) = words(&fleet(vec![told.clone()]), RunState::Terminating, 0);
    assert!(changes.is_empty() && waiting.is_empty(), "nobody kills what is only told to end");
    told.killed = true;
    let (changes, waiting) = words(&fleet(vec![told]), RunState::Gone, 0);
    assert!(changes.is_empty(), "killed once: {changes:?}");
    assert_eq!(waiting, ["demo-1-1 to be gone, it was killed"]);
}

#[test]
fn surplus_ends_worst_first_and_what_is_missing_starts_on_free_ports() {
    use Condition::{Ready, Starting, Unready};
    let have = fleet(vec![instance(1, Unready), instance(2, Ready), instance(3, Starting)]);
    let (changes, waiting) = words(&have, RunState::Running, 1);
    assert_eq!(changes.len(), 2);
    assert!(changes[0].starts_with("tell demo-1-3") && changes[1].starts_with("tell demo-1-1"));
    assert!(waiting.is_empty());
    let (changes, waiting) = words(&have, RunState::Running, 6);
    assert_eq!(changes, ["start demo-1-4 (v1) on port 30001", "start demo-1-5 (v1) on port 30002"]);
    assert!(waiting.contains(&"a free port for demo-1-6".to_owned()), "{waiting:?}");
}

#[test]
fn the_back_off_is_waited_for() {
    let mut have = fleet(vec![]);
    have.releases[0].not_before_ms = have.now_ms + 1500;
    have.releases[0].crashes = 4;
    let (changes, waiting) = words(&have, RunState::Running, 1);
    assert!(changes.is_empty());
    assert_eq!(waiting, ["demo-1-1 to be started, in 1.5 s (4 crashed so far)"]);
    have.now_ms += 1500;
    assert_eq!(words(&have, RunState::Running, 1).0.len(), 1);
}

#[tokio::test]
async fn apps_on_record_are_known_by_name() {
    let site = Site::new();
    let platform = site.open();
    assert!(platform.apps().unwrap().is_empty());
    common::settle(&platform, &running(&release(1, &[]), 1)).await;
    assert_eq!(site.open().apps().unwrap(), [app()]);
}
