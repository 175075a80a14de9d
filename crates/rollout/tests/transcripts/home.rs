//! Stories of the way home: v2 stood in, v1 is gone, and v2 is started again in its place.
//!
//! What comes before it is an ordinary rollout, and is told in `main`.

use model::{Event, Outcome, Phase, Weight};
use rollout::{Start, Strategy};

use crate::script::Role::{All, Part, Retiring, Spare};
use crate::script::{Script, abort, crashed, fleet, leaving, open, preview, routes, window};
use crate::until_draining;

fn returning() -> Script {
    Script::new(|start| start.settings.return_home = true)
}

/// Nothing of v1 is left.
fn gone() -> Script {
    until_draining(returning())
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 0, 0)])
        .all(&[routes(&[(2, All)]), fleet(1, 0, 0)])
}

/// v2 is ready in both places, and the routes were seen.
fn doubled() -> Script {
    gone().all(&[fleet(2, 2, 4), fleet(2, 4, 4)])
}

fn notes(change: impl FnOnce(&mut Start)) -> Vec<String> {
    let script = Script::new(|start| {
        start.settings.return_home = true;
        change(start);
    });
    script.into_machine().notes().iter().map(|note| note.words.clone()).collect()
}

#[test]
fn there_and_home_again() {
    gone()
        .all(&[fleet(2, 2, 4), abort(), fleet(2, 4, 4)])
        // Who leaves counts under the wanted routes only.
        .all(&[leaving(2, &[1, 2], 0, 0), abort(), routes(&[(2, All)]), leaving(2, &[1, 2], 3, 1)])
        .all(&[abort(), leaving(2, &[1, 2], 1, 1), leaving(2, &[1, 2], 0, 1), abort()])
        .all(&[fleet(2, 3, 3), leaving(2, &[1], 0, 1)])
        .is("home");
}

#[test]
fn not_ready_a_second_time() {
    gone().all(&[fleet(2, 2, 3), crashed(2, 2, 9), fleet(2, 3, 4)]).wake().is("home-never-ready");
}

#[test]
fn a_request_that_does_not_end() {
    doubled()
        .all(&[routes(&[(2, All)]), leaving(2, &[1, 2], 2, 1), leaving(2, &[1, 2], 1, 0)])
        .wake()
        .is("home-endless");
}

#[test]
fn the_controller_dies_on_the_way_home() {
    doubled()
        .all(&[routes(&[(2, All)]), leaving(2, &[1, 2], 2, 0)])
        .at(600_000, &Event::Resumed)
        .all(&[leaving(2, &[1, 2], 0, 0), fleet(2, 4, 4), routes(&[(2, All)])])
        .all(&[leaving(2, &[1, 2], 0, 0)])
        .is("home-resumed");
}

#[test]
fn the_router_is_not_seen_without_the_spare() {
    let machine = doubled().all(&[routes(&[(2, All)])]).wake().into_machine();
    let last = machine.entered().last().unwrap();
    assert_eq!(last.phase, Phase::Promoted);
    assert!(last.why.contains("warning: the router was not seen"), "{}", last.why);
    assert!(machine.wants().leave.is_some(), "they still are to leave");
}

/// The same after shares: the only way from a canary's switch to its end.
#[test]
fn the_router_is_not_seen_without_the_spare_of_a_canary() {
    let canary = Script::new(|start| {
        start.settings.return_home = true;
        start.settings.probing = false;
        start.settings.strategy = Strategy::Canary {
            steps: vec![Weight::new(5_000).unwrap()],
            step_ms: 5_000,
            counts: Vec::new(),
        };
    });
    let machine = canary
        .all(&[
            fleet(1, 2, 2),
            fleet(2, 2, 2),
            preview(40, 0),
            routes(&[(1, Part(50)), (2, Part(50))]),
        ])
        .wake()
        .all(&[routes(&[(1, Spare), (2, All)])])
        .wake()
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 0, 0)])
        .all(&[routes(&[(2, All)]), fleet(1, 0, 0), fleet(2, 4, 4)])
        .wake()
        .tells("canary-home-unseen");
    let [.., before, last] = machine.entered() else { panic!("{:?}", machine.entered()) };
    assert_eq!((before.phase, last.phase), (Phase::Shifting, Phase::Promoted));
}

/// A place that is not free is not taken.
#[test]
fn stable_does_not_go() {
    let machine = until_draining(returning())
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 0, 0)])
        .all(&[routes(&[(2, All)]), fleet(1, 0, 1)])
        .wake()
        .into_machine();
    assert_eq!(machine.outcome(), Some(Outcome::Promoted));
    assert_eq!(machine.wants().leave, None);
    let why = &machine.entered().last().unwrap().why;
    assert!(why.contains("does not take its place"), "{why}");
}

/// Whatever befalls the candidate after a final promotion takes nothing back, and nothing is judged.
#[test]
fn nothing_turns_it_back() {
    let mut machine = gone().into_machine();
    let mut now = 20_000;
    let ways = [
        (Phase::Starting, fleet(2, 4, 4)),
        (Phase::Shifting, leaving(2, &[1, 2], 1, 0)),
        (Phase::Draining, leaving(2, &[1], 0, 0)),
    ];
    for (phase, way) in ways {
        for event in [crashed(2, 0, 99), window("v2", 0, 500), abort(), routes(&[(2, All)])] {
            now += 10;
            machine.advance(now, &event);
            assert_eq!(machine.phase(), phase, "{event:?}");
            assert!(machine.promotion_is_final() && !machine.judges_windows());
        }
        machine.advance(now, &way);
    }
    assert_eq!(machine.outcome(), Some(Outcome::Promoted));
}

#[test]
fn a_canary_returns_home_too() {
    let half = Weight::new(5_000).unwrap();
    let canary = Script::new(|start| {
        start.settings.return_home = true;
        start.settings.probing = false;
        start.settings.preview_requests = 0;
        start.settings.strategy =
            Strategy::Canary { steps: vec![half], step_ms: 5_000, counts: Vec::new() };
    });
    let parts = routes(&[(1, Part(50)), (2, Part(50))]);
    let all = routes(&[(1, Spare), (2, All)]);
    let machine = canary
        .all(&[fleet(1, 2, 2), fleet(2, 2, 2), parts])
        .wake()
        .all(&[all])
        .wake()
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 0, 0)])
        .all(&[routes(&[(2, All)]), fleet(1, 0, 0), fleet(2, 4, 4)])
        .all(&[routes(&[(2, All)]), leaving(2, &[1, 2], 0, 0)])
        .into_machine();
    assert_eq!(machine.outcome(), Some(Outcome::Promoted));
    assert_eq!(machine.entered().len(), 11, "{:?}", machine.entered());
    let shares: Vec<_> = machine.shares().iter().map(|share| share.share).collect();
    assert_eq!(shares, [half, Weight::ALL], "the way home is no share");
}

#[test]
fn without_effect_where_there_is_no_way_home() {
    let rolling =
        |start: &mut Start| start.settings.strategy = Strategy::Rolling { batch: 1, surge: 0 };
    assert!(notes(|_| {}).is_empty());
    let first = notes(|start| start.stable = None);
    assert!(first[0].starts_with("no way home: the first release"), "{first:?}");
    assert!(notes(rolling)[0].starts_with("no way home: a rolling"));
    let one = notes(|start| {
        rolling(start);
        start.instances = 1;
    });
    assert_eq!(one, ["blue-green instead of rolling: there is only one instance"]);
}
