//! Stories of metrics with limits, measured while the candidate serves on trial.
//!
//! Who measures, and how, is not known to the machine.

use model::{Event, Measured, Phase, Weight};
use rollout::analysis::Rules;
use rollout::{Analysis, Cause, Due, Metric, Strategy, Unmeasured};

use crate::script::Role::Part;
use crate::script::{Script, fleet, preview, routes, units, window};

const QUARTER: u16 = 2_500;

fn metric(unmeasured: Unmeasured) -> Metric {
    let name = "queue".to_owned();
    Metric { name, failures: 2, unmeasured, at: Vec::new(), patience_ms: 5_000 }
}

/// At 25 % of the requests for 10 s, with this metric.
fn measured(metric: Metric) -> Script {
    by_rules(rollout::MACHINE_VERSION, metric)
}

fn by_rules(rules: u32, metric: Metric) -> Script {
    with(rules, metric, None)
}

fn with(rules: u32, metric: Metric, analysis: Option<Analysis>) -> Script {
    let steps = vec![Weight::new(QUARTER).unwrap()];
    let quarter = routes(&[(1, Part(75)), (2, Part(25))]);
    Script::new(|start| {
        start.settings.strategy = Strategy::Canary { steps, step_ms: 10_000, counts: Vec::new() };
        start.settings.metrics = vec![metric];
        start.settings.analysis = analysis;
        start.settings.rules = rules;
    })
    .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), Event::Armed])
    .all(&[quarter, window("v1", 15, 0), window("v2", 5, 0)])
}

fn found(found: Measured) -> Event {
    let words = match found {
        Measured::Within => "queue is 3, at most 100",
        Measured::Beyond => "queue is 140, more than 100",
        Measured::Unknown => "queue: connection refused",
    };
    Event::Measured { metric: "queue".to_owned(), found, words: words.to_owned() }
}

#[test]
fn beyond_its_limit_often_enough_it_undoes() {
    use Measured::{Beyond, Within};
    measured(metric(Unmeasured::Pause))
        .at(2_000, &found(Beyond))
        .at(2_000, &found(Within))
        .at(2_000, &found(Beyond))
        .at(2_000, &found(Beyond))
        .is("measured-beyond");
}

#[test]
fn the_step_waits_for_it() {
    let script = measured(metric(Unmeasured::Pause));
    let planned = script.machine().entered().last().unwrap().at_ms + 10_000;
    let due = Due { at_ms: planned, goes_on: true };
    assert_eq!((script.machine().due(), script.machine().held_by()), (Some(due), None));
    let script = script.at(10_500, &Event::Tick);
    let waits = "until queue is measured within its limit";
    assert_eq!(script.machine().held_by().as_deref(), Some(waits));
    // Beyond once is not enough to undo it, and too much to go on.
    let script = script.at(1_000, &found(Measured::Beyond)).at(1_000, &Event::Tick);
    script.at(1_000, &found(Measured::Within)).is("measured-waits");
}

/// However early all the rest is shown, "not measured in time" is said when its time is over, and a step waits for it.
#[test]
fn what_is_shown_early_waits_for_it() {
    let shown = |rules| {
        let measured = metric(Unmeasured::Abort);
        let early = Rules { latency: false, early: true, ..Rules::default() };
        let script = with(rules, measured, Some(Analysis { rules: early, ..Analysis::default() }));
        let second = |script: Script, at_s| script.at(500, &units(at_s, (100, 0), (300, 0)));
        (101..115).fold(script, second)
    };
    let script = shown(rollout::MACHINE_VERSION);
    assert_eq!((script.machine().phase(), script.machine().turns_back()), (Phase::Baking, false));
    let machine = script.at(500, &found(Measured::Within)).into_machine();
    let last = machine.entered().last().unwrap();
    assert!(last.phase == Phase::Shifting && last.why.contains("it is shown that"), "{last:?}");
    assert!(shown(6).into_machine().turns_back(), "a journal of earlier rules tells what it told");
}

#[test]
fn never_measured_is_what_was_said_of_it() {
    let late = |unmeasured| measured(metric(unmeasured)).at(15_000, &Event::Tick).into_machine();
    assert_eq!(late(Unmeasured::Pause).paused().map(|pause| pause.cause), Some(Cause::Unmeasured));
    assert!(late(Unmeasured::Abort).turns_back());
    assert_eq!(late(Unmeasured::Ignore).shares().len(), 2);
}

#[test]
fn what_nobody_measured_while_the_controller_was_dead_has_its_time_again() {
    let back = |rules| {
        let script = by_rules(rules, metric(Unmeasured::Abort));
        script.at(60_000, &Event::Resumed).at(10, &Event::Tick)
    };
    let again = back(rollout::MACHINE_VERSION).all(&[
        fleet(1, 2, 2),
        fleet(2, 2, 2),
        routes(&[(1, Part(75)), (2, Part(25))]),
        found(Measured::Within),
    ]);
    assert_eq!(again.into_machine().shares().len(), 2);
    // No longer than that.
    assert!(back(rollout::MACHINE_VERSION).at(5_000, &Event::Tick).into_machine().turns_back());
    assert!(back(3).into_machine().turns_back(), "a journal of earlier rules tells what it told");
}

/// Else an `up` that always dies before its measurement keeps the candidate at its share for ever.
#[test]
fn controllers_that_die_again_and_again_do_not_prolong_a_step_for_ever() {
    let dying = |rules, times| {
        let script = by_rules(rules, metric(Unmeasured::Pause)).at(10_000, &Event::Tick);
        (0..times).fold(script, |script, _| script.at(4_000, &Event::Resumed))
    };
    let now = rollout::MACHINE_VERSION;
    assert_eq!(dying(now, 6).into_machine().paused(), None);
    let asked = dying(now, 7).tells("measured-dies").paused().map(|pause| pause.cause);
    assert_eq!(asked, Some(Cause::Unmeasured));
    // By earlier rules there was no time again at all.
    assert!(dying(3, 2).into_machine().paused().is_some());
}

#[test]
fn nobody_answers_and_a_person_is_asked_once() {
    let unknown = found(Measured::Unknown);
    let script = measured(metric(Unmeasured::Pause)).at(2_000, &unknown).at(2_000, &unknown);
    let script = script.at(1_000, &Event::ResumeAsked).at(2_000, &unknown).at(2_000, &unknown);
    script.wake().is("measured-unknown");
    let script = measured(metric(Unmeasured::Abort)).at(2_000, &unknown).at(2_000, &unknown);
    assert!(script.into_machine().turns_back());
}

#[test]
fn it_is_heard_only_where_it_was_asked_for() {
    let all = Metric { at: vec![Weight::ALL], ..metric(Unmeasured::Pause) };
    let beyond = found(Measured::Beyond);
    let machine = measured(all).all(&[beyond.clone(), beyond]).into_machine();
    assert_eq!(machine.measures().count(), 0);
    assert!(!machine.turns_back());
}
