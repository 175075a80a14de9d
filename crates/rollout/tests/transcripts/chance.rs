//! Candidates that are the same as stable, of which the prober sees a failure now and then for minutes:
//! how often chance alone takes one back. The units of the proxy are judged in `judging`.

use model::{Event, Phase, Tally, Weight, Window};
use rollout::{MACHINE_VERSION, OnIncident, Strategy};

use crate::draw::Draw;
use crate::script::Role::{All, Part, Spare};
use crate::script::{Script, fleet, preview, routes, tally, window};

const RUNS: u64 = 100;
/// Three in a thousand attempts fail, on either release; one in a hundred may.
const FAILS: f64 = 0.003;
/// Attempts of the prober in a window of a quarter of a second.
const ATTEMPTS: u64 = 12;

/// What both releases answered to the prober in a quarter of a second.
pub(crate) fn seen(draw: &mut Draw, attempts: u64, share: f64, fails: f64) -> Event {
    let mut seen = [(0, 0), (0, 0)];
    for _ in 0..attempts {
        let (ok, failed) = &mut seen[usize::from(draw.hits(share))];
        *(if draw.hits(fails) { failed } else { ok }) += 1;
    }
    let told = |(ok, failed): (u64, u64)| -> Tally { tally(ok, failed) };
    let by_version = [("v1".to_owned(), told(seen[0])), ("v2".to_owned(), told(seen[1]))];
    Event::Window(Window { by_version: by_version.into(), ..Window::default() })
}

/// A canary of a minute at each of three shares.
fn canary(rules: u32) -> Script {
    let steps = [5, 25, 50].map(|percent| Weight::new(percent * 100).unwrap()).to_vec();
    Script::new(|start| {
        start.settings.strategy = Strategy::Canary { steps, step_ms: 60_000, counts: Vec::new() };
        start.settings.rules = rules;
        // What looks like an incident, also by chance, waits for nobody.
        start.settings.incident = OnIncident::Resume;
    })
    .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), Event::Armed])
}

fn is_taken_back(rules: u32, seed: u64) -> bool {
    let (script, mut draw) = (canary(rules), Draw::new(seed * 7_919));
    let (mut now_ms, mut machine) = (script.now_ms(), script.into_machine());
    for percent in [5, 25, 50, 100] {
        let pools = match percent {
            100 => routes(&[(1, Spare), (2, All)]),
            _ => routes(&[(1, Part(100 - percent)), (2, Part(percent))]),
        };
        let events = [pools, window("v2", 1, 0), window("v2", 1, 0)];
        for event in &events {
            machine.advance(now_ms, event);
        }
        while machine.phase() == Phase::Baking {
            now_ms += 250;
            machine.advance(now_ms, &seen(&mut draw, ATTEMPTS, f64::from(percent) / 100.0, FAILS));
        }
        if machine.turns_back() {
            return true;
        }
    }
    assert_eq!(machine.phase(), Phase::Draining);
    false
}

#[test]
fn chance_alone_hardly_ever_takes_a_candidate_back() {
    let taken = |rules| (0..RUNS).filter(|seed| is_taken_back(rules, *seed)).count() as u64;
    let (before, now) = (taken(3), taken(MACHINE_VERSION));
    println!("{now} of {RUNS}; {before} where a limit was looked at with each window");
    assert!(now <= RUNS / 12, "{now} of {RUNS}");
    assert!(before >= RUNS / 5, "{before} of {RUNS}: the test sees nothing");
}

/// One that fails more than it may is taken back, at the latest when the step's time is over.
#[test]
fn a_step_that_is_over_takes_the_share_as_it_is() {
    let quarter = || {
        canary(MACHINE_VERSION).all(&[
            routes(&[(1, Part(95)), (2, Part(5))]),
            window("v1", 15, 0),
            window("v2", 5, 0),
            window("v2", 140, 3),
        ])
    };
    assert_eq!(quarter().machine().phase(), Phase::Baking);
    let over = quarter().wake().into_machine();
    assert!(over.turns_back());
    let why = &over.entered().last().unwrap().why;
    assert!(why.starts_with("3 of 148 requests failed since the switch to v2"), "{why}");
}
