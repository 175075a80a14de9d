//! How long a bad candidate stays, beside the rules of others.
//!
//! How often a good one is aborted is counted in `aborts`.

use model::{Counted, Tick};
use rollout::analysis::{Comparison, Rules};

use crate::draw::Draw;
use crate::told::Runs;
use crate::tools::{TOOLS, Watch};

/// Seconds of a run.
const SECONDS: u64 = 3_600;
/// Requests a second, and how many of them are the candidate's: no more and no fewer, since a rule on a minute's share
/// of errors depends on whether 3 of 600 or of 599 have failed.
const RATE: u64 = 100;
const CANDIDATE: u64 = 10;
/// What fails of stable.
const ERRORS: f64 = 0.001;

pub(crate) fn print(runs: u64) {
    println!("### How long a bad candidate stays\n");
    println!(
        "{runs} runs of one hour at {RATE} requests a second, {CANDIDATE} of them to the candidate; {} % of \
         stable's fail. Share of the runs that were aborted, and after how many seconds: median / what nine of ten \
         runs do not exceed. The others' settings are the examples of their documentation.\n",
        ERRORS * 100.0
    );
    print!("| candidate's errors | this comparison, alpha 0.01 |");
    for tool in &TOOLS {
        print!(" {} |", tool.name);
    }
    println!("\n|---|---|---|---|---|");
    for errors in [0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05] {
        let same = if errors > ERRORS { "" } else { " (the same)" };
        row(&format!("{:.1} %{same}", errors * 100.0), runs, |_| (errors, ERRORS));
    }
    let incident =
        |second| if (600..1_500).contains(&second) { (0.05, 0.05) } else { (ERRORS, ERRORS) };
    row("both 5 % for a quarter of an hour", runs, incident);
    println!();
}

fn row(name: &str, runs: u64, rates: impl Fn(u64) -> (f64, f64)) {
    let mut times: [Runs; 4] = Default::default();
    for run in 0..runs {
        for (times, time) in times.iter_mut().zip(one(&rates, &mut Draw::new(run + 1))) {
            times.add(time);
        }
    }
    let cells = times.map(|times| times.all());
    println!("| {name} | {} |", cells.join(" | "));
}

/// When one run was aborted: by us, and by each of the others.
fn one(rates: &impl Fn(u64) -> (f64, f64), draw: &mut Draw) -> [Option<u64>; 4] {
    let rules = Rules { latency: false, max_error_share_bp: 0, ..Rules::default() };
    let mut comparison = Comparison::new(rules, &[]);
    let mut watches = TOOLS.map(Watch::new);
    let mut times = [None; 4];
    for second in 1..=SECONDS {
        let (candidate, stable) = rates(second);
        let mut counted =
            |units, rate| Counted { units, errors: draw.of(units, rate), slow: Vec::new() };
        let tick = Tick {
            candidate: counted(CANDIDATE, candidate),
            stable: counted(RATE - CANDIDATE, stable),
        };
        if times[0].is_none() {
            comparison.add(&tick);
            times[0] = (comparison.p() <= 0.01).then_some(second);
        }
        let seen = (tick.candidate.units, tick.candidate.errors);
        for (watch, time) in watches.iter_mut().zip(&mut times[1..]) {
            if time.is_none() && watch.aborts(second, seen) {
                *time = Some(second);
            }
        }
    }
    times
}
