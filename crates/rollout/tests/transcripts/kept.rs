//! Stories of a release that is kept running: v2 takes its place, and v1 takes it back.
//!
//! How long it is kept is not the machine's to say.

use model::{Event, Farewell, Outcome, Pace, Phase, ReleaseId, Successor, Version};
use rollout::{Aim, Start, foresee};

use crate::script::Role::{All, Retiring, Spare};
use crate::script::{Script, abort, crashed, fleet, open, preview, routes, window};
use crate::until_draining;

fn keeping() -> Script {
    Script::new(keep)
}

fn keep(start: &mut Start) {
    start.settings.keep_old_ms = 600_000;
}

pub(crate) const PACE: Pace = Pace { farewell: Farewell::Close, per_second: 10, at_once: 10 };

/// v2 was kept running and is to have its users back.
fn warm() -> Script {
    Script::new(|start| {
        (start.settings.aim, start.settings.warm) = (Aim::Rollback, true);
    })
}

fn back() -> Event {
    let (release, version) = (ReleaseId(1), Version::new("v1").unwrap());
    Event::SupersedeAsked {
        by: Successor { release, version, run: "back".to_owned(), rollback: true },
    }
}

#[test]
fn the_old_release_stays_with_its_tunnels() {
    until_draining(keeping())
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 3, 2), open(1, 0, 2), abort()])
        .all(&[open(1, 0, 0), fleet(1, 1, 2)])
        .is("kept");
}

#[test]
fn the_router_moves_what_it_can() {
    until_draining(Script::new(|start| {
        keep(start);
        start.settings.handover = Some(PACE);
    }))
    .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 0, 3)])
    .all(&[Event::Movable { release: ReleaseId(1), sockets: 2 }, open(1, 0, 1)])
    .all(&[Event::Movable { release: ReleaseId(1), sockets: 0 }])
    .is("kept-moved");
}

#[test]
fn whoever_goes_back_does_not_wait_for_the_drain() {
    until_draining(keeping())
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 3, 2), back()])
        .is("kept-and-back");
}

#[test]
fn a_drain_and_a_hand_over_that_do_not_end_cut_nothing() {
    for handover in [None, Some(PACE)] {
        let machine = until_draining(Script::new(|start| {
            keep(start);
            start.settings.handover = handover.clone();
        }))
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 3, 2)])
        .wake();
        let machine = if handover.is_some() { machine.wake() } else { machine }.into_machine();
        assert_eq!(machine.outcome(), Some(Outcome::Promoted));
        let why = &machine.entered().last().unwrap().why;
        assert!(why.ends_with("3 requests and 2 tunnels stay open on it"), "{why}");
        let runs = machine.wants().fleet.iter().map(|want| want.instances).collect::<Vec<_>>();
        assert_eq!(runs, [2, 2], "both run on");
    }
}

#[test]
fn users_are_back_at_once() {
    warm()
        .all(&[fleet(1, 2, 2), fleet(2, 1, 2), fleet(2, 2, 2)])
        .all(&[routes(&[(1, Spare), (2, All)]), window("v2", 20, 0), window("v2", 20, 0)])
        .is("kept-users-back");
}

/// One that had to be started again is no longer what users were on a moment ago.
#[test]
fn what_ended_meanwhile_is_asked_first() {
    let machine = warm()
        .all(&[fleet(1, 2, 2), fleet(2, 1, 2), crashed(2, 1, 1), crashed(2, 2, 1)])
        .into_machine();
    assert_eq!(machine.phase(), Phase::Previewing);
    let machine = warm().all(&[fleet(2, 0, 0), preview(40, 0)]).into_machine();
    assert_eq!(machine.phase(), Phase::Starting);
}

#[test]
fn a_pause_holds_users_also_where_nothing_has_to_start() {
    let asked = Event::PauseAsked { reason: "wait".to_owned() };
    let machine = warm().all(&[asked, fleet(2, 2, 2)]).into_machine();
    assert_eq!(machine.phase(), Phase::Starting);
    let machine = warm().all(&[fleet(2, 2, 2)]).into_machine();
    assert_eq!(machine.phase(), Phase::Shifting);
}

/// A plan shows that nothing of stable is to end.
#[test]
fn it_is_foreseen() {
    let machine = keeping().into_machine();
    let seen = foresee(machine.start());
    assert!(seen.iter().all(|one| one.phase != Phase::Stopping), "{seen:?}");
    let last = seen.last().unwrap();
    assert_eq!((last.phase, last.wants.pools.len()), (Phase::Promoted, 1));
    assert!(last.wants.fleet.iter().all(|want| want.instances == 2), "{last:?}");
}
