//! How many requests it takes to find a candidate that is slower.
//!
//! Errors are not drawn here: those are in `detection`.

use model::{Counted, Threshold, Tick, latency};
use rollout::analysis::{Comparison, Rules, thresholds};

use crate::draw::Draw;

/// Requests a second.
const RATE: u64 = 200;
/// Requests after which a run is given up.
const MOST: u64 = 100_000;
/// The median of stable, us; times are lognormal around it.
const MEDIAN_US: f64 = 20_000.0;
const SIGMA: f64 = 0.5;

/// What is wrong with the candidate.
#[derive(Clone, Copy)]
enum Slower {
    Not,
    /// All take so many times as long.
    All(f64),
    /// A share takes so many times as long.
    Some(f64, f64),
    /// A share stands still for 20 medians.
    Stall(f64),
}

const CASES: [(&str, Slower); 7] = [
    ("not slower", Slower::Not),
    ("all x1.05", Slower::All(1.05)),
    ("all x1.10", Slower::All(1.1)),
    ("all x1.20", Slower::All(1.2)),
    ("all x1.50", Slower::All(1.5)),
    ("5 % of them x3", Slower::Some(0.05, 3.0)),
    ("1 % stand still for 20 medians", Slower::Stall(0.01)),
];

pub(crate) fn print(runs: u64) {
    println!("### How many requests it takes to find a slower candidate\n");
    println!(
        "{runs} runs at {RATE} requests a second, alpha 0.01, thresholds from 5000 earlier requests of \
         stable; times are lognormal (sigma {SIGMA}). Share of the runs that were aborted within {MOST} \
         requests of both releases, and the median of how many it took.\n"
    );
    println!("| candidate | 50 % of the requests | 10 % |");
    println!("|---|---|---|");
    for (name, slower) in CASES {
        let cells = [0.5, 0.1].map(|share| cell(slower, share, runs));
        println!("| {name} | {} | {} |", cells[0], cells[1]);
    }
    println!();
}

fn cell(slower: Slower, share: f64, runs: u64) -> String {
    let taken = |run| one(slower, share, &mut Draw::new(run + 1));
    let mut taken: Vec<u64> = (0..runs).filter_map(taken).collect();
    taken.sort_unstable();
    match taken.get(taken.len() / 2) {
        Some(median) => format!("{:.3}, {median}", taken.len() as f64 / runs as f64),
        None => "0".to_owned(),
    }
}

/// Requests of both releases until one run was aborted.
fn one(slower: Slower, share: f64, draw: &mut Draw) -> Option<u64> {
    let mut met = vec![0_u64; latency::BUCKETS];
    for _ in 0..5_000 {
        met[latency::bucket(time(Slower::Not, draw))] += 1;
    }
    let met: Vec<(u16, u64)> = (0..).zip(met).filter(|(_, n)| *n > 0).collect();
    let thresholds = thresholds(&met);
    let rules = Rules { max_error_share_bp: 0, ..Rules::default() };
    let mut comparison = Comparison::new(rules, &thresholds);
    for second in 1..=MOST / RATE {
        let candidates = draw.of(RATE, share);
        let candidate = counted(slower, candidates, (&thresholds, draw));
        let stable = counted(Slower::Not, RATE - candidates, (&thresholds, draw));
        comparison.add(&Tick { candidate, stable });
        if comparison.p() <= 0.01 {
            return Some(second * RATE);
        }
    }
    None
}

fn counted(slower: Slower, units: u64, (thresholds, draw): (&[Threshold], &mut Draw)) -> Counted {
    let mut slow = vec![0; thresholds.len()];
    for _ in 0..units {
        let us = time(slower, draw);
        for (slow, threshold) in slow.iter_mut().zip(thresholds) {
            *slow += u64::from(us >= threshold.us);
        }
    }
    Counted { units, errors: 0, slow }
}

/// How long one request takes, us.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time, in us")]
fn time(slower: Slower, draw: &mut Draw) -> u64 {
    let usual = MEDIAN_US * (SIGMA * draw.normal()).exp();
    let us = match slower {
        Slower::All(times) => usual * times,
        Slower::Some(share, times) if draw.part() < share => usual * times,
        Slower::Stall(share) if draw.part() < share => usual + 20.0 * MEDIAN_US,
        Slower::Not | Slower::Some(..) | Slower::Stall(_) => usual,
    };
    us as u64
}
