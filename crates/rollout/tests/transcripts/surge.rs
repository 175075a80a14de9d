//! Stories of rolling replacements with a surge: the candidate comes first, and nobody is missing for it.
//!
//! Without one they are in `rolling`.

use model::{AppName, Barrier, Call, Event, Hook, Moment, OnFailure, Outcome, Phase, Version};
use rollout::{Other, Start, Strategy, Together};

use crate::script::{
    Role::All, Script, abort, crashed, fleet, leaving, parts, preview, routes, window,
};

fn surging(instances: u16, batch: u16, surge: u16, more: impl FnOnce(&mut Start)) -> Script {
    Script::new(|start| {
        start.instances = instances;
        start.settings.strategy = Strategy::Rolling { batch, surge };
        more(start);
    })
}

/// The router was seen to carry both, the prober to be answered by both; then the bake is over.
fn judged(script: Script, stable: u32, candidate: u32) -> Script {
    script
        .all(&[parts(stable, candidate), window("v1", 9, 0), window("v2", 9, 0)])
        .all(&[window("v2", 9, 0)])
        .wake()
}

/// Two by one: one of the candidate beside both of stable.
fn beside() -> Script {
    let ready = [fleet(2, 0, 1), fleet(1, 2, 2), fleet(2, 1, 1), preview(40, 0), Event::Armed];
    surging(2, 1, 1, |_| {}).all(&ready)
}

fn first_leaves(script: Script) -> Script {
    script
        .all(&[parts(1, 1), fleet(1, 2, 2), leaving(1, &[1], 2, 1), leaving(1, &[1], 0, 1)])
        .all(&[leaving(1, &[1], 0, 0), leaving(1, &[], 0, 0)])
}

pub(crate) fn to_the_end() -> Script {
    let second = first_leaves(judged(beside(), 2, 1)).all(&[fleet(1, 1, 1), fleet(2, 2, 2)]);
    let last = judged(second, 1, 2)
        .all(&[parts(0, 2), fleet(1, 1, 1), leaving(1, &[2], 0, 0), leaving(1, &[], 0, 0)])
        .all(&[parts(0, 2), window("v2", 9, 0), window("v2", 9, 0)]);
    last.all(&[fleet(2, 2, 2)]).wake()
}

#[test]
fn two_by_one_with_one_more() {
    to_the_end().is("surge");
}

/// The one that was to leave stays, two of stable are there again, and the candidate leaves.
#[test]
fn aborted_while_the_first_leaves() {
    judged(beside(), 2, 1)
        .all(&[parts(1, 1), fleet(1, 2, 2), leaving(1, &[1], 2, 0), abort()])
        .all(&[fleet(1, 2, 2), fleet(2, 1, 1), parts(2, 1), routes(&[(1, All)])])
        .all(&[fleet(1, 2, 2), fleet(2, 1, 1), leaving(2, &[1], 1, 0), leaving(2, &[1], 0, 0)])
        .all(&[leaving(2, &[], 0, 0), fleet(1, 2, 2), routes(&[(1, All)]), fleet(2, 0, 0)])
        .all(&[routes(&[(1, All)])])
        .is("surge-abort");
}

/// Nothing of stable was touched, so nothing has to come back.
#[test]
fn direct_requests_to_the_first_one_fail() {
    surging(2, 1, 1, |_| {})
        .all(&[fleet(1, 2, 2), fleet(2, 1, 1), preview(3, 1), fleet(2, 0, 0)])
        .all(&[routes(&[(1, All)])])
        .is("surge-preview-fails");
}

/// Two of a batch of three come first: one of four may be missing, there and back.
#[test]
fn a_part_of_the_batch_comes_first() {
    let ready = [fleet(1, 4, 4), fleet(2, 2, 2), preview(40, 0), Event::Armed];
    let script = judged(surging(4, 3, 2, |_| {}).all(&ready), 4, 2);
    let wants = |script: &Script| {
        let wants = script.machine().wants();
        let running: Vec<u16> = wants.fleet.iter().map(|want| want.instances).collect();
        (running, wants.leave.map(|leave| leave.instances))
    };
    assert_eq!(wants(&script), (vec![1, 2], Some(3)));
    let leaves = [parts(1, 2), fleet(1, 4, 4), fleet(2, 1, 2), leaving(1, &[1, 2, 3], 0, 0)];
    let script = script.all(&leaves);
    assert_eq!(script.machine().phase(), Phase::Draining, "two would be missing");
    let script = script.all(&[fleet(2, 2, 2), leaving(1, &[], 0, 0)]);
    assert_eq!(wants(&script), (vec![1, 4], None));
    let script = script.all(&[abort(), fleet(2, 2, 4)]);
    assert_eq!(wants(&script), (vec![2, 4], None), "as many more as on the way there");
    let script = script.all(&[fleet(1, 1, 2), parts(1, 2)]);
    assert_eq!(wants(&script), (vec![2, 4], None), "stable comes first");
    let script = script.all(&[fleet(1, 2, 2), parts(2, 2)]);
    assert_eq!(wants(&script), (vec![2, 1], Some(3)));
    let script = script.all(&[parts(2, 1), fleet(2, 2, 4), leaving(2, &[1, 3, 4], 0, 0)]);
    assert_eq!(wants(&script.all(&[leaving(2, &[], 0, 0)])), (vec![4, 1], None));
}

/// What came first is judged before anybody leaves, and dies: stable is whole.
#[test]
fn the_first_one_dies_on_trial() {
    let script = beside().all(&[parts(2, 1), window("v2", 9, 0), crashed(2, 0, 1)]);
    let wants = script.machine().wants();
    assert_eq!((script.machine().phase(), wants.fleet[0].instances), (Phase::RollingBack, 2));
    let script = script.all(&[fleet(1, 2, 2)]);
    assert_eq!(script.machine().wants().pools.len(), 1, "it serves nobody: no share is left");
}

#[test]
fn one_instance_rolls_where_another_may_run_beside_it() {
    let ready = [fleet(1, 1, 1), fleet(2, 1, 1), preview(40, 0), Event::Armed];
    let script = judged(surging(1, 1, 1, |_| {}).all(&ready), 1, 1);
    let script = script.all(&[parts(0, 1), fleet(1, 1, 1), leaving(1, &[1], 0, 0)]);
    let script = script.all(&[leaving(1, &[], 0, 0), parts(0, 1), window("v2", 9, 0)]);
    let machine = script.all(&[window("v2", 9, 0), fleet(2, 1, 1)]).wake().into_machine();
    assert_eq!(machine.outcome(), Some(Outcome::Promoted), "{:#?}", machine.entered());
    assert!(machine.notes().is_empty(), "{:?}", machine.notes());
}

#[test]
fn a_hook_before_the_start_holds_what_would_come_first() {
    let held = surging(2, 1, 1, |start| {
        start.settings.hooks = vec![Hook {
            name: "prepare".to_owned(),
            moment: Moment::BeforeStart,
            step: None,
            call: Call::Program(vec!["prepare".to_owned()]),
            timeout_ms: 1_000,
            retries: 0,
            on_failure: OnFailure::Abort,
            once: false,
            rollback: false,
        }];
    });
    let held = held.all(&[fleet(1, 2, 2)]);
    let wants = held.machine().wants();
    assert_eq!((wants.fleet[1].state, wants.fleet[1].instances), (model::RunState::Gone, 0));
    let (name, words) = ("prepare".to_owned(), String::new());
    let held = held.all(&[Event::HookEnded { name, passed: true, words }]);
    let wants = held.machine().wants();
    assert_eq!((wants.fleet[1].state, wants.fleet[1].instances), (model::RunState::Running, 1));
}

#[test]
fn together_no_user_sees_the_first_one_before_the_others_came() {
    let paired = surging(2, 1, 1, |start| {
        let other = AppName::new("credit").unwrap();
        let version = Version::new("v2").unwrap();
        start.settings.together = Some(Together {
            name: AppName::new("both").unwrap(),
            others: vec![Other { app: other, version, run: "r1".to_owned() }],
            wait_ms: 3_600_000,
        });
    });
    let waits = paired.all(&[fleet(1, 2, 2), fleet(2, 1, 1), preview(40, 0), Event::Armed]);
    assert_eq!(waits.machine().awaits(), Some(Barrier::Ready));
    let came = |barrier| Event::BarrierOpened { barrier };
    let waits = waits.all(&[came(Barrier::Ready), Event::Armed]);
    assert_eq!(waits.machine().awaits(), Some(Barrier::Share(1)));
    let script = judged(waits.all(&[came(Barrier::Share(1))]), 2, 1);
    assert_eq!((script.machine().phase(), script.machine().awaits()), (Phase::Draining, None));
}

/// Journals of older versions know no surge.
#[test]
fn an_older_journal_has_none() {
    let read: Strategy = serde_json::from_str(r#"{"rolling":{"batch":2}}"#).unwrap();
    assert_eq!(read, Strategy::Rolling { batch: 2, surge: 0 });
}
