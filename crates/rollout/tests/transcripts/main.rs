//! The main paths as stories in `tests/golden`; `CUTOVER_UPDATE=1` writes them anew.
//!
//! No clock, no chance: what goes wrong by chance is in `tests/simulation`.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod batches;
mod canary;
mod chance;
mod compared;
mod draw;
mod home;
mod hooks;
mod hour;
mod kept;
mod limits;
mod measured;
mod operators;
mod recreate;
mod rolling;
mod script;
mod surge;
mod together;
mod wishes;

use Role::{All, Retiring, Spare};
use kept::PACE;
use model::{Event, FleetSeen, ReleaseId};
use rollout::Rollout;
use script::{Role, Script, abort, crashed, fleet, lingering, open, preview, routes, window};

/// Both releases ready, preview passed, prober armed.
fn until_shifting(script: Script) -> Script {
    script.all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), Event::Armed])
}

fn until_baking(script: Script) -> Script {
    let switched = routes(&[(1, Spare), (2, All)]);
    until_shifting(script).all(&[switched, window("v1", 20, 0), window("v2", 20, 0)])
}

fn until_draining(script: Script) -> Script {
    until_baking(script).wake()
}

fn plain() -> Script {
    Script::new(|_| {})
}

#[test]
fn a_good_candidate() {
    until_draining(plain().at(500, &fleet(2, 0, 2)))
        .all(&[open(1, 0, 0), routes(&[(1, Retiring), (2, All)])])
        .all(&[open(1, 3, 2), open(1, 0, 2)])
        .all(&[fleet(1, 2, 2), open(1, 0, 1), open(1, 0, 0)])
        .all(&[fleet(1, 1, 2), routes(&[(2, All)]), fleet(1, 0, 0), abort()])
        .is("good");
}

/// The proxy moves the tunnels, so stable is not told before it ends; and not while nobody else serves, not even at
/// the last moment.
#[test]
fn a_candidate_that_falls_while_tunnels_are_handed_over_leaves_stable_running() {
    let moved = Script::new(|start| start.settings.handover = Some(PACE));
    until_draining(moved)
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 0, 2)])
        .all(&[fleet(2, 0, 2), open(1, 0, 0)])
        .wake()
        .is("handing-over-stuck");
}

#[test]
fn the_first_deploy() {
    Script::new(|start| {
        start.stable = None;
        start.settings.probing = false;
    })
    .all(&[fleet(2, 2, 2), preview(40, 0), routes(&[]), routes(&[(2, All)])])
    .wake()
    .is("first");
}

#[test]
fn the_first_deploy_fails_in_its_bake() {
    Script::new(|start| start.stable = None)
        .all(&[fleet(2, 2, 2), preview(40, 0), Event::Armed, routes(&[(2, All)])])
        .all(&[window("v2", 20, 0), window("v2", 10, 10), routes(&[(2, Retiring)])])
        .all(&[open(2, 1, 1), open(2, 0, 1), open(2, 0, 0), fleet(2, 0, 0), routes(&[])])
        .is("first-fails");
}

#[test]
fn never_ready() {
    plain()
        .all(&[fleet(1, 2, 2), fleet(2, 0, 2), fleet(2, 1, 2)])
        .wake()
        .all(&[fleet(2, 1, 1), fleet(2, 0, 0), routes(&[(1, All)])])
        .is("never-ready");
}

#[test]
fn crashes_while_starting() {
    plain().all(&[crashed(2, 0, 6), crashed(2, 0, 7)]).is("crashes-starting");
}

#[test]
fn what_never_ran_has_not_ended_by_itself() {
    let why = |unstarted| {
        let told = ["shop-2-7 could not be started: `./shop` was not found", "  help: build it"];
        let trouble = told.map(str::to_owned).to_vec();
        let seen = FleetSeen { crashes: 7, unstarted, trouble, ..FleetSeen::default() };
        let machine = plain().all(&[Event::Fleet { release: ReleaseId(2), seen }]).into_machine();
        machine.entered().last().unwrap().why.clone()
    };
    let never = "v2 could not be started (7 times): `./shop` was not found\n  help: build it";
    assert_eq!(why(7), never);
    let some = "v2 ended by itself 4 times, and could not be started 3 times\nshop-2-7 could not";
    assert!(why(3).starts_with(some), "{}", why(3));
    let none = "v2 ended by itself 7 times while it was being started\nshop-2-7 could not";
    assert!(why(0).starts_with(none), "{}", why(0));
}

#[test]
fn direct_requests_fail() {
    plain().all(&[fleet(2, 2, 2), preview(10, 0), preview(28, 12)]).is("preview-fails");
}

#[test]
fn errors_after_the_switch() {
    until_baking(plain())
        .all(&[window("v2", 298, 2), window("v1", 0, 9), window("v2", 90, 30)])
        .all(&[window("v2", 0, 99), abort(), routes(&[(1, All), (2, Spare)])])
        .all(&[routes(&[(1, All), (2, Retiring)]), open(2, 4, 1), open(2, 0, 1)])
        .all(&[fleet(2, 2, 2), open(2, 0, 0), routes(&[(1, All)]), fleet(2, 0, 0)])
        .is("errors");
}

#[test]
fn the_candidate_dies_after_the_switch() {
    until_shifting(plain()).all(&[crashed(2, 1, 1)]).is("candidate-dies");
}

#[test]
fn stable_is_dead_when_it_is_needed() {
    until_baking(plain())
        .all(&[fleet(1, 0, 0), window("v2", 90, 10), fleet(1, 1, 2)])
        .is("stable-comes-back");
    until_baking(plain()).all(&[fleet(1, 0, 0), abort()]).wake().is("stable-stays-dead");
}

#[test]
fn deadlines_of_drain_and_hand_over() {
    until_draining(plain())
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 2, 1)])
        .all(&[lingering(&["/slow"], 1), lingering(&["/slow", "/slower"], 0)])
        .wake()
        .all(&[lingering(&["/ws"], 2)])
        .wake()
        .at(10, &fleet(1, 1, 1))
        .wake()
        .is("drain-deadlines");
}

#[test]
fn the_router_never_confirms() {
    until_shifting(plain()).wake().wake().is("router-silent-shifting");
    until_draining(plain()).wake().is("router-silent-draining");
}

#[test]
fn the_prober_fails() {
    plain()
        .all(&[fleet(2, 2, 2), preview(40, 0)])
        .wake()
        .all(&[routes(&[(1, Spare), (2, All)]), Event::ProberLost])
        .is("prober-lost");
}

#[test]
fn an_abort_before_the_switch() {
    plain().all(&[fleet(2, 2, 2), abort(), abort()]).is("abort-previewing");
}

#[test]
fn the_controller_dies_in_a_drain() {
    until_draining(plain())
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 2, 0)])
        .at(600_000, &Event::Resumed)
        .all(&[open(1, 0, 0), fleet(2, 2, 2), routes(&[(1, Retiring), (2, All)]), open(1, 0, 0)])
        .is("resumed");
}

#[test]
fn stable_dies_while_it_takes_over() {
    until_baking(plain())
        .all(&[abort(), fleet(1, 0, 0), routes(&[(1, All), (2, Spare)])])
        .wake()
        .is("stable-dies-taking-over");
}

#[test]
fn time_never_runs_back() {
    let mut machine = plain().into_machine();
    machine.advance(5_000, &fleet(2, 2, 2));
    machine.advance(1_000, &abort());
    assert_eq!(machine.entered().last().unwrap().at_ms, 5_000);
}

#[test]
fn a_snapshot_of_a_newer_machine_is_refused() {
    let mut value = serde_json::to_value(plain().into_machine().snapshot()).unwrap();
    value["machine_version"] = (rollout::MACHINE_VERSION + 1).into();
    let fault = Rollout::from_snapshot(serde_json::from_value(value).unwrap()).unwrap_err();
    assert!(fault.what.contains("newer Cutover"), "{fault}");
}

/// A rollout that began before there were strategies goes on as it was.
#[test]
fn an_old_snapshot_is_taken_up() {
    let text = include_str!("machine-1-baking.json");
    let mut machine = Rollout::from_snapshot(serde_json::from_str(text).unwrap()).unwrap();
    machine.advance(machine.wake().unwrap(), &Event::Resumed);
    for event in [fleet(2, 2, 2), routes(&[(1, Spare), (2, All)])] {
        machine.advance(20_000, &event);
    }
    assert_eq!(machine.phase(), model::Phase::Draining);
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let mut value = serde_json::to_value(plain().into_machine().snapshot()).unwrap();
    value["state"]["phase"] = "stopping".into();
    assert!(Rollout::from_snapshot(serde_json::from_value(value).unwrap()).is_err());
}

#[test]
fn the_candidate_dies_after_the_promotion() {
    until_draining(plain())
        .all(&[routes(&[(1, Retiring), (2, All)]), crashed(2, 0, 2), open(1, 0, 0)])
        .all(&[fleet(2, 1, 2)])
        .is("candidate-dies-draining");
    until_draining(plain())
        .all(&[routes(&[(1, Retiring), (2, All)]), crashed(2, 0, 2), open(1, 0, 0)])
        .wake()
        .is("candidate-stays-dead-draining");
}
