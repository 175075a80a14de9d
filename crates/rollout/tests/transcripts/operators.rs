//! Stories of operators: pauses, promotions, shares, what follows, and wishes at the wrong time.
//!
//! Each wish in each phase is in `wishes`, as one table.

use model::{
    Call, Event, Hook, Moment, OnFailure, Outcome, Phase, ReleaseId, Successor, Version, Weight,
};
use rollout::{Aim, Rollout, Strategy};

use crate::script::Role::{All, Part, Retiring, Spare};
use crate::script::{Script, abort, crashed, fleet, open, preview, routes, window};

pub(crate) fn pause() -> Event {
    Event::PauseAsked { reason: "to look".to_owned() }
}

pub(crate) const RESUME: Event = Event::ResumeAsked;
pub(crate) const PROMOTE: Event = Event::PromoteAsked { full: false };
pub(crate) const FULL: Event = Event::PromoteAsked { full: true };

pub(crate) fn share(percent: u16) -> Event {
    Event::WeightAsked { weight: Weight::new(percent * 100).unwrap() }
}

pub(crate) fn follow(version: &str) -> Event {
    let by = Successor {
        release: ReleaseId(3),
        version: Version::new(version).unwrap(),
        run: format!("run-{version}"),
        rollback: false,
    };
    Event::SupersedeAsked { by }
}

/// A canary of 25 % and 50 %, with pauses after those shares; none is 0, the last one 100.
pub(crate) fn canary(pauses: &[u16]) -> Script {
    let steps = [25, 50].map(|percent| Weight::new(percent * 100).unwrap()).to_vec();
    Script::new(|start| {
        start.settings.strategy = Strategy::Canary { steps, step_ms: 5_000, counts: Vec::new() };
        let after = pauses.iter().map(|percent| Weight::new(percent * 100).unwrap());
        start.settings.pause_after = after.collect();
    })
    .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0)])
}

/// The share was seen in effect, and the prober saw the candidate's answers.
pub(crate) fn carries(script: Script, percent: u16) -> Script {
    let (stable, candidate) = match percent {
        100 => (Spare, All),
        _ => (Part(100 - percent), Part(percent)),
    };
    let pools = routes(&[(1, stable), (2, candidate)]);
    script.all(&[pools, window("v1", 15, 0), window("v2", 15, 0)])
}

pub(crate) fn ends_well(script: Script) -> Script {
    script
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 0, 0), routes(&[(2, All)])])
        .all(&[fleet(1, 0, 0)])
}

fn rollback() -> Script {
    Script::new(|start| start.settings.aim = Aim::Rollback).all(&[
        fleet(1, 2, 2),
        crashed(2, 2, 5),
        preview(40, 0),
        Event::Armed,
    ])
}

#[test]
fn a_person_is_waited_for_at_every_pause() {
    let script = canary(&[0, 25, 100]).all(&[PROMOTE, Event::Armed]);
    let quarter = carries(script, 25).wake().all(&[pause(), window("v2", 9, 0), RESUME]);
    let half = carries(quarter, 50).wake();
    ends_well(carries(half, 100).wake().all(&[PROMOTE, RESUME])).is("pauses");
}

/// Nothing, then a half: only those see the candidate at first whom a rule names, and a person looks.
#[test]
fn a_first_step_without_a_share() {
    let script = || {
        let steps = [0, 50].map(|percent| Weight::new(percent * 100).unwrap()).to_vec();
        let change = |start: &mut rollout::Start| {
            start.settings.strategy =
                Strategy::Canary { steps, step_ms: 5_000, counts: Vec::new() };
            start.settings.pause_after = vec![Weight::NONE];
        };
        let ready = [fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), Event::Armed];
        // The prober never sees it, and need not.
        let shown = [routes(&[(1, All), (2, Spare)]), window("v1", 15, 0)];
        Script::new(change).all(&ready).all(&shown).wake()
    };
    let half = carries(script().all(&[window("v1", 9, 0), PROMOTE]), 50).wake();
    ends_well(carries(half, 100).wake()).is("unseen");
    script()
        .all(&[abort(), routes(&[(1, All), (2, Spare)]), routes(&[(1, All), (2, Retiring)])])
        .is("unseen-abort");
}

#[test]
fn an_operator_pauses_and_resumes_in_the_midst_of_a_bake() {
    let quarter = carries(canary(&[]).all(&[Event::Armed]), 25);
    let held = quarter.all(&[pause(), pause()]).wake_at(30_000);
    held.at(30_000, &RESUME).all(&[RESUME]).is("pause-resume");
}

/// What was placed across the switch before the pause is placed anew.
#[test]
fn a_pause_while_the_prober_arms() {
    canary(&[]).all(&[pause(), Event::Armed, RESUME, Event::Armed]).is("pause-arming");
}

#[test]
fn errors_undo_a_rollout_that_is_paused() {
    let quarter = carries(canary(&[]).all(&[Event::Armed]), 25);
    quarter.all(&[pause(), window("v2", 50, 9)]).is("pause-errors");
}

#[test]
fn a_pause_that_nobody_ends_undoes_the_rollout() {
    carries(canary(&[25]).all(&[Event::Armed]), 25).wake().wake().is("pause-forgotten");
}

#[test]
fn promoted_in_full_from_the_first_share() {
    let quarter = carries(canary(&[25, 50, 100]).all(&[Event::Armed]), 25).wake();
    ends_well(carries(quarter.all(&[FULL]), 100).wake()).is("promote-full");
}

#[test]
fn promoted_step_by_step_without_waiting_for_bakes() {
    let quarter = carries(canary(&[]).all(&[Event::Armed]), 25).all(&[PROMOTE]);
    let half = carries(quarter, 50).all(&[PROMOTE]);
    ends_well(carries(half, 100).all(&[PROMOTE])).is("promote-steps");
}

#[test]
fn an_operator_sets_the_share() {
    let quarter = carries(canary(&[]).all(&[Event::Armed]), 25).all(&[share(10)]);
    let tenth = carries(quarter, 10).wake_at(20_000).all(&[share(60)]);
    carries(tenth, 60).all(&[share(60), PROMOTE]).is("set-weight");
}

#[test]
fn a_share_that_stable_cannot_take_back_is_refused() {
    let quarter = carries(canary(&[]).all(&[Event::Armed]), 25).all(&[fleet(1, 0, 0)]);
    quarter.all(&[share(10), share(0), share(100), share(25)]).is("set-weight-refused");
}

/// The candidate carries on until stable is whole again.
#[test]
fn an_abort_waits_for_the_capacity_of_stable() {
    let script = carries(
        Script::new(|_| {}).all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), Event::Armed]),
        100,
    );
    script
        .all(&[fleet(1, 1, 2), abort(), fleet(1, 1, 2), fleet(1, 2, 2)])
        .all(&[routes(&[(1, All), (2, Spare)])])
        .is("abort-capacity");
}

#[test]
fn an_abort_waits_no_longer_than_half_of_its_time() {
    let script = carries(
        Script::new(|_| {}).all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), Event::Armed]),
        100,
    );
    script.all(&[fleet(1, 1, 2), abort()]).wake().is("abort-capacity-late");
}

/// A journal of machine 1 is replayed as it was written: its aborts did not wait.
#[test]
fn an_older_journal_is_replayed_by_its_own_rules() {
    let start = Script::new(|_| {}).into_machine().start().clone();
    let mut value = serde_json::to_value(start).unwrap();
    let settings = value["settings"].as_object_mut().unwrap();
    for key in ["rules", "aim", "pause_after", "pause_deadline_ms"] {
        settings.remove(key).unwrap();
    }
    let settings: rollout::Settings = serde_json::from_value(value["settings"].clone()).unwrap();
    assert_eq!((settings.rules, settings.aim), (1, Aim::Deploy));
    let story = Script::new(|start| start.settings = settings).all(&[
        fleet(1, 2, 2),
        fleet(2, 2, 2),
        preview(40, 0),
        Event::Armed,
    ]);
    let machine = carries(story, 100).all(&[fleet(1, 1, 2), abort()]).into_machine();
    let pools = machine.wants().pools;
    assert_eq!(pools[0].weight, Weight::ALL, "{pools:?}");
}

/// An abort is sticky: whatever is pressed after it.
#[test]
fn nothing_brings_an_aborted_rollout_back() {
    let quarter = carries(canary(&[]).all(&[Event::Armed]), 25).all(&[abort()]);
    let pressed = |script: Script| script.all(&[RESUME, PROMOTE, FULL, pause(), share(50)]);
    pressed(quarter)
        .all(&[fleet(1, 2, 2), routes(&[(1, All), (2, Spare)])])
        .all(&[routes(&[(1, All), (2, Retiring)]), open(2, 0, 0), FULL])
        .all(&[routes(&[(1, All)]), fleet(2, 0, 0), FULL, RESUME])
        .is("abort-sticky");
}

#[test]
fn what_follows_sends_users_back_first() {
    let quarter = carries(canary(&[]).all(&[Event::Armed]), 25).all(&[follow("v3")]);
    let machine = quarter
        .all(&[fleet(1, 2, 2), routes(&[(1, All), (2, Spare)]), follow("v4")])
        .all(&[routes(&[(1, All), (2, Retiring)]), open(2, 0, 0)])
        .all(&[routes(&[(1, All)]), fleet(2, 0, 0)])
        .tells("superseded");
    assert_eq!(machine.outcome(), Some(Outcome::Aborted));
    assert_eq!(machine.successor().map(|by| by.run.as_str()), Some("run-v4"));
}

#[test]
fn what_follows_waits_for_a_promotion_that_is_final() {
    let script = Script::new(|_| {}).all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0)]);
    let baked = carries(script.all(&[Event::Armed]), 100).wake();
    let machine = ends_well(baked.all(&[follow("v3")])).tells("superseded-final");
    assert_eq!(machine.outcome(), Some(Outcome::Promoted));
    assert!(machine.successor().is_some());
}

#[test]
fn an_abort_gives_up_what_was_to_follow_too() {
    let quarter = carries(canary(&[]).all(&[Event::Armed]), 25);
    let machine = quarter.all(&[follow("v3"), abort(), abort()]).tells("superseded-abort");
    assert!(machine.successor().is_none());
}

#[test]
fn a_rollback_that_fails_pauses_and_goes_on_when_told() {
    let machine = carries(rollback(), 100)
        .all(&[window("v2", 90, 10), window("v2", 0, 9), PROMOTE])
        .tells("rollback-fails");
    assert_eq!(machine.phase(), Phase::Draining);
}

#[test]
fn a_rollback_that_fails_is_taken_back_when_told() {
    carries(rollback(), 100)
        .all(&[crashed(2, 1, 6), abort(), fleet(1, 2, 2)])
        .is("rollback-aborted");
}

/// Nobody serves any more: users go where somebody does, and a person is needed.
#[test]
fn a_rollback_that_dies_is_stuck_on_who_serves() {
    carries(rollback(), 100).all(&[crashed(2, 1, 6), crashed(2, 0, 7)]).is("rollback-dies");
}

#[test]
fn a_rollback_that_nobody_looks_after_is_stuck() {
    carries(rollback(), 100).all(&[window("v2", 90, 10)]).wake().is("rollback-forgotten");
}

#[test]
fn a_rollback_that_no_user_met_is_undone() {
    Script::new(|start| start.settings.aim = Aim::Rollback)
        .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(10, 9)])
        .is("rollback-preview");
}

/// Every wish at the end of every prefix of every story here: what is refused changes nothing, and what
/// is heard breaks no invariant (`advance` panics in tests).
#[test]
fn every_wish_at_every_moment() {
    let blue = Script::new(|_| {}).all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0)]);
    let blue = ends_well(carries(blue.all(&[Event::Armed]), 100).wake());
    let shares = carries(canary(&[0, 100]).all(&[PROMOTE, Event::Armed]), 25).wake();
    let shares = carries(carries(shares, 50).wake(), 100).wake().all(&[PROMOTE]);
    let undone = carries(canary(&[]).all(&[Event::Armed]), 25).all(&[abort()]);
    let undone = undone
        .all(&[fleet(1, 2, 2), routes(&[(1, All), (2, Spare)])])
        .all(&[routes(&[(1, All), (2, Retiring)]), open(2, 0, 0)])
        .all(&[routes(&[(1, All)]), fleet(2, 0, 0)]);
    let failing = carries(rollback(), 100).all(&[window("v2", 90, 10)]);
    let wishes =
        [abort(), pause(), RESUME, PROMOTE, FULL, share(10), share(60), share(0), follow("v3")];
    let (mut heard, mut ignored) = (0, 0);
    for story in [blue, ends_well(shares), undone, failing] {
        for (now, before) in story.moments() {
            for first in &wishes {
                for second in &wishes {
                    let mut machine = before.clone();
                    for wish in [first, second] {
                        let refused = machine.refuses(wish).is_some();
                        let was = look(&machine);
                        machine.advance(now, wish);
                        assert!(!refused || was == look(&machine), "{wish:?}: {machine:#?}");
                        heard += u32::from(!refused);
                        ignored += u32::from(refused);
                    }
                    assert!(machine.wake().is_some() || machine.outcome().is_some());
                }
            }
        }
    }
    assert!(heard > 1_000 && ignored > 1_000, "{heard} heard, {ignored} ignored");
}

/// All of a machine that a wish could change, but for its notes.
fn look(machine: &Rollout) -> impl PartialEq + use<> {
    let entered = machine.entered().len();
    (machine.wants(), entered, machine.paused().cloned(), machine.successor().cloned())
}

/// Blue-green with three instances, of which all of the candidate and one of stable are ready, turned back for something.
fn turned_back(rules: u32, why: &[Event]) -> Rollout {
    let hook = Hook {
        name: "look".to_owned(),
        moment: Moment::AfterSwitch,
        step: None,
        call: Call::Program(vec!["look".to_owned()]),
        timeout_ms: 20_000,
        retries: 0,
        on_failure: OnFailure::Abort,
        once: false,
        rollback: false,
    };
    let hooked = matches!(why, [Event::HookEnded { .. }, ..]);
    let script = Script::new(|start| {
        start.instances = 3;
        start.settings.rules = rules;
        start.settings.pause_after = vec![Weight::ALL];
        start.settings.pause_deadline_ms = 60_000;
        start.settings.hooks = if hooked { vec![hook] } else { Vec::new() };
    });
    let script = script.all(&[fleet(1, 3, 3), fleet(2, 3, 3), preview(40, 0), Event::Armed]);
    let switched = [routes(&[(1, Spare), (2, All)]), window("v2", 20, 0), window("v2", 20, 0)];
    let script = script.all(&switched).all(&[fleet(1, 1, 3)]);
    let script = if why.is_empty() { script.wake().wake() } else { script.all(why) };
    assert_eq!(script.machine().phase(), Phase::RollingBack, "{:?}", script.machine().entered());
    script.into_machine()
}

fn candidates_share(machine: &Rollout) -> u16 {
    machine.shares().last().unwrap().share.basis_points()
}

#[test]
fn users_stay_on_a_healthy_candidate_until_stable_is_whole_whatever_turned_it_back() {
    let now = rollout::MACHINE_VERSION;
    let failed =
        Event::HookEnded { name: "look".to_owned(), passed: false, words: "status 1".to_owned() };
    for why in [&[][..], &[failed], &[abort()]] {
        let mut machine = turned_back(now, why);
        assert_eq!(candidates_share(&machine), 10_000, "{why:?}");
        let mut whole = machine.clone();
        whole.advance(0, &fleet(1, 3, 3));
        assert_eq!(candidates_share(&whole), 0, "{why:?}");
        // Not for ever: then some of it is better.
        machine.advance(machine.wake().unwrap(), &Event::Tick);
        assert_eq!(candidates_share(&machine), 0, "{why:?}");
    }
    // Whom users suffer from is left at once.
    for why in [crashed(2, 2, 1), window("v2", 10, 90)] {
        assert_eq!(candidates_share(&turned_back(now, &[why])), 0);
    }
    // A journal of earlier rules tells what it told.
    assert_eq!(candidates_share(&turned_back(6, &[])), 0);
}
