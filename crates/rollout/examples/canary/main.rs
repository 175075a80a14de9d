//! `cargo xtask bench canary`: how well the comparison of candidate and stable decides, by simulation.
//!
//! Everything is judged by the code that judges rollouts (`rollout::analysis`), looked at after every
//! second. Prints tables in Markdown. It measures no server and no clock.

mod aborts;
mod detection;
mod draw;
mod errors;
mod latencies;
mod others;
mod shown;
mod told;
mod tools;

fn main() {
    // A quarter of the runs for those who want to see it quickly.
    let quick = std::env::args().any(|word| word == "--quick");
    let runs = |runs: u64| if quick { runs / 4 } else { runs };
    aborts::print(runs(4_000));
    latencies::same(runs(600));
    detection::print(runs(400));
    errors::print(runs(400));
    errors::harm(runs(400));
    latencies::print(runs(200));
    shown::print(runs(400));
    shown::boundary(runs(1_500));
}
