//! How often a candidate that is *not* worse is aborted, when one looks after every second.
//!
//! How soon a bad one is found is in `detection` and `latencies`.

use model::{Counted, Tick};
use rollout::analysis::{Comparison, Rules};

use crate::draw::Draw;

/// Seconds of a run: 2000 errors at [`RATE`] and [`ERRORS`].
const SECONDS: u64 = 2_000;
/// Requests a second.
const RATE: u64 = 100;
/// Share of them that fail, whoever answers.
const ERRORS: f64 = 0.01;

/// Traffic in which both releases are the same.
#[derive(Clone, Copy)]
enum Case {
    /// This share of the requests goes to the candidate.
    Share(f64),
    /// The share grows in the course of the run: 5, 10, 25, 50 %.
    Steps,
    /// Exactly 10 %, and errors come in bursts that hit both.
    Bursts,
    /// One request a second, 10 %: most seconds have nobody of the candidate, and are joined.
    Sparse,
    /// The same, and errors come in bursts that hit both.
    SparseBursts,
    /// 10 %, and each client that fails does so five times at the same release; each counts.
    Clients,
    /// The same, counted once.
    ClientsOnce,
}

const CASES: [(&str, Case); 9] = [
    ("50 % to the candidate", Case::Share(0.5)),
    ("10 %", Case::Share(0.1)),
    ("5 %", Case::Share(0.05)),
    ("5, 10, 25, 50 % one after the other", Case::Steps),
    ("exactly 10 %, errors between 0.2 % and 5 % in bursts that hit both", Case::Bursts),
    ("one request a second for 10000 s, 10 %, 5 % of them fail", Case::Sparse),
    ("the same, errors between 1 % and 30 % in bursts that hit both", Case::SparseBursts),
    ("10 %, a failing client fails five times, *each counted*", Case::Clients),
    ("10 %, a failing client fails five times, counted once", Case::ClientsOnce),
];

impl Case {
    /// Seconds of a run, and requests a second.
    const fn frame(self) -> (u64, u64) {
        match self {
            Self::Sparse | Self::SparseBursts => (10_000, 1),
            _ => (SECONDS, RATE),
        }
    }

    /// The candidate's part of a second's requests.
    fn candidates(self, second: u64, draw: &mut Draw) -> u64 {
        let share = match self {
            Self::Bursts => return RATE / 10,
            Self::Share(share) => share,
            Self::Steps => {
                [0.05, 0.1, 0.25, 0.5][usize::try_from(second * 4 / SECONDS).unwrap_or(3)]
            }
            Self::Sparse | Self::SparseBursts | Self::Clients | Self::ClientsOnce => 0.1,
        };
        draw.of(self.frame().1, share)
    }

    /// What fails, in a burst or beside one.
    const fn errors(self, burst: bool) -> f64 {
        match self {
            Self::Bursts if burst => 0.05,
            Self::Bursts => 0.002,
            Self::SparseBursts if burst => 0.3,
            Self::SparseBursts => 0.01,
            Self::Sparse => 0.05,
            Self::Clients | Self::ClientsOnce => ERRORS / 5.0,
            Self::Share(_) | Self::Steps => ERRORS,
        }
    }
}

pub(crate) fn print(runs: u64) {
    println!("### Aborts of a candidate that is not worse\n");
    println!(
        "{runs} runs of {SECONDS} s at {RATE} requests a second, {} % of which fail if nothing else is said, \
         looked at after every second. The z-test is what a threshold on the two rates amounts to.\n",
        ERRORS * 100.0
    );
    println!("| traffic | alpha 0.05 | alpha 0.01 | z-test, 5 %, looked at as often |");
    println!("|---|---|---|---|");
    for (name, case) in CASES {
        let mut aborted = [0_u64; 3];
        for run in 0..runs {
            let found = one(case, &mut Draw::new(run + 1));
            for (sum, found) in aborted.iter_mut().zip(found) {
                *sum += u64::from(found);
            }
        }
        let [five, one, naive] = aborted.map(|n| n as f64 / runs as f64);
        println!("| {name} | {five:.4} | {one:.4} | {naive:.3} |");
    }
    println!();
}

/// Whether a run was aborted: at 0.05, at 0.01, by the z-test.
fn one(case: Case, draw: &mut Draw) -> [bool; 3] {
    let rules = Rules { latency: false, max_error_share_bp: 0, ..Rules::default() };
    let mut comparison = Comparison::new(rules, &[]);
    let (mut burst, mut naive) = (false, false);
    let (seconds, rate) = case.frame();
    let times = if matches!(case, Case::Clients) { 5 } else { 1 };
    for second in 0..seconds {
        let candidates = case.candidates(second, draw);
        // A burst lasts for 20 s, and comes every 100 s, both on average.
        burst = if burst { draw.part() > 0.05 } else { draw.part() < 0.01 };
        let fail = case.errors(burst);
        let mut counted = |units| {
            let errors = (draw.of(units, fail) * times).min(units);
            Counted { units, errors, slow: Vec::new() }
        };
        let tick = Tick { candidate: counted(candidates), stable: counted(rate - candidates) };
        comparison.add(&tick);
        naive |= z(&comparison) > 1.645;
    }
    [comparison.p() <= 0.05, comparison.p() <= 0.01, naive]
}

/// How many standard deviations the candidate's rate lies above that of stable.
fn z(comparison: &Comparison) -> f64 {
    let (candidate, stable) = comparison.compared();
    let (n_c, n_b) = (candidate.units as f64, stable.units as f64);
    let all = (candidate.events + stable.events) as f64 / (n_c + n_b);
    // Too few for anybody to look.
    if candidate.events + stable.events < 10 || all >= 1.0 {
        return 0.0;
    }
    let difference = candidate.events as f64 / n_c - stable.events as f64 / n_b;
    difference / (all * (1.0 - all) * (1.0 / n_c + 1.0 / n_b)).sqrt()
}
