//! How many errors, and requests, it takes to find a candidate that fails more often; and what its users have seen of
//! them by then, for shares between 1 and 50 %.
//!
//! How long that is beside the rules of others is in `detection`.

use model::{Counted, Tick};
use rollout::analysis::{Comparison, Rules};

use crate::draw::Draw;
use crate::others::{Evidence, Other};
use crate::told::Runs;

/// The chance that a candidate that is the same is ever found worse.
const ALPHA: f64 = 0.01;

/// Seconds after which a run is given up.
const MOST: u64 = 50_000;

/// Shares of the candidate, and how many times more often it fails.
const SHARES: [(f64, &[f64]); 3] = [
    (0.5, &[1.5, 2.0, 3.0, 5.0, 10.0, 50.0]),
    (0.1, &[2.0, 3.0, 5.0, 10.0, 50.0]),
    (0.05, &[2.0, 3.0, 5.0, 10.0]),
];

/// What fails of stable, and how many requests a second there are: an error in ten seconds.
const TRAFFIC: [(f64, u64); 3] = [(0.0001, 1_000), (0.001, 100), (0.01, 10)];

/// Traffic in which the candidate is worse.
#[derive(Clone, Copy)]
struct Case {
    share: f64,
    times: f64,
    /// What fails of stable.
    errors: f64,
    /// Requests a second.
    rate: u64,
}

impl Case {
    fn tick(self, draw: &mut Draw) -> Tick {
        let units = draw.of(self.rate, self.share);
        let mut counted =
            |units, rate| Counted { units, errors: draw.of(units, rate), slow: Vec::new() };
        Tick {
            candidate: counted(units, self.errors * self.times),
            stable: counted(self.rate - units, self.errors),
        }
    }
}

pub(crate) fn print(runs: u64) {
    println!("### How many errors it takes to find a bad candidate\n");
    println!(
        "{runs} runs, alpha {ALPHA}: errors of both releases until the candidate was found, median / what nine of ten \
         runs do not exceed; 0.1 % of stable's requests fail, 100 requests a second. The oracle knows beforehand how \
         many times more often the candidate fails, which nobody does. Requests are medians, at 1000, 100 and 10 a \
         second.\n"
    );
    println!(
        "| share | fails, times stable | oracle | this comparison | Dirichlet, k = 2 | k = 100 | the candidate's errors \
         by then | requests at 0.01 % | 0.1 % | 1 % |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let (errors, rate) = TRAFFIC[1];
    for (share, all) in SHARES {
        for &times in all {
            row(Case { share, times, errors, rate }, runs);
        }
    }
    println!();
}

fn row(case: Case, runs: u64) {
    let mut needed: [Runs; 4] = Default::default();
    let mut seen = Runs::default();
    for run in 0..runs {
        let (errors, own) = beside(case, &mut Draw::new(run + 1));
        for (needed, errors) in needed.iter_mut().zip(errors) {
            needed.add(errors);
        }
        seen.add(own);
    }
    print!("| {:.0} % | {} |", case.share * 100.0, case.times);
    for needed in needed {
        print!(" {} |", needed.both());
    }
    print!(" {} |", seen.median());
    for (errors, rate) in TRAFFIC {
        let mut requests = Runs::default();
        for run in 0..runs {
            let found = found(Case { errors, rate, ..case }, &mut Draw::new(run + 1));
            requests.add(found.map(|found| found.seconds * rate));
        }
        print!(" {} |", requests.median());
    }
    println!();
}

fn comparison() -> Comparison {
    let rules = Rules { latency: false, max_error_share_bp: 0, ..Rules::default() };
    Comparison::new(rules, &[])
}

/// Errors of both until each test had enough, in the order of the table; and the candidate's until ours had.
fn beside(case: Case, draw: &mut Draw) -> ([Option<u64>; 4], Option<u64>) {
    let tests = [
        Other::Oracle { times: case.times },
        Other::Dirichlet { firm: 2.0 },
        Other::Dirichlet { firm: 100.0 },
    ];
    let mut others = tests.map(|test| Evidence::by(test, case.share));
    let mut comparison = comparison();
    let (mut needed, mut own) = ([None; 4], None);
    let mut errors = (0, 0);
    for _ in 0..MOST {
        let tick = case.tick(draw);
        let (candidate, stable) = (tick.candidate.errors, tick.stable.errors);
        errors = (errors.0 + candidate, errors.1 + stable);
        let all = errors.0 + errors.1;
        if needed[1].is_none() {
            comparison.add(&tick);
            if comparison.p() <= ALPHA {
                (needed[1], own) = (Some(all), Some(errors.0));
            }
        }
        for (at, other) in [0, 2, 3].into_iter().zip(&mut others) {
            other.add(candidate, stable);
            if needed[at].is_none() && other.log_e() >= -ALPHA.ln() {
                needed[at] = Some(all);
            }
        }
        if needed.iter().all(Option::is_some) {
            break;
        }
    }
    (needed, own)
}

/// What it took until our comparison has found a candidate.
struct Found {
    seconds: u64,
    /// Errors of the candidate.
    errors: u64,
}

fn found(case: Case, draw: &mut Draw) -> Option<Found> {
    let (mut comparison, mut errors) = (comparison(), 0);
    (1..=MOST).find_map(|seconds| {
        let tick = case.tick(draw);
        errors += tick.candidate.errors;
        comparison.add(&tick);
        (comparison.p() <= ALPHA).then_some(Found { seconds, errors })
    })
}

/// The share of the traffic that costs users the least.
pub(crate) fn harm(runs: u64) {
    const SOME: [f64; 5] = [0.01, 0.05, 0.1, 0.25, 0.5];
    println!("### What share of the requests harms the fewest\n");
    println!(
        "{runs} runs at 1000 requests a second, 0.1 % of stable's fail, alpha {ALPHA}: errors of the candidate that \
         users have seen when it was found, and after how many seconds; median / what nine of ten runs do not exceed.\n"
    );
    print!("| fails, times stable |");
    for share in SOME {
        print!(" {:.0} % |", share * 100.0);
    }
    println!("\n|---|---|---|---|---|---|");
    for times in [3.0, 10.0, 50.0] {
        print!("| {times} |");
        for share in SOME {
            let (mut errors, mut seconds) = (Runs::default(), Runs::default());
            let case = Case { share, times, errors: 0.001, rate: 1_000 };
            for run in 0..runs {
                let found = found(case, &mut Draw::new(run + 1));
                errors.add(found.as_ref().map(|found| found.errors));
                seconds.add(found.map(|found| found.seconds));
            }
            print!(" {} errors, {} s |", errors.both(), seconds.both());
        }
        println!();
    }
    println!();
}
