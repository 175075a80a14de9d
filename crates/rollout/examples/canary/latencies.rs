//! How many requests it takes to find a candidate that is slower, and how often one is found that is not.
//!
//! Errors are not drawn here: those are in `detection`.

use model::{Counted, Threshold, Tick, latency};
use rollout::analysis::{Block, Comparison, Rules, Worse, thresholds};

use crate::draw::Draw;
use crate::others::Latencies;
use crate::told::Runs;

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

const CASES: [(&str, Slower); 8] = [
    ("not slower", Slower::Not),
    ("all x1.05", Slower::All(1.05)),
    ("all x1.10", Slower::All(1.1)),
    ("all x1.20", Slower::All(1.2)),
    ("all x1.50", Slower::All(1.5)),
    ("5 % of them x3", Slower::Some(0.05, 3.0)),
    ("1 % stand still for 20 medians", Slower::Stall(0.01)),
    ("0.2 % stand still for 20 medians", Slower::Stall(0.002)),
];

/// How a run is judged, in the order of the table.
#[derive(Clone, Copy)]
enum Judge {
    Bands,
    Ours,
    /// The threshold of the 99th percentile alone.
    Rarest,
}

pub(crate) fn print(runs: u64) {
    println!("### How many requests it takes to find a slower candidate\n");
    println!(
        "{runs} runs at {RATE} requests a second, alpha 0.01, thresholds from 5000 earlier requests of stable; times \
         are lognormal (sigma {SIGMA}). Share of the runs that were aborted within {MOST} requests of both releases, and \
         how many it took: median / what nine of ten runs do not exceed. The bands are those of Howard and Ramdas \
         around both distributions (Lindon, Sanden and Shirikian, 2022). Ours has half of its stake on errors.\n"
    );
    println!("| candidate | share | bands | this comparison | the 99th percentile alone |");
    println!("|---|---|---|---|---|");
    for share in [0.5, 0.1] {
        for (name, slower) in CASES {
            let cells = [Judge::Bands, Judge::Ours, Judge::Rarest].map(|judge| {
                let mut all = Runs::default();
                for run in 0..runs {
                    all.add(one((slower, share), judge, &mut Draw::new(run + 1)));
                }
                all.all()
            });
            println!("| {name} | {:.0} % | {} |", share * 100.0, cells.join(" | "));
        }
    }
    println!();
}

/// How often a candidate that is not slower is found.
pub(crate) fn same(runs: u64) {
    println!("### Aborts of a candidate that is not slower\n");
    println!(
        "{runs} runs of {MOST} requests at {RATE} a second, looked at after every second. The test of Kolmogorov and \
         Smirnov is made for one look.\n"
    );
    println!(
        "| traffic | alpha 0.05 | alpha 0.01 | bands, 0.05 | Kolmogorov-Smirnov, 5 %, looked at as often |"
    );
    println!("|---|---|---|---|---|");
    for share in [0.5, 0.1] {
        let mut aborted = [0_u64; 4];
        for run in 0..runs {
            let found = looked_at(share, &mut Draw::new(run + 1));
            for (sum, found) in aborted.iter_mut().zip(found) {
                *sum += u64::from(found);
            }
        }
        let [five, one, bands, smirnov] = aborted.map(|n| n as f64 / runs as f64);
        let name = format!("{:.0} % to the candidate", share * 100.0);
        println!("| {name} | {five:.4} | {one:.4} | {bands:.4} | {smirnov:.3} |");
    }
    println!();
}

/// Whether a run in which nothing is slower was ever aborted: at 0.05, at 0.01, by bands, by a test for one look.
fn looked_at(share: f64, draw: &mut Draw) -> [bool; 4] {
    let mut run = Run::begin(draw);
    let (mut bands, mut smirnov) = (false, false);
    for _ in 1..=MOST / RATE {
        run.second((Slower::Not, share), draw);
        bands |= run.met.bands_part(0.05);
        smirnov |= run.met.smirnov();
    }
    [run.comparison.p() <= 0.05, run.comparison.p() <= 0.01, bands, smirnov]
}

/// Requests of both releases until one run was aborted.
fn one(traffic: (Slower, f64), judge: Judge, draw: &mut Draw) -> Option<u64> {
    let mut run = Run::begin(draw);
    let found = (1..=MOST / RATE).find(|_| {
        run.second(traffic, draw);
        match judge {
            Judge::Bands => run.met.bands_part(0.01),
            Judge::Ours => run.comparison.p() <= 0.01,
            Judge::Rarest => run.rarest.log_e() >= -0.01_f64.ln(),
        }
    });
    found.map(|seconds| seconds * RATE)
}

/// One rollout, by every judge.
struct Run {
    thresholds: Vec<Threshold>,
    comparison: Comparison,
    /// The threshold of the 99th percentile, and which one it is.
    rarest: Worse,
    at: usize,
    met: Latencies,
}

impl Run {
    /// Stable alone, for its thresholds.
    fn begin(draw: &mut Draw) -> Self {
        let mut met = vec![0_u64; latency::BUCKETS];
        for _ in 0..5_000 {
            met[latency::bucket(time(Slower::Not, draw))] += 1;
        }
        let met: Vec<(u16, u64)> = (0..).zip(met).filter(|(_, n)| *n > 0).collect();
        let thresholds = thresholds(&met);
        let rules = Rules { max_error_share_bp: 0, ..Rules::default() };
        let at = thresholds.iter().position(|it| it.slow * 100 <= it.of).unwrap_or_default();
        let rate = thresholds.get(at).map_or(0.01, |it| it.slow as f64 / it.of as f64);
        Self {
            comparison: Comparison::new(rules, &thresholds),
            thresholds,
            rarest: Worse::expecting(rate, 500),
            at,
            met: Latencies::new(),
        }
    }

    /// One second more.
    fn second(&mut self, (slower, share): (Slower, f64), draw: &mut Draw) {
        let candidates = draw.of(RATE, share);
        let candidate = self.counted(slower, candidates, draw, Latencies::candidate);
        let stable = self.counted(Slower::Not, RATE - candidates, draw, Latencies::stable);
        let rare = |counted: &Counted| (counted.units, counted.slow[self.at]);
        self.rarest.add(Block::new(rare(&candidate), rare(&stable)));
        self.comparison.add(&Tick { candidate, stable });
    }

    fn counted(
        &mut self,
        slower: Slower,
        units: u64,
        draw: &mut Draw,
        note: fn(&mut Latencies, u64),
    ) -> Counted {
        let mut slow = vec![0; self.thresholds.len()];
        for _ in 0..units {
            let us = time(slower, draw);
            note(&mut self.met, us);
            for (slow, threshold) in slow.iter_mut().zip(&self.thresholds) {
                *slow += u64::from(us >= threshold.us);
            }
        }
        Counted { units, errors: 0, slow }
    }
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
