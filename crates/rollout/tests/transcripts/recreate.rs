//! Stories of recreations: the only copy ends, and requests wait until there is one again.

use model::{Event, Hold};
use rollout::Strategy;

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
