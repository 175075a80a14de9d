//! Stories of recreations: the only copy ends, and requests wait until there is one again.
//!
//! Nobody waits here: requests are held by the router.

use model::{Event, Hold, Outcome, Phase};
use rollout::{Aim, Strategy};

use crate::script::Role::{All, Retiring};
use crate::script::{Script, abort, crashed, fleet, open, preview, routes, window};

pub(crate) fn recreate() -> Script {
    Script::new(|start| {
        start.instances = 1;
        let hold = Hold { wait_ms: 20_000, requests: 500, bytes: 1 << 20 };
        start.settings.strategy = Strategy::Recreate { hold };
    })
}

/// The router holds, nothing is open on stable any more.
fn until_stopping(script: Script) -> Script {
    script.all(&[fleet(1, 1, 1), Event::Armed, routes(&[(1, Retiring)]), open(1, 3, 1)]).all(&[
        open(1, 0, 1),
        fleet(1, 1, 1),
        open(1, 0, 0),
    ])
}

fn until_started(script: Script) -> Script {
    until_stopping(script).all(&[routes(&[]), fleet(1, 0, 0)])
}

pub(crate) fn until_baking(script: Script) -> Script {
    until_started(script).all(&[
        fleet(2, 1, 1),
        preview(40, 0),
        routes(&[(2, All)]),
        window("v2", 20, 0),
    ])
}

#[test]
fn a_good_candidate() {
    until_baking(recreate()).wake().all(&[abort()]).is("recreate");
}

/// A rollback is not rolled back by itself: one that nobody is ready to serve stays where it is, and says so.
#[test]
fn a_rollback_that_falls_before_it_was_seen_to_serve() {
    let hold = Hold { wait_ms: 20_000, requests: 500, bytes: 1 << 20 };
    let back = Script::new(|start| {
        start.instances = 1;
        start.settings.aim = Aim::Rollback;
        start.settings.strategy = Strategy::Recreate { hold };
    });
    let machine = until_started(back)
        .all(&[fleet(2, 1, 1), preview(40, 0), crashed(2, 0, 1)])
        .tells("recreate-rollback-falls");
    let [.., before, last] = machine.entered() else { panic!("{:?}", machine.entered()) };
    assert_eq!((before.phase, last.phase), (Phase::Shifting, Phase::Stuck));
    assert_eq!(machine.outcome(), Some(Outcome::Stuck));
}

#[test]
fn one_that_crashes_while_it_starts() {
    until_started(recreate())
        .all(&[crashed(2, 0, 1), fleet(2, 0, 0), routes(&[])])
        .all(&[fleet(1, 1, 1), routes(&[(1, All)]), fleet(1, 1, 1)])
        .is("recreate-crashes");
}

#[test]
fn one_that_is_never_ready() {
    until_started(recreate()).wake().all(&[fleet(2, 0, 0), routes(&[])]).wake().is("recreate-late");
}

#[test]
fn one_that_errs_when_it_has_users() {
    until_baking(recreate())
        .all(&[window("v2", 5, 50), routes(&[(2, Retiring)]), open(2, 2, 1), open(2, 0, 1)])
        .all(&[open(2, 0, 0), fleet(2, 0, 0), routes(&[]), fleet(1, 1, 1), routes(&[(1, All)])])
        .is("recreate-errors");
}

#[test]
fn requests_that_do_not_end_are_not_cut() {
    recreate()
        .all(&[fleet(1, 1, 1), Event::Armed, routes(&[(1, Retiring)]), open(1, 2, 0)])
        .wake()
        .all(&[routes(&[(1, All)])])
        .is("recreate-undrained");
}

#[test]
fn aborts() {
    recreate()
        .all(&[fleet(1, 1, 1), abort(), fleet(2, 0, 0), routes(&[(1, All)])])
        .is("recreate-abort-arming");
    until_stopping(recreate())
        .all(&[abort(), abort(), routes(&[]), fleet(1, 0, 0), fleet(1, 1, 1), routes(&[(1, All)])])
        .is("recreate-abort-stopping");
}

#[test]
fn two_copies_never_run() {
    until_stopping(recreate()).all(&[routes(&[]), fleet(1, 0, 1)]).wake().is("recreate-immortal");
}
