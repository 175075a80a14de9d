//! What each wish of an operator does in each phase of each strategy: one golden table, no phase missing.
//!
//! Their stories are in `operators`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use model::{Event, Phase};
use rollout::Rollout;

use crate::operators::{FULL, PROMOTE, RESUME, canary, carries, ends_well, follow, pause, share};
use crate::recreate::{recreate, until_baking};
use crate::rolling::{half_way_and_back, to_the_end};
use crate::script::Role::{All, Part, Retiring, Spare};
use crate::script::{Script, abort, compare, event_words, fleet, open, preview, routes, window};
use crate::surge;

/// The phases one after the other, but for `Stuck`, which has stories of its own. A new one does not
/// compile here until it has its place.
const fn next(phase: Phase) -> Option<Phase> {
    match phase {
        Phase::Starting => Some(Phase::Previewing),
        Phase::Previewing => Some(Phase::Arming),
        Phase::Arming => Some(Phase::Shifting),
        Phase::Shifting => Some(Phase::Baking),
        Phase::Baking => Some(Phase::Draining),
        Phase::Draining => Some(Phase::HandingOver),
        Phase::HandingOver => Some(Phase::Stopping),
        Phase::Stopping => Some(Phase::Promoted),
        Phase::Promoted => Some(Phase::RollingBack),
        Phase::RollingBack => Some(Phase::DrainingCandidate),
        Phase::DrainingCandidate => Some(Phase::StoppingCandidate),
        Phase::StoppingCandidate => Some(Phase::Aborted),
        Phase::Aborted | Phase::Stuck => None,
    }
}

/// Tunnels are left when the requests have ended, on whoever leaves.
fn handed_over(script: Script) -> Script {
    script
        .all(&[routes(&[(1, Retiring), (2, All)]), open(1, 3, 2), open(1, 0, 2), open(1, 0, 0)])
        .all(&[routes(&[(2, All)]), fleet(1, 0, 0)])
}

fn taken_back(script: Script) -> Script {
    script
        .all(&[abort(), fleet(1, 2, 2), routes(&[(1, All), (2, Spare)])])
        .all(&[routes(&[(1, All), (2, Retiring)]), open(2, 4, 1), open(2, 0, 1), open(2, 0, 0)])
        .all(&[routes(&[(1, All)]), fleet(2, 0, 0)])
}

fn blue_green() -> Script {
    carries(
        Script::new(|_| {})
            .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0)])
            .all(&[Event::Armed]),
        100,
    )
}

fn quarter() -> Script {
    canary(&[])
        .all(&[Event::Armed, routes(&[(1, Part(75)), (2, Part(25))])])
        .all(&[window("v1", 15, 0), window("v2", 15, 0)])
}

fn only_copy_is_back() -> Script {
    until_baking(recreate())
        .all(&[abort(), routes(&[(2, Retiring)]), open(2, 2, 1), open(2, 0, 1), open(2, 0, 0)])
        .all(&[fleet(2, 0, 0), routes(&[]), fleet(1, 1, 1), routes(&[(1, All)])])
}

/// The machine when it was first seen in each phase of a story.
fn phases(script: Script) -> Vec<(u64, Rollout)> {
    let mut seen = BTreeSet::new();
    let first = |(_, machine): &(u64, Rollout)| seen.insert(machine.phase());
    script.moments().into_iter().filter(first).collect()
}

/// What comes of a wish, in a line.
fn answer(before: &Rollout, now_ms: u64, wish: &Event) -> String {
    let mut machine = before.clone();
    let refused = machine.refuses(wish);
    machine.advance(now_ms, wish);
    machine.check_invariants().unwrap();
    let entered = machine.entered().get(before.entered().len());
    let note = machine.notes().get(before.notes().len());
    match (refused, entered, note) {
        (Some(why), None, _) => format!("nothing to do: {why}"),
        (None, Some(entered), _) => format!("-> {}: {}", entered.phase, entered.why),
        (None, None, Some(note)) => format!("heard: {}", note.words),
        (None, None, None) => match machine.paused() {
            Some(pause) => format!("heard: waits for a person: {}", pause.why),
            None => "heard".to_owned(),
        },
        (Some(why), Some(entered), _) => {
            format!("WRONG: refused ({why}), and -> {}", entered.phase)
        }
    }
}

#[test]
fn every_wish_in_every_phase_of_every_strategy() {
    let shares = carries(carries(quarter().wake(), 50).wake(), 100).wake();
    let stories = vec![
        ("blue-green, forward", handed_over(blue_green().wake())),
        ("blue-green, back", taken_back(blue_green())),
        ("canary, forward", ends_well(shares)),
        ("canary, back", taken_back(quarter())),
        ("rolling, forward", to_the_end()),
        ("rolling, back", half_way_and_back()),
        ("rolling with a surge", surge::to_the_end()),
        ("recreate, forward", until_baking(recreate()).wake()),
        ("recreate, back", only_copy_is_back()),
    ];
    let wishes = [abort(), pause(), RESUME, PROMOTE, FULL, share(10), follow("v3")];
    let (mut table, mut seen) = (String::new(), BTreeSet::new());
    for (name, story) in stories {
        for (now_ms, machine) in phases(story) {
            seen.insert(machine.phase());
            writeln!(table, "{name}, {} at {now_ms} ms", machine.phase()).unwrap();
            for wish in &wishes {
                let answer = answer(&machine, now_ms, wish);
                writeln!(table, "    {}: {answer}", event_words(wish)).unwrap();
            }
        }
    }
    let all = std::iter::successors(Some(Phase::Starting), |phase| next(*phase));
    let missing: Vec<_> = all.filter(|phase| !seen.contains(phase)).collect();
    assert!(missing.is_empty(), "no story shows what operators can do in {missing:?}");
    assert!(!table.contains("WRONG"), "{table}");
    compare("wishes", &table);
}
