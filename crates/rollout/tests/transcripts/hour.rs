//! An A/A hour: a canary, or a rolling replacement, whose candidate is the same as stable, judged every second by the whole machine, by all
//! that it has: the comparison of errors and latencies, the limits, what the prober sees, also where a step ends.
//!
//! How long the comparison takes to find somebody worse is not told here (`judging`, `cargo xtask bench canary`).

use model::{Counted, Event, Phase, Threshold, Tick, Weight};
use rollout::{Analysis, OnIncident, Settings, Strategy};

use crate::chance::seen;
use crate::draw::Draw;
use crate::script::Role::Part;
use crate::script::{Script, fleet, leaving, parts, preview, routes, window};

/// Looked at, and with `CUTOVER_FULL=1`.
const HOURS: [u64; 2] = [60, 1_000];
const SECONDS: u64 = 3_600;
/// Shares of the candidate, each for half of the hour.
const PERCENTS: [u16; 2] = [10, 50];
/// Units in a second, on both releases together.
const UNITS: u64 = 20;
/// Of stable's requests fail.
const FAILS: f64 = 0.004;
/// Attempts of the prober in a second.
const ATTEMPTS: u64 = 5;
/// Of ten thousand answers take longer than each of the thresholds.
const SLOW: [u32; 3] = [5_000, 1_000, 100];

fn thresholds() -> Vec<Threshold> {
    let thresholds = [20_000, 50_000, 200_000].into_iter().zip(SLOW);
    thresholds.map(|(us, share)| Threshold { us, slow: u64::from(share), of: 10_000 }).collect()
}

/// The rules that hold where a file sets none, but for the limit of errors.
fn judged(settings: &mut Settings, limit_bp: u16) {
    let mut analysis = Analysis::default();
    (settings.max_error_share_bp, analysis.rules.max_error_share_bp) = (limit_bp, limit_bp);
    settings.analysis = Some(analysis);
    // What looks like an incident, also by chance, waits for nobody.
    settings.incident = OnIncident::Resume;
}

/// A canary of an hour.
fn canary(limit_bp: u16) -> Script {
    let thresholds = thresholds();
    Script::new(|start| {
        start.settings.strategy = Strategy::Canary {
            steps: PERCENTS.map(|percent| Weight::new(percent * 100).unwrap()).to_vec(),
            counts: Vec::new(),
            step_ms: SECONDS * 1_000 / 2,
        };
        judged(&mut start.settings, limit_bp);
    })
    .all(&[fleet(1, 2, 2), fleet(2, 2, 2), preview(40, 0), Event::Thresholds { thresholds }])
    .all(&[Event::Armed])
}

fn counted(draw: &mut Draw, units: u64, fails: f64) -> Counted {
    // Who is slower than one is slower than all before it.
    let (mut left, mut of) = (units, 10_000);
    let slow = SLOW.map(|share| {
        left = draw.of(left, f64::from(share) / f64::from(of));
        of = share;
        left
    });
    Counted { units, errors: draw.of(units, fails), slow: slow.to_vec() }
}

/// Four instances, replaced one by one, with the same rules.
fn rolling(limit_bp: u16) -> Script {
    let strategy = Strategy::Rolling { batch: 1, surge: 0 };
    Script::new(|start| {
        start.instances = 4;
        start.settings.strategy = strategy;
        start.settings.bake_ms = SECONDS * 1_000 / 3;
        judged(&mut start.settings, limit_bp);
    })
    .all(&[fleet(2, 0, 0), Event::Thresholds { thresholds: thresholds() }, fleet(1, 4, 4)])
}

/// What is seen until a share of a canary, or a batch, is on trial; and that share.
fn trials(rolls: bool) -> Vec<(f64, Vec<Event>)> {
    let seen = || [window("v2", 1, 0), window("v2", 1, 0)];
    if !rolls {
        let trial = |percent: u16| {
            let pools = routes(&[(1, Part(100 - percent)), (2, Part(percent))]);
            (f64::from(percent) / 100.0, [pools].into_iter().chain(seen()).collect())
        };
        return PERCENTS.map(trial).to_vec();
    }
    let trial = |n: u16| {
        let number = u32::from(n);
        let mut events = vec![parts(4 - number, number - 1), fleet(1, 4, 4)];
        events.extend([leaving(1, &[number], 0, 0), leaving(1, &[], 0, 0)]);
        events.extend([fleet(1, 4 - n, 4 - n), fleet(2, n, n)]);
        events.extend((n == 1).then(|| [preview(40, 0), Event::Armed]).into_iter().flatten());
        events.push(parts(4 - number, number));
        (f64::from(n) / 4.0, events.into_iter().chain(seen()).collect())
    };
    (1..=3).map(trial).collect()
}

/// Whether the candidate was taken back, of which so many fail and so many may: in its steps, or when one ends.
fn is_taken_back(rolls: bool, seed: u64, (fails, limit_bp): (f64, u16)) -> bool {
    let script = if rolls { rolling(limit_bp) } else { canary(limit_bp) };
    let mut draw = Draw::new(seed * 104_729);
    let (mut now_ms, mut machine) = (script.now_ms(), script.into_machine());
    for (share, events) in trials(rolls) {
        for event in events {
            machine.advance(now_ms, &event);
        }
        assert_eq!(machine.phase(), Phase::Baking, "{share}");
        while machine.phase() == Phase::Baking {
            let candidates = draw.of(UNITS, share);
            let tick = Tick {
                candidate: counted(&mut draw, candidates, fails),
                stable: counted(&mut draw, UNITS - candidates, FAILS),
            };
            now_ms += 1_000;
            machine.advance(now_ms, &Event::Units { at_s: now_ms / 1_000, tick });
            machine.advance(now_ms, &seen(&mut draw, ATTEMPTS, share, fails));
        }
        if machine.turns_back() {
            return true;
        }
    }
    // All trials were whole, and judged once more when they were over.
    assert!(now_ms >= SECONDS * 1_000, "{now_ms}");
    let last = machine.shares().last().unwrap().share;
    let whole = if rolls { machine.phase() == Phase::Draining } else { last == Weight::ALL };
    assert!(whole, "{last:?}, {}", machine.phase());
    false
}

fn hours(rolls: bool) {
    let alpha = f64::from(Analysis::default().rules.alpha_bp) / 10_000.0;
    let hours = HOURS[usize::from(std::env::var_os("CUTOVER_FULL").is_some())];
    let usual = Settings::default().max_error_share_bp;
    let taken = (0..hours).filter(|seed| is_taken_back(rolls, *seed, (FAILS, usual))).count();
    println!("{taken} of {hours} hours");
    // What is to be expected of a judge that uses all of its alpha, and three times its deviation.
    let expected = alpha * hours as f64;
    assert!((taken as f64) <= expected + 3.0 * expected.sqrt(), "{taken} of {hours}");
    // The same eyes see who is worse; so does the comparison alone, where no limit is broken.
    for limit_bp in [usual, 2_000] {
        let worse = (0..10).filter(|seed| is_taken_back(rolls, *seed, (0.05, limit_bp))).count();
        assert_eq!(worse, 10, "with a limit of {limit_bp} basis points");
    }
}

#[test]
fn a_candidate_that_is_the_same_is_taken_back_no_more_often_than_alpha_in_an_hour() {
    hours(false);
}

#[test]
fn nor_in_a_rolling_replacement_that_lasts_an_hour() {
    hours(true);
}
