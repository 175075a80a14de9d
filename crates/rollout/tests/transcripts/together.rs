//! Stories of apps that are rolled out together: where one waits for the other, and turns back with it.
//!
//! Whole groups, with deaths in between, are simulated (`tests/simulation/group`), not told here.

use model::Barrier::{self, Final, Ready, Share, Sure};
use model::{AppName, Event, Outcome, Phase, Version, Weight};
use rollout::{Aim, Cause, Other, Stage, Start, Strategy, Together, foresee};

use crate::script::Role::{All, Part, Retiring, Spare};
use crate::script::{Script, abort, crashed, fleet, open, preview, routes, window};

fn app(name: &str) -> AppName {
    AppName::new(name).unwrap()
}

fn join(start: &mut Start) {
    let version = Version::new("v2").unwrap();
    start.settings.together = Some(Together {
        name: app("both"),
        others: vec![Other { app: app("credit"), version, run: "r1".to_owned() }],
        wait_ms: 3_600_000,
    });
}

fn paired() -> Script {
    Script::new(join)
}

fn came(barrier: Barrier) -> Event {
    Event::BarrierOpened { barrier }
}

fn deserted() -> Event {
    let why = "v2 was not ready within 60 s: 0 of 2 instances of v2 ready\n503".to_owned();
    Event::Deserted { app: app("credit"), why }
}

fn stage(reached: Barrier) -> Stage {
    Stage { reached: Some(reached), turned: None }
}

fn until_baking(script: Script) -> Script {
    script
        .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), came(Ready), Event::Armed])
        .all(&[came(Share(1)), routes(&[(1, Spare), (2, All)]), window("v2", 20, 0)])
        .all(&[window("v2", 20, 0)])
}

#[test]
fn each_barrier_holds_what_follows() {
    paired()
        .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0)])
        .all(&[came(Share(1)), came(Final)])
        .at(90_000, &Event::Resumed)
        .all(&[fleet(1, 2, 2), fleet(2, 2, 2), came(Ready), Event::Armed])
        .all(&[came(Share(1)), routes(&[(1, Spare), (2, All)]), window("v2", 20, 0)])
        .all(&[window("v2", 20, 0)])
        .wake()
        .at(30_000, &came(Sure))
        .all(&[crashed(2, 1, 1), abort(), came(Final)])
        .all(&[routes(&[(1, Retiring), (2, All)]), fleet(2, 2, 2), open(1, 0, 0), deserted()])
        .all(&[fleet(1, 0, 0), routes(&[(2, All)]), fleet(1, 0, 0)])
        .is("together");
}

/// Five controllers that come back give the others their time again, and no more of them.
#[test]
fn controllers_that_die_again_and_again_do_not_wait_for_ever() {
    let dying = |rules, times| {
        let script = Script::new(|start| {
            join(start);
            start.settings.rules = rules;
        });
        let script = script.all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0)]);
        let all = [fleet(1, 2, 2), fleet(2, 2, 2)];
        (0..times).fold(script, |script, _| script.at(3_000_000, &Event::Resumed).all(&all))
    };
    let now = rollout::MACHINE_VERSION;
    let waits = dying(now, 6).into_machine();
    assert_eq!((waits.awaits(), waits.turns_back()), (Some(Ready), false));
    assert!(dying(now, 7).into_machine().turns_back());
    assert!(
        !dying(3, 7).into_machine().turns_back(),
        "a journal of earlier rules tells what it told"
    );
}

#[test]
fn one_turns_back_with_the_other() {
    paired()
        .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), deserted()])
        .all(&[fleet(2, 0, 0), routes(&[(1, All)])])
        .is("together-before-users");
    until_baking(paired())
        .wake()
        .all(&[came(Sure), deserted(), fleet(1, 2, 2), routes(&[(1, All), (2, Spare)])])
        .all(&[
            routes(&[(1, All), (2, Retiring)]),
            open(2, 0, 0),
            fleet(2, 0, 0),
            routes(&[(1, All)]),
        ])
        .is("together-bound");
}

#[test]
fn what_speaks_against_it_turns_it_back_while_it_waits() {
    let waits = || until_baking(paired()).wake();
    assert_eq!(waits().into_machine().stage(), stage(Sure));
    for event in [crashed(2, 1, 1), abort()] {
        let machine = waits().all(&[event]).into_machine();
        let Stage { reached, turned } = machine.stage();
        assert_eq!((machine.phase(), reached), (Phase::RollingBack, Some(Share(1))));
        assert!(turned.is_some());
    }
}

#[test]
fn shares_are_taken_in_step() {
    let quarter = Weight::new(2_500).unwrap();
    let script = Script::new(|start| {
        join(start);
        start.settings.strategy =
            Strategy::Canary { steps: vec![quarter], step_ms: 1_000, counts: Vec::new() };
    });
    let part = routes(&[(1, Part(75)), (2, Part(25))]);
    script
        .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), came(Ready), Event::Armed])
        .all(&[came(Share(1)), part, window("v2", 20, 0), window("v2", 20, 0)])
        .all(&[Event::WeightAsked { weight: Weight::new(5_000).unwrap() }])
        .wake()
        .all(&[came(Share(2)), routes(&[(1, Spare), (2, All)]), window("v2", 20, 0)])
        .is("together-canary");
}

#[test]
fn in_place_nothing_leaves_before_the_others_are_ready() {
    let script = Script::new(|start| {
        join(start);
        start.settings.strategy = Strategy::Rolling { batch: 1, surge: 0 };
    });
    let waits = script.all(&[fleet(1, 2, 2), fleet(2, 0, 0)]);
    let machine = waits.into_machine();
    assert_eq!((machine.phase(), machine.awaits()), (Phase::Starting, Some(Share(1))));
}

#[test]
fn nobody_says_that_the_others_came() {
    let machine = until_baking(paired()).wake().wake().into_machine();
    assert_eq!(machine.phase(), Phase::RollingBack);
    let last = machine.entered().last().unwrap();
    assert!(last.why.starts_with("credit did not come to the end of the bake"), "{}", last.why);
    let bound = until_baking(paired()).wake().all(&[came(Sure)]).wake().into_machine();
    assert_eq!(bound.outcome(), Some(Outcome::Stuck), "bound, it does not turn back by itself");
}

#[test]
fn the_ruling_says_what_is_told_next() {
    let machine = paired().all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0)]).into_machine();
    assert_eq!(machine.ruling(&[]), None, "nobody knows of the other");
    assert_eq!(machine.ruling(&[Stage::default()]), None);
    assert_eq!(machine.ruling(&[stage(Ready)]), Some(came(Ready)));
    assert_eq!(machine.ruling(&[stage(Final)]), Some(came(Ready)), "it is past that");
    let turned = Stage { reached: Some(Ready), turned: Some("why".to_owned()) };
    assert!(matches!(machine.ruling(&[turned]), Some(Event::Deserted { .. })));
}

#[test]
fn a_plan_does_not_wait() {
    for strategy in [Strategy::BlueGreen, Strategy::Rolling { batch: 1, surge: 0 }] {
        let script = Script::new(|start| {
            join(start);
            start.settings.strategy = strategy;
        });
        let seen = foresee(script.into_machine().start());
        assert_eq!(seen.last().unwrap().phase, Phase::Promoted);
    }
}

#[test]
fn a_rollback_for_which_the_others_do_not_come_pauses_and_is_not_rolled_back() {
    let back = |start: &mut Start| {
        join(start);
        start.settings.aim = Aim::Rollback;
    };
    // The bake is over, and nobody says that the others came in all the time.
    let late = || until_baking(Script::new(back)).wake().wake();
    let machine = late().into_machine();
    let pause = machine.paused().expect("it waits for a person");
    assert_eq!((machine.phase(), pause.cause), (Phase::Baking, Cause::Failing));
    let said = "credit did not come to the end of the bake within 3600 s; a rollback is not";
    assert!(pause.why.starts_with(said), "{}", pause.why);
    let unattended = late().wake().into_machine();
    assert_eq!(unattended.outcome(), Some(Outcome::Stuck), "it stays where users are");
    assert!(unattended.wants().pools.iter().any(|pool| pool.weight == Weight::ALL));

    // A person gives the others the same time again, and they come.
    let resumed = late().all(&[Event::ResumeAsked]);
    let came = resumed.all(&[came(Sure), came(Final)]).into_machine();
    assert_eq!((came.phase(), came.awaits()), (Phase::Draining, None));
    // Before its users are on it, it is taken back as any other.
    let ready = Script::new(back).all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0)]).wake();
    assert_eq!(ready.into_machine().phase(), Phase::StoppingCandidate);
}
