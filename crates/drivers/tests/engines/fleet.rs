//! Plans and what is said of a fleet, from looks written by hand: no process runs here.
//!
//! With processes, the same is in `process`.

use std::collections::BTreeMap;

use crate::common;
use crate::common::{Site, app, leaving, release, running, want};
use drivers::platform::{
    Condition, FleetHave, FleetWant, InstanceHave, Leave, Platform, ReleaseHave,
};
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
        telling_ms: None,
        killed: false,
        left_behind: false,
        trouble: Vec::new(),
    }
}

fn fleet(instances: Vec<InstanceHave>) -> FleetHave {
    let known = ReleaseHave {
        release: release(1, &[]),
        crashes: 0,
        unstarted: 0,
        not_before_ms: 0,
        last_crash: Vec::new(),
        discovered: None,
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
    use Condition::{Adopted, Doubted, Ended, Ready, Starting, Unready};
    let mut told = instance(1, Ready);
    told.told_at_ms = Some(1);
    let mut young = instance(2, Starting);
    young.ready_before = false;
    let all = |third, fourth| {
        fleet(vec![told.clone(), young.clone(), instance(3, third), instance(4, fourth)])
    };
    assert_eq!(serving(&all(Ready, Unready)), ["demo-1-3"]);
    assert_eq!(serving(&all(Ready, Adopted)), ["demo-1-3", "demo-1-4"]);
    assert_eq!(serving(&all(Doubted, Adopted)), ["demo-1-4"], "it failed a check");
    assert_eq!(serving(&all(Doubted, Unready)), ["demo-1-3"], "and it failed fewer");
    assert_eq!(serving(&all(Doubted, Doubted)), ["demo-1-3", "demo-1-4"]);
    assert_eq!(serving(&all(Unready, Ended)), ["demo-1-3"]);
    assert_eq!(serving(&all(Ended, Ended)), ["demo-1-1"]);
    assert!(serving(&fleet(vec![young, instance(3, Ended)])).is_empty());
}

/// The fail-open threshold: of those that could serve, not of those that are gone or never were ready.
#[test]
fn when_too_few_pass_all_get_requests_again() {
    use Condition::{Ended, Ready, Starting, Unready};
    let mut young = instance(9, Starting);
    young.ready_before = false;
    let mut told = instance(8, Unready);
    told.told_at_ms = Some(1);
    let open = |conditions: &[Condition], without: &[u16], percent| {
        let numbered = (1..).zip(conditions).map(|(n, condition)| instance(n, *condition));
        let have = fleet(numbered.chain([young.clone(), told.clone()]).collect());
        let without: Vec<_> = without.iter().map(|n| InstanceId(format!("demo-1-{n}"))).collect();
        let failing = have.failing(ONE).count();
        assert_eq!(failing, conditions.iter().filter(|one| **one == Unready).count());
        let serving = have.serving_open(ONE, &without, percent).into_iter();
        serving.map(|one| one.id.0[7..].to_owned()).collect::<String>()
    };
    assert_eq!(open(&[Ready, Unready, Unready], &[], 50), "123", "a third passes");
    assert_eq!(open(&[Ready, Unready, Unready], &[], 33), "1");
    assert_eq!(open(&[Ready, Unready, Unready], &[], 0), "1");
    assert_eq!(open(&[Ready, Ready, Unready], &[], 50), "12");
    assert_eq!(open(&[Ready, Unready], &[], 50), "1", "not fewer than a half");
    assert_eq!(open(&[Ready, Unready, Ended], &[], 50), "1", "who ended does not count");
    assert_eq!(open(&[Ready, Unready, Unready], &[3], 50), "1", "nor who leaves");
    assert_eq!(open(&[Unready, Unready], &[], 0), "12", "none passes");
    assert_eq!(open(&[Ready, Unready], &[], 100), "12");
}

fn leave(stay: u16, most: u16, named: &[&str], state: RunState) -> FleetWant {
    let named = named.iter().map(|id| InstanceId((*id).to_owned())).collect();
    leaving(&release(1, &[]), stay, Leave { instances: most, named, state })
}

fn picked(have: &FleetHave, want: &FleetWant) -> Vec<String> {
    have.picked(&want.releases[0]).into_iter().map(|id| id.0).collect()
}

#[test]
fn those_that_are_not_ready_are_picked_first_then_the_lowest_number() {
    use Condition::{Adopted, Ended, Found, Ready, Starting, Unready};
    let mut told = instance(1, Ready);
    told.told_at_ms = Some(1);
    let all = |one, two, three, four| {
        let (one, two) = (instance(9, one), instance(10, two));
        fleet(vec![
            told.clone(),
            instance(2, Ended),
            one,
            two,
            instance(11, three),
            instance(12, four),
        ])
    };
    let pick =
        |have: &FleetHave, stay, most| picked(have, &leave(stay, most, &[], RunState::Running));
    let have = all(Ready, Ready, Ready, Ready);
    assert_eq!(pick(&have, 3, 1), ["demo-1-9"]);
    assert_eq!(pick(&have, 2, 2), ["demo-1-9", "demo-1-10"], "numbers, not letters");
    assert_eq!(pick(&have, 1, 2), ["demo-1-9", "demo-1-10"], "never more than may leave");
    assert_eq!(pick(&have, 3, 2), ["demo-1-9"], "never one that stays");
    assert!(pick(&have, 4, 2).is_empty());
    assert_eq!(pick(&all(Ready, Unready, Ready, Ready), 3, 1), ["demo-1-10"]);
    assert_eq!(pick(&all(Ready, Ready, Found, Starting), 3, 1), ["demo-1-11"]);
    assert_eq!(pick(&all(Adopted, Ready, Adopted, Ready), 3, 1), ["demo-1-9"], "not judged yet");
    assert!(
        have.picked(&running(&release(1, &[]), 1).releases[0]).is_empty(),
        "none without leave"
    );
}

#[test]
fn the_named_are_those_that_leave_whatever_else_there_is() {
    use Condition::{Ended, Ready, Unready};
    let mut told = instance(3, Ready);
    told.told_at_ms = Some(1);
    let mut left = instance(4, Ended);
    left.left_behind = true;
    let have =
        fleet(vec![instance(1, Unready), instance(2, Ended), told, left, instance(5, Ready)]);
    let named = ["demo-1-2", "demo-1-3", "demo-1-4", "demo-1-9"];
    for state in [RunState::Terminating, RunState::Gone] {
        assert_eq!(picked(&have, &leave(0, 4, &named, state)), ["demo-1-3", "demo-1-4"]);
        assert!(picked(&have, &leave(0, 4, &[], state)).is_empty(), "nobody was named");
    }
}

#[test]
fn who_leaves_is_not_brought_back_when_nobody_else_serves() {
    use Condition::{Ready, Unready};
    let have = fleet(vec![instance(1, Ready), instance(2, Unready)]);
    let without = |ids: &[u16]| {
        let ids: Vec<_> = ids.iter().map(|n| InstanceId(format!("demo-1-{n}"))).collect();
        have.serving_without(ONE, &ids).into_iter().map(|i| i.id.0).collect::<Vec<_>>()
    };
    assert_eq!(without(&[]), ["demo-1-1"]);
    assert_eq!(without(&[1]), ["demo-1-2"], "another one may stand in");
    assert_eq!(without(&[2]), ["demo-1-1"]);
    assert!(without(&[1, 2]).is_empty());
}

#[test]
fn only_the_named_are_told_and_killed_and_the_room_they_leave_is_filled() {
    use Condition::Ready;
    let site = Site::new();
    let plan = |have: &FleetHave, want: &FleetWant| {
        let plan = site.open().plan(want, have);
        (plan.changes.into_iter().map(|c| c.words).collect::<Vec<_>>(), plan.waiting)
    };
    let tell = "tell demo-1-2 to end (SIGTERM to the group of pid 2)";
    let mut have = fleet(vec![instance(1, Ready), instance(2, Ready)]);
    let named = |stay, state| leave(stay, 1, &["demo-1-2"], state);
    let quiet = (vec![], vec![]);
    assert_eq!(plan(&have, &leave(1, 1, &[], RunState::Running)), quiet);
    assert_eq!(plan(&have, &leave(1, 1, &[], RunState::Gone)), quiet, "nobody was named");
    assert_eq!(plan(&have, &named(1, RunState::Terminating)).0, [tell]);
    assert_eq!(plan(&have, &named(1, RunState::Gone)).0, [tell]);
    let (changes, _) = plan(&have, &named(2, RunState::Terminating));
    assert_eq!(changes, [tell, "start demo-1-3 (v1) on port 30001"], "it does not count as one");
    have.instances[1].told_at_ms = Some(9_500);
    assert_eq!(plan(&have, &named(1, RunState::Terminating)), quiet, "nobody kills it yet");
    let (changes, _) = plan(&have, &named(1, RunState::Gone));
    assert_eq!(changes, ["kill demo-1-2: it did not end within 500 ms after SIGTERM"]);
}

#[test]
fn only_those_that_stay_are_waited_for() {
    use Condition::{Adopted, Ready, Starting};
    let site = Site::new();
    let waiting = |have: &FleetHave, want: &FleetWant| site.open().plan(want, have).waiting;
    let have = fleet(vec![instance(1, Ready), instance(2, Starting)]);
    let one = leave(1, 1, &[], RunState::Running);
    assert!(waiting(&have, &one).is_empty());
    assert_eq!(
        waiting(&have, &running(&release(1, &[]), 2)),
        ["demo-1-2 to pass its health check"]
    );
    let have = fleet(vec![instance(1, Ready), instance(2, Adopted)]);
    assert_eq!(waiting(&have, &one), ["demo-1-2 to pass its health check"], "the other is picked");
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
fn who_was_perhaps_told_is_told_again_at_half_of_its_time_before_anybody_kills_it() {
    let both = |one: &InstanceHave| {
        let have = fleet(vec![one.clone()]);
        [RunState::Terminating, RunState::Gone].map(|state| words(&have, state, 0))
    };
    let mut perhaps = instance(1, Condition::Ready);
    (perhaps.told_at_ms, perhaps.telling_ms) = (Some(9_751), Some(9_751));
    for (changes, waiting) in both(&perhaps) {
        assert!(changes.is_empty(), "{changes:?}");
        assert_eq!(waiting, ["demo-1-1 to end; perhaps not told yet, it is again in 1 ms"]);
    }
    let again = |one: &InstanceHave| {
        for (changes, waiting) in both(one) {
            assert_eq!(
                changes,
                ["tell demo-1-1 to end once more (SIGTERM): perhaps it was not told"]
            );
            assert!(waiting.is_empty(), "{waiting:?}");
        }
    };
    for at in [9_750, 9_000, 1] {
        (perhaps.told_at_ms, perhaps.telling_ms) = (Some(at), Some(at));
        again(&perhaps);
    }
    (perhaps.condition, perhaps.left_behind) = (Condition::Ended, true);
    again(&perhaps);
    perhaps.killed = true;
    assert!(both(&perhaps).iter().all(|(changes, _)| changes.is_empty()), "killed is enough");
}

#[test]
fn surplus_is_left_alone_and_what_is_missing_starts_on_free_ports() {
    use Condition::{Ready, Starting, Unready};
    let have = fleet(vec![instance(1, Unready), instance(2, Ready), instance(3, Starting)]);
    let (changes, waiting) = words(&have, RunState::Running, 1);
    assert!(changes.is_empty() && waiting.is_empty(), "{changes:?} {waiting:?}");
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
