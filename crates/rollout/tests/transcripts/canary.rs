//! Stories of canaries: shares of random requests.
//!
//! Comparing it with stable is in `compared`, pausing it in `operators`.

use model::event::PoolSeen;
use model::{Event, Phase, PoolState, ReleaseId, Weight, Window};
use rollout::Strategy;

use crate::script::Role::{All, Part, Retiring, Spare};
use crate::script::{Script, abort, crashed, fleet, open, preview, routes, tally, window};

fn canary(percents: &[u16]) -> Script {
    let steps = percents.iter().map(|percent| Weight::new(percent * 100).unwrap()).collect();
    Script::new(|start| {
        start.settings.strategy = Strategy::Canary { steps, step_ms: 5_000, counts: Vec::new() }
    })
    .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), Event::Armed])
}

/// The share was seen in effect.
fn carries(script: Script, percent: u16) -> Script {
    let pools = routes(&[(1, Part(100 - percent)), (2, Part(percent))]);
    script.all(&[pools, window("v1", 15, 0), window("v2", 5, 0)])
}

#[test]
fn promoted_over_its_shares() {
    let quarter = carries(canary(&[25, 50]), 25).all(&[window("v2", 200, 1)]).wake();
    carries(quarter, 50)
        .all(&[window("", 0, 30)])
        .wake()
        .all(&[routes(&[(1, Spare), (2, All)]), window("v1", 9, 0), window("v2", 20, 0)])
        .wake()
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 0, 0)])
        .all(&[routes(&[(2, All)]), fleet(1, 0, 0)])
        .is("canary");
}

/// Three instances: one of the candidate, then two, beside all of stable.
fn by_instances() -> Script {
    let steps = [2_500, 4_000].map(|points| Weight::new(points).unwrap()).to_vec();
    Script::new(|start| {
        start.instances = 3;
        let counts = vec![1, 2];
        start.settings.strategy = Strategy::Canary { steps, step_ms: 5_000, counts };
    })
    .all(&[fleet(1, 3, 3), fleet(2, 1, 1), preview(40, 0), Event::Armed])
}

#[test]
fn more_instances_are_started_for_each_share() {
    carries(carries(by_instances(), 25).wake().all(&[fleet(2, 1, 2), fleet(2, 2, 2)]), 40)
        .wake()
        .all(&[fleet(2, 3, 3), routes(&[(1, Spare), (2, All)]), window("v2", 20, 0)])
        .is("canary-instances");
}

#[test]
fn those_that_are_started_for_a_share_never_are_ready() {
    carries(by_instances(), 25)
        .wake()
        .all(&[fleet(2, 1, 2), window("v2", 20, 0)])
        .wake()
        .all(&[fleet(1, 3, 3), routes(&[(1, All), (2, Spare)]), routes(&[(1, All), (2, Retiring)])])
        .all(&[open(2, 0, 0), routes(&[(1, All)]), fleet(2, 0, 0)])
        .is("canary-instances-late");
}

/// All of them are needed at once, which no user may wait for.
#[test]
fn everything_at_once_starts_the_others_first() {
    let full = Event::PromoteAsked { full: true };
    let script = by_instances_asked(&full);
    let machine = script.into_machine();
    assert_eq!(machine.phase(), Phase::Starting);
    let wanted: Vec<_> = machine.wants().fleet.iter().map(|want| want.instances).collect();
    assert_eq!(wanted, [3, 3]);
}

/// The wish comes while the candidate is asked directly.
fn by_instances_asked(wish: &Event) -> Script {
    let steps = vec![Weight::new(2_500).unwrap()];
    Script::new(|start| {
        start.instances = 3;
        start.settings.strategy = Strategy::Canary { steps, step_ms: 5_000, counts: vec![1] };
    })
    .all(&[fleet(1, 3, 3), fleet(2, 1, 1), wish.clone(), preview(40, 0), Event::Armed])
}

#[test]
fn a_share_that_follows_from_instances_cannot_be_set() {
    let machine = carries(by_instances(), 25).into_machine();
    let why = machine.refuses(&Event::WeightAsked { weight: Weight::new(5_000).unwrap() });
    assert!(why.unwrap().contains("follows from the instances"));
}

#[test]
fn aborted_at_its_first_share() {
    carries(canary(&[25, 50, 100]), 25)
        .all(&[window("v2", 90, 2), window("v1", 600, 2), window("", 0, 50)])
        .all(&[window("v2", 10, 6), routes(&[(1, Part(75)), (2, Part(25))]), fleet(1, 2, 2)])
        .all(&[routes(&[(1, All), (2, Spare)]), routes(&[(1, All), (2, Retiring)])])
        .all(&[open(2, 0, 0), routes(&[(1, All)]), fleet(2, 0, 0)])
        .is("canary-errors");
}

#[test]
fn an_operator_aborts_between_two_shares() {
    carries(canary(&[25, 50, 100]), 25).wake().all(&[abort()]).is("canary-abort");
}

#[test]
fn an_instance_crashes_at_a_share() {
    let half = carries(carries(canary(&[25, 50, 100]), 25).wake(), 50);
    half.all(&[crashed(2, 1, 1)]).is("canary-crash");
}

#[test]
fn the_share_is_not_seen_in_effect() {
    canary(&[25])
        .all(&[routes(&[(1, Part(75)), (2, Part(25))]), window("v1", 15, 0)])
        .wake()
        .is("canary-no-answer");
}

#[test]
fn stable_is_dead_when_a_share_is_undone() {
    carries(canary(&[25]), 25)
        .all(&[fleet(1, 0, 0), abort(), fleet(1, 0, 0)])
        .wake()
        .is("canary-stable-dead");
}

#[test]
fn errors_of_many_shares_add_up() {
    let quarter = carries(canary(&[25, 50]), 25).all(&[window("v2", 40, 2)]).wake();
    let machine = carries(quarter, 50).all(&[window("v2", 40, 5)]).into_machine();
    assert_eq!(machine.phase(), Phase::RollingBack);
}

/// The candidate had users before: only a window that began under the new share tells of it.
#[test]
fn an_answer_from_before_does_not_confirm_a_share() {
    let half = routes(&[(1, Part(50)), (2, Part(50))]);
    let quarter = carries(canary(&[25, 50]), 25).wake().all(&[half, window("v2", 20, 0)]);
    assert_eq!(quarter.into_machine().phase(), Phase::Shifting);
}

/// A long good share must not hide that the next one fails.
#[test]
fn each_share_is_judged_by_itself_too() {
    let quarter = carries(canary(&[25, 50]), 25).all(&[window("v2", 10_000, 0)]).wake();
    let machine = carries(quarter, 50).all(&[window("v2", 40, 7)]).into_machine();
    let why = &machine.entered().last().unwrap().why;
    assert_eq!(why, "7 of 52 requests failed since v2 got its present share: bad status 7");
}

#[test]
fn failures_without_a_version_count_once_the_candidate_is_alone() {
    let nameless = || {
        Event::Window(Window {
            by_version: [(String::new(), tally(0, 9))].into(),
            ..Window::default()
        })
    };
    let alone = carries(canary(&[25]), 25).all(&[nameless()]).wake();
    let alone = alone.all(&[routes(&[(1, Spare), (2, All)]), nameless(), window("v2", 5, 0)]);
    let machine = alone.all(&[nameless()]).into_machine();
    assert_eq!(machine.phase(), Phase::RollingBack);
    assert!(machine.entered().last().unwrap().why.starts_with("9 of "), "{machine:?}");
}

/// Shares as "when: basis points, when settled".
fn shares(machine: &rollout::Rollout) -> Vec<(u64, u16, Option<u64>)> {
    let shares = machine.shares().iter();
    shares.map(|one| (one.at_ms, one.share.basis_points(), one.settled_ms)).collect()
}

#[test]
fn shares_are_booked_with_their_times() {
    assert_eq!(shares(&Script::new(|_| {}).into_machine()), []);
    let half = || carries(carries(canary(&[25, 50]), 25).wake(), 50).wake();
    // Wanted at 40 ms and seen 10 ms later; the prober's answers come after that.
    let first = [(40, 2_500, Some(50)), (5_070, 5_000, Some(5_080))];
    assert_eq!(shares(&half().into_machine())[..2], first);
    assert_eq!(shares(&half().into_machine())[2..], [(10_100, 10_000, None)]);
    let done = half().all(&[routes(&[(1, Spare), (2, All)]), window("v1", 9, 0)]);
    assert_eq!(shares(&done.into_machine())[2..], [(10_100, 10_000, Some(10_110))]);
}

#[test]
fn what_is_undone_ends_with_a_share_of_nothing() {
    let aborted = carries(canary(&[25, 50]), 25).all(&[abort()]);
    let taken = [(40, 2_500, Some(50)), (80, 0, None)];
    let wanted = aborted.all(&[fleet(1, 2, 2)]);
    assert_eq!(shares(&wanted.into_machine()), taken);
}

/// At 0.5 % of the requests, of a prober that sends so many a minute, with the routes seen to be right.
fn small_share(points: u16, probe_per_minute: u32) -> Script {
    let share = Weight::new(points).unwrap();
    let script = Script::new(|start| {
        let (steps, step_ms) = (vec![share], 10_000);
        start.settings.strategy = Strategy::Canary { steps, step_ms, counts: Vec::new() };
        start.settings.probe_per_minute = probe_per_minute;
    });
    let pool = |release, weight| PoolSeen {
        release: ReleaseId(release),
        weight,
        state: PoolState::Serving,
    };
    let pools = vec![pool(1, share.rest()), pool(2, share)];
    script
        .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), Event::Armed])
        .all(&[Event::RoutesSettled { pools }, window("v1", 10, 0)])
}

/// Ten requests a second for 15 s: none of them need meet a share of 0.5 %.
#[test]
fn a_share_that_the_prober_hardly_meets_is_not_waited_for() {
    let machine = small_share(50, 600).into_machine();
    let last = machine.entered().last().unwrap();
    assert_eq!(machine.phase(), Phase::Baking, "{last:?}");
    let words = "; the prober hardly ever meets so small a share, and is not waited for";
    assert!(last.why.ends_with(words), "{last:?}");
    // It would meet these: something is wrong where it does not.
    for (points, probe_per_minute) in [(5_000, 600), (50, 60_000), (50, 0), (10_000, 60)] {
        let late = small_share(points, probe_per_minute);
        assert_eq!(late.machine().phase(), Phase::Shifting);
        assert!(late.wake().into_machine().turns_back());
    }
}
