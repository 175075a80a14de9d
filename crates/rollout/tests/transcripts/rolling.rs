//! Stories of rolling replacements: a batch of stable makes room before its replacement starts.
//!
//! With a surge they are in `surge`.

use model::Event;
use rollout::Strategy;

use crate::script::Role::All;
use crate::script::{
    Script, abort, crashed, fleet, leaving, parts, preview, routes, tally, window,
};

fn rolling(instances: u16, batch: u16) -> Script {
    Script::new(|start| {
        start.instances = instances;
        start.settings.strategy = Strategy::Rolling { batch, surge: 0 };
    })
}

/// One of stable's, the `n`-th of four, leaves and is gone.
pub(crate) fn one_leaves(script: Script, n: u32) -> Script {
    let gone = parts(4 - n, n - 1);
    script
        .all(&[gone, fleet(1, 4, 4), leaving(1, &[n], 2, 1), leaving(1, &[n], 0, 1)])
        .all(&[leaving(1, &[n], 0, 0), leaving(1, &[], 0, 0)])
}

/// The `n`-th of the candidate's is ready, carries its share and was judged.
pub(crate) fn one_comes(script: Script, n: u16) -> Script {
    let first = if n == 1 { vec![preview(40, 0), Event::Armed] } else { vec![] };
    script
        .all(&[fleet(1, 4 - n, 4 - n), fleet(2, n, n)])
        .all(&first)
        .all(&[parts(u32::from(4 - n), u32::from(n)), window("v1", 9, 0), window("v2", 9, 0)])
        .wake()
}

fn begun() -> Script {
    rolling(4, 1).all(&[fleet(2, 0, 0), fleet(1, 3, 4), fleet(1, 4, 4)])
}

pub(crate) fn to_the_end() -> Script {
    (1..=4).fold(begun(), |script, n| one_comes(one_leaves(script, n.into()), n))
}

#[test]
fn four_by_one() {
    to_the_end().is("rolling");
}

#[test]
fn aborted_half_way() {
    half_way_and_back().is("rolling-abort");
}

pub(crate) fn half_way_and_back() -> Script {
    let half = one_comes(one_leaves(one_comes(one_leaves(begun(), 1), 1), 2), 2);
    half.all(&[parts(1, 2), leaving(1, &[3], 1, 0), abort()])
        // The third was not told to end: it comes back.
        .all(&[fleet(2, 2, 2), fleet(1, 2, 2), parts(1, 2), parts(2, 2)])
        // One of the candidate leaves, one of stable follows.
        .all(&[parts(2, 1), fleet(1, 2, 2), fleet(2, 2, 2), leaving(2, &[1], 1, 1)])
        .all(&[leaving(2, &[1], 0, 1), leaving(2, &[1], 0, 0), leaving(2, &[], 0, 0)])
        .all(&[fleet(1, 2, 3), fleet(2, 1, 1), fleet(1, 3, 3), parts(3, 1)])
        .all(&[routes(&[(1, All)]), fleet(1, 3, 3), fleet(2, 1, 1), leaving(2, &[2], 0, 0)])
        .all(&[leaving(2, &[], 0, 0), fleet(1, 4, 4), routes(&[(1, All)]), fleet(2, 0, 0)])
        .all(&[routes(&[(1, All)])])
}

#[test]
fn errors_while_the_next_one_leaves() {
    let one = one_comes(one_leaves(begun(), 1), 1);
    one.all(&[parts(2, 1), fleet(1, 3, 3), fleet(2, 1, 1), leaving(1, &[2], 0, 1)])
        .all(&[window("v2", 5, 5), abort(), leaving(1, &[2], 0, 0), leaving(1, &[], 0, 0)])
        .is("rolling-errors");
}

#[test]
fn the_first_replacement_never_starts() {
    one_leaves(begun(), 1)
        .all(&[crashed(2, 0, 4), fleet(1, 3, 3), crashed(2, 0, 5)])
        .all(&[routes(&[(1, All)]), fleet(2, 0, 1), routes(&[(1, All)])])
        .all(&[leaving(2, &[9], 0, 0), leaving(2, &[], 0, 0)])
        .is("rolling-never-starts");
}

#[test]
fn an_abort_before_anything_was_touched() {
    let aborted = rolling(4, 1).all(&[abort(), fleet(2, 0, 0), routes(&[(1, All)])]);
    assert_eq!(aborted.into_machine().outcome(), Some(model::Outcome::Aborted));
}

/// Instances that serve nobody are the first to leave.
#[test]
fn a_batch_of_broken_instances() {
    let machine = rolling(4, 2).all(&[fleet(2, 0, 0), fleet(1, 2, 4)]).into_machine();
    assert_eq!(machine.phase(), model::Phase::Draining);
}

/// The one that leaves can come back, so it is not told to end while another is missing.
#[test]
fn what_leaves_is_kept_while_others_are_missing() {
    one_comes(one_leaves(one_comes(one_leaves(begun(), 1), 1), 2), 2)
        .all(&[parts(1, 2), fleet(1, 2, 2), fleet(2, 1, 2), leaving(1, &[3], 0, 0)])
        .wake()
        .is("rolling-cannot-spare");
}

#[test]
fn stable_does_not_come_back() {
    one_leaves(begun(), 1)
        .all(&[fleet(2, 0, 1), abort(), fleet(1, 2, 3), fleet(2, 0, 1), routes(&[(1, All)])])
        .wake()
        .is("rolling-stuck");
}

/// Half of the instances are the candidate's, and all of those die.
#[test]
fn the_candidate_dies_half_way() {
    one_comes(one_leaves(one_comes(one_leaves(begun(), 1), 1), 2), 2)
        .all(&[crashed(2, 0, 2), fleet(1, 2, 2), parts(1, 0), fleet(1, 2, 2), fleet(2, 0, 1)])
        .all(&[parts(1, 0), leaving(2, &[], 0, 0), leaving(2, &[], 0, 0), fleet(1, 3, 3)])
        .is("rolling-candidate-dies");
}

/// Nothing is ready: the candidate is not given back what it had.
#[test]
fn stuck_while_nothing_serves() {
    let machine = one_comes(one_leaves(one_comes(one_leaves(begun(), 1), 1), 2), 2)
        .all(&[abort(), fleet(1, 2, 2), fleet(2, 2, 2), parts(2, 2)])
        .all(&[fleet(1, 0, 2), fleet(2, 0, 2)])
        .wake()
        .into_machine();
    assert_eq!(machine.phase(), model::Phase::Stuck);
    assert_eq!(machine.wants().pools[1].weight.basis_points(), 3_333);
}

#[test]
fn what_was_not_picked_under_the_wanted_routes_does_not_count() {
    let machine =
        begun().all(&[fleet(1, 4, 4), fleet(2, 0, 0), leaving(1, &[1], 0, 0)]).into_machine();
    assert_eq!(machine.phase(), model::Phase::Draining);
}

#[test]
fn only_those_that_were_named_count() {
    let named = begun().all(&[routes(&[(1, All)]), fleet(1, 4, 4), leaving(1, &[1], 0, 1)]);
    let machine = named.all(&[leaving(1, &[2], 0, 0)]).into_machine();
    assert_eq!(machine.phase(), model::Phase::HandingOver);
}

#[test]
fn failures_of_the_candidate_count_while_the_next_batch_starts() {
    let second = one_leaves(one_comes(one_leaves(begun(), 1), 1), 2);
    let bad = Event::Window(model::Window {
        by_version: [("v2".to_owned(), tally(0, 9))].into(),
        ..model::Window::default()
    });
    let script = second.all(&[bad]);
    assert_eq!(script.into_machine().phase(), model::Phase::RollingBack);
}

#[test]
fn one_instance_goes_blue_green() {
    let machine = rolling(1, 1).all(&[fleet(2, 1, 1)]).into_machine();
    assert_eq!(machine.phase(), model::Phase::Previewing);
    assert!(machine.notes()[0].words.starts_with("blue-green instead"), "{machine:?}");
}

/// The candidate had everything and its last one dies while stable is not complete: what is ready of
/// stable takes the traffic, for nobody else can.
#[test]
fn the_last_of_the_candidate_dies_on_the_way_back() {
    let one = rolling(3, 2).all(&[fleet(2, 0, 0), fleet(1, 3, 3), parts(1, 0)]);
    let one = one.all(&[fleet(1, 3, 3), leaving(1, &[1, 2], 0, 0), leaving(1, &[], 0, 0)]);
    let two = one.all(&[fleet(2, 2, 2), preview(40, 0), Event::Armed, fleet(1, 1, 1), parts(1, 2)]);
    let two = two.all(&[window("v2", 9, 0), window("v2", 9, 0)]).wake();
    let two = two.all(&[parts(0, 2), fleet(1, 1, 1), fleet(2, 2, 2), leaving(1, &[3], 0, 0)]);
    let back =
        two.all(&[leaving(1, &[], 0, 0), abort(), fleet(1, 0, 0), fleet(2, 3, 3), parts(0, 2)]);
    let back = back.all(&[fleet(1, 0, 0), fleet(2, 3, 3), parts(0, 1), leaving(2, &[1, 2], 0, 0)]);
    let back = back.all(&[leaving(2, &[], 0, 0), crashed(2, 0, 1), fleet(1, 1, 2)]);
    let machine = back.into_machine();
    let wants = machine.wants();
    assert_eq!(machine.phase(), model::Phase::RollingBack, "{:#?}", machine.entered());
    assert_eq!(wants.pools.len(), 1, "{wants:?}");
    assert_eq!(wants.pools[0].release, model::ReleaseId(1));
}
