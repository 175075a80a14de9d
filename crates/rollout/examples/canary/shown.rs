//! How many requests it takes to show that a candidate is *not* worse by a margin, and how often that is shown of one
//! that lies at the margin.
//!
//! Nobody is aborted here: those tables are in `aborts`, `detection` and `latencies`.

use model::{Counted, Tick};
use rollout::analysis::{Block, Comparison, Finding, NotWorse, Rules};

use crate::draw::Draw;
use crate::told::Runs;

/// The chance that one at the margin is ever shown not to be worse.
const ALPHA: f64 = 0.05;

/// Requests a second.
const RATE: u64 = 100;

/// Seconds after which a run is given up.
const MOST: u64 = 30_000;

/// Seconds of a run with a candidate that lies at the margin.
const AT_MARGIN: u64 = 2_000;

/// The candidate's odds of an error may be below so many times those of stable.
const MARGINS: [f64; 4] = [1.5, 2.0, 3.0, 5.0];

/// The candidate's share, and what fails of stable.
const TRAFFIC: [(f64, f64); 3] = [(0.5, 0.001), (0.5, 0.01), (0.1, 0.01)];

pub(crate) fn print(runs: u64) {
    println!("### How many requests show that a candidate is not worse\n");
    println!(
        "{runs} runs at {RATE} requests a second with a candidate that is the same, alpha {ALPHA}: requests of both \
         releases until its odds of an error were shown to be below so many times stable's, median / what nine of ten \
         runs do not exceed. The last column is what ends a step early (`early`): below twice stable's, at half of an \
         alpha of 0.01.\n"
    );
    println!("| traffic | 1.5 times | 2 times | 3 times | 5 times | a step's early end |");
    println!("|---|---|---|---|---|---|");
    for (share, errors) in TRAFFIC {
        print!("| {:.0} % to the candidate, {} % fail |", share * 100.0, errors * 100.0);
        for margin in MARGINS {
            let one = |run| shown((share, errors, 1.0), margin, &mut Draw::new(run + 1));
            print!(" {} |", told(runs, one));
        }
        println!(" {} |", told(runs, |run| early(share, errors, &mut Draw::new(run + 1))));
    }
    println!();
}

fn told(runs: u64, one: impl Fn(u64) -> Option<u64>) -> String {
    let mut all = Runs::default();
    (0..runs).for_each(|run| all.add(one(run).map(|seconds| seconds * RATE)));
    all.both()
}

/// How often that is wrong.
pub(crate) fn boundary(runs: u64) {
    println!("### Candidates at the margin that are taken for better\n");
    println!(
        "{runs} runs of {AT_MARGIN} s at {RATE} requests a second, 1 % of stable's fail, and the candidate's odds of an \
         error are exactly at the margin: share of the runs in which it was ever shown to be below, alpha {ALPHA}.\n"
    );
    println!("| traffic | 1.5 times | 2 times | 3 times | 5 times |");
    println!("|---|---|---|---|---|");
    for share in [0.5, 0.1] {
        print!("| {:.0} % to the candidate |", share * 100.0);
        for margin in MARGINS {
            let mut all = Runs::default();
            for run in 0..runs {
                all.add(shown((share, 0.01, margin), margin, &mut Draw::new(run + 1)));
            }
            print!(" {:.4} |", all.share());
        }
        println!();
    }
    println!();
}

/// Seconds until a candidate whose odds of an error are so many times stable's was shown to be below the margin.
fn shown((share, errors, odds): (f64, f64, f64), margin: f64, draw: &mut Draw) -> Option<u64> {
    let mut not_worse = NotWorse::than(margin);
    let raised = odds * errors / (1.0 - errors + odds * errors);
    let most = if odds > 1.0 { AT_MARGIN } else { MOST };
    (1..=most).find(|_| {
        let units = draw.of(RATE, share);
        let candidate = (units, draw.of(units, raised));
        let stable = (RATE - units, draw.of(RATE - units, errors));
        not_worse.add(Block::new(candidate, stable));
        not_worse.log_e() >= -ALPHA.ln()
    })
}

/// Seconds until a step would end early.
fn early(share: f64, errors: f64, draw: &mut Draw) -> Option<u64> {
    let rules = Rules { latency: false, max_error_share_bp: 0, ..Rules::default() };
    let mut comparison = Comparison::new(rules, &[]);
    (1..=MOST).find(|_| {
        let units = draw.of(RATE, share);
        let mut counted =
            |units| Counted { units, errors: draw.of(units, errors), slow: Vec::new() };
        comparison.add(&Tick { candidate: counted(units), stable: counted(RATE - units) });
        matches!(comparison.finding(), Finding::NotWorse(_))
    })
}
