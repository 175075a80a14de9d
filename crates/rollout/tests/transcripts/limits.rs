//! Stories of limits that users' requests break where nothing is compared with stable: all at once, batch by
//! batch, and one copy after the other.
//!
//! The prober sees nothing of it in any of them.

use model::{Event, Hold, Phase, Threshold, Weight};
use rollout::analysis::{Arm, Rules};
use rollout::{Aim, Analysis, Cause, Due, Start, Strategy};

use crate::recreate;
use crate::rolling::{one_comes, one_leaves};
use crate::script::{Role, Script, counters, fleet, leaving, parts, routes, units};

/// Only limits are judged; the prober's own would never be reached.
fn limited(strategy: Strategy, change: impl FnOnce(&mut Start)) -> Script {
    let rules = Rules { compare: false, ..Rules::default() };
    Script::new(|start| {
        start.settings.strategy = strategy;
        start.settings.analysis = Some(Analysis { rules, ..Analysis::default() });
        change(start);
    })
}

/// A second of users, all of them the candidate's; so many of a hundred failed.
fn second(script: Script, at_s: u64, failed: u64) -> Script {
    script.at(1_000, &units(at_s, (100, failed), (0, 0)))
}

#[test]
fn all_at_once_its_bake_finds_it() {
    let bakes = crate::until_baking(limited(Strategy::BlueGreen, |_| {}));
    let well = second(second(bakes, 101, 1), 102, 0);
    second(second(well, 103, 6), 104, 7).is("limits");
}

#[test]
fn one_that_keeps_them_is_final_when_its_bake_is_over() {
    let bakes = crate::until_baking(limited(Strategy::BlueGreen, |_| {}));
    let machine =
        (101..109).fold(bakes, |script, at_s| second(script, at_s, 1)).wake().into_machine();
    let last = machine.entered().last().unwrap();
    let words = "without a reason to go back; of its users' requests 8 of 800 failed";
    assert!(last.why.ends_with(words) && machine.promotion_is_final(), "{last:?}");
    let stands = machine.comparison().unwrap().stands("v1").unwrap();
    assert_eq!(stands, "8 of 800 failed; at most 1 % may (alpha = 0.01)");
}

/// What its last two seconds showed is told when they are over.
#[test]
fn the_last_seconds_of_a_bake_are_judged_before_it_is_final() {
    let bakes = crate::until_baking(limited(Strategy::BlueGreen, |_| {}));
    let told = |script: Script, until_ms| script.at(10, &Event::Surveyed { until_ms });
    let (begun, bake_ms) = (bakes.now_ms(), bakes.machine().start().settings.bake_ms);
    let due = Due { at_ms: begun + bake_ms, goes_on: true };
    assert_eq!((bakes.machine().due(), bakes.machine().held_by()), (Some(due), None));
    let over = || {
        let bakes = crate::until_baking(limited(Strategy::BlueGreen, |_| {}));
        let script = told(second(bakes, 101, 0), begun + 1_000).wake();
        assert_eq!((script.now_ms(), script.machine().phase()), (begun + bake_ms, Phase::Baking));
        let waits = "until users' requests of its last seconds have ended and are counted";
        assert_eq!(script.machine().held_by().as_deref(), Some(waits));
        let due = Due { at_ms: begun + bake_ms + 15_000, goes_on: true };
        assert_eq!(script.machine().due(), Some(due));
        script
    };
    second(over(), 102, 9).is("limits-last");
    let well = told(told(second(over(), 102, 0), begun + bake_ms - 1), begun + bake_ms);
    let entered = well.machine().entered().last().unwrap();
    assert!(entered.phase == Phase::Draining && entered.at_ms == well.now_ms(), "{entered:?}");
    assert!(!entered.why.contains("not told"), "{entered:?}");
    // Silent from then on: nobody waits for ever, and it is said.
    let silent = told(over(), begun + bake_ms - 2_000).wake();
    let entered = silent.machine().entered().last().unwrap();
    assert_eq!((entered.phase, entered.at_ms), (Phase::Draining, begun + bake_ms + 15_000));
    let words = "; its users' requests of the last 17 s were not told";
    assert!(entered.why.ends_with(words), "{entered:?}");
    // Nor does whoever wants it now.
    let hurried = over().at(10, &Event::PromoteAsked { full: false });
    assert_eq!(hurried.machine().phase(), Phase::Draining);
}

/// A controller that was dead as its bake ended asks what was counted meanwhile.
#[test]
fn what_was_counted_while_the_controller_was_dead_is_told_before_it_is_final() {
    let bakes = crate::until_baking(limited(Strategy::BlueGreen, |_| {}));
    let until_ms = bakes.now_ms();
    let back = bakes.at(10, &Event::Surveyed { until_ms }).at(60_000, &Event::Resumed);
    let seen = routes(&[(1, Role::Spare), (2, Role::All)]);
    let back = back.all(&[fleet(1, 2, 2), fleet(2, 2, 2), seen]);
    assert_eq!(back.machine().phase(), Phase::Baking);
    assert!(second(back, 102, 20).machine().turns_back());
}

/// One batch was well; the second is not, and the third never leaves.
#[test]
fn a_batch_that_fails_is_the_last() {
    let rolls = limited(Strategy::Rolling { batch: 1, surge: 0 }, |start| start.instances = 4);
    let begun = rolls.all(&[fleet(2, 0, 0), fleet(1, 3, 4), fleet(1, 4, 4)]);
    let one = one_leaves(one_comes(one_leaves(begun, 1), 1), 2);
    let both =
        |script: Script, at_s, failed| script.at(1_000, &units(at_s, (100, failed), (100, 0)));
    let second = one.all(&[fleet(1, 2, 2), fleet(2, 2, 2), parts(2, 2)]);
    let second = second.all(&[crate::window("v1", 9, 0), crate::window("v2", 9, 0)]);
    let machine = both(both(second, 101, 9), 102, 8).tells("limits-rolling");
    assert!(machine.turns_back());
}

/// What was told to end cannot come back: it turns once that is gone.
#[test]
fn it_turns_when_those_that_are_ending_are_gone() {
    let rolls = limited(Strategy::Rolling { batch: 1, surge: 0 }, |start| start.instances = 4);
    let begun = rolls.all(&[fleet(2, 0, 0), fleet(1, 3, 4), fleet(1, 4, 4)]);
    let leaves = one_comes(one_leaves(begun, 1), 1).all(&[
        parts(2, 1),
        fleet(1, 3, 3),
        fleet(2, 1, 1),
        leaving(1, &[2], 0, 1),
    ]);
    let fails = leaves.at(1_000, &units(101, (100, 20), (200, 0)));
    let machine = fails.all(&[leaving(1, &[2], 0, 0), leaving(1, &[], 0, 0)]).into_machine();
    let why = machine.entered().iter().find(|entered| entered.why.contains("over a limit"));
    assert!(machine.turns_back() && why.is_some(), "{:?}", machine.entered());
}

/// Both fail: an incident, of which nobody is to blame.
#[test]
fn an_incident_while_batches_are_replaced_pauses() {
    let rolls = limited(Strategy::Rolling { batch: 1, surge: 0 }, |start| start.instances = 4);
    let begun = rolls.all(&[fleet(2, 0, 0), fleet(1, 3, 4), fleet(1, 4, 4)]);
    let first = one_leaves(begun, 1).all(&[fleet(1, 3, 3), fleet(2, 1, 1), crate::preview(40, 0)]);
    let bakes = first.all(&[Event::Armed, parts(3, 1), crate::window("v2", 9, 0)]);
    let machine = bakes.at(1_000, &units(101, (50, 20), (150, 60))).into_machine();
    assert_eq!(machine.paused().map(|pause| pause.cause), Some(Cause::Incident));
}

#[test]
fn the_only_copy_is_replaced_by_the_one_before() {
    let hold = Hold { wait_ms: 20_000, requests: 500, bytes: 1 << 20 };
    let one = limited(Strategy::Recreate { hold }, |start| start.instances = 1);
    second(recreate::until_baking(one), 101, 9).is("limits-recreate");
}

#[test]
fn a_rollback_is_not_rolled_back_for_it() {
    let back = limited(Strategy::BlueGreen, |start| start.settings.aim = Aim::Rollback);
    let machine = second(crate::until_baking(back), 101, 9).into_machine();
    let pause = machine.paused().unwrap();
    assert_eq!((pause.cause, machine.turns_back()), (Cause::Failing, false));
    assert!(pause.why.contains("over a limit: more than 1 %"), "{}", pause.why);
}

/// Those told last before the switch hold; what is told later is of a time in which both had users.
#[test]
fn latencies_are_taken_until_the_candidate_is_to_have_users() {
    let told = |us| Event::Thresholds { thresholds: vec![Threshold { us, slow: 100, of: 2_000 }] };
    let script = Script::new(|start| start.settings.analysis = Some(Analysis::default()));
    let script = script.all(&[fleet(1, 2, 2), told(9_000), fleet(2, 2, 2), crate::preview(40, 0)]);
    let script = script.all(&[told(7_000), Event::Armed, told(5_000), Event::Resumed, told(3_000)]);
    let kept = script.machine().comparison().unwrap().thresholds();
    assert_eq!(kept.map(|threshold| threshold.us).collect::<Vec<_>>(), [7_000]);
}

/// A router that has counters and no more: what they have grown by counts, also over a reload and over a controller
/// that died, what is told twice counts once, and what they said of whoever had its place before does not.
#[test]
fn counters_count_by_what_they_grow() {
    let limited = limited(Strategy::BlueGreen, counting);
    let begun = limited.all(&[counters(0, &[("7/a", 1, 900, 90), ("7/b", 0, 50, 50)])]);
    let bakes = crate::until_baking(begun);
    let well = bakes.at(1_000, &counters(0, &[("7/a", 1, 900, 90), ("7/b", 2, 150, 51)]));
    // A reload: the new worker begins at 0, and the old one ends.
    let reloaded = well.at(1_000, &counters(0, &[("7/b", 2, 160, 51), ("8/b", 2, 90, 0)]));
    let told = counters(0, &[("8/b", 2, 190, 6)]);
    let twice = reloaded.at(1_000, &told).at(1_000, &told);
    let seen = routes(&[(1, Role::Spare), (2, Role::All)]);
    let back = twice.at(60_000, &Event::Resumed).all(&[fleet(1, 2, 2), fleet(2, 2, 2), seen]);
    back.at(10, &counters(0, &[("8/b", 2, 290, 14)])).is("limits-counters");
}

/// What they said when they were told first says nothing, however late that is.
#[test]
fn counters_say_first_from_where_to_count() {
    let bakes = crate::until_baking(limited(Strategy::BlueGreen, counting));
    let told = |script: Script, requests, failed| {
        script.at(1_000, &counters(0, &[("7/b", 2, requests, failed)]))
    };
    let machine = told(told(bakes, 500, 500), 600, 501).into_machine();
    assert_eq!(machine.comparison().unwrap().counted(), Arm::new(100, 1));
}

/// Both fail, as the counters have it: nobody is to blame.
#[test]
fn an_incident_that_counters_show_pauses() {
    let steps = vec![Weight::new(2_500).unwrap()];
    let canary = Strategy::Canary { steps, step_ms: 60_000, counts: Vec::new() };
    let script = limited(canary, counting).all(&[counters(0, &[])]);
    let shifts = crate::until_shifting(script);
    let seen = routes(&[(1, Role::Part(75)), (2, Role::Part(25))]);
    let bakes = shifts.all(&[seen, crate::window("v2", 9, 0)]);
    let both = counters(0, &[("7/a", 1, 300, 60), ("7/b", 2, 100, 20)]);
    let machine = bakes.at(1_000, &both).into_machine();
    assert_eq!(machine.paused().map(|pause| pause.cause), Some(Cause::Incident));
    assert!(!machine.turns_back());
}

fn counting(start: &mut Start) {
    if let Some(analysis) = &mut start.settings.analysis {
        analysis.rules.counters = true;
    }
}
