//! `cargo xtask clients`: fetches what clients need, builds the product and the trial, and has it run.
//!
//! What is done stands in `crates/bench/src/clients`. Standard output is the table's alone.

use crate::step::{Outcome, Workshop};
use crate::testbed;

/// Runs it; true when it came to its end.
pub(crate) fn run(shop: &Workshop) -> bool {
    // Who cannot be had is left out, by the trial itself.
    testbed::run_clients(shop, |line| eprintln!("{line}"));
    if shop.silent_cargo(&["build", "-p", "cutover", "-p", "bench"]) != Outcome::Passed {
        return false;
    }
    shop.silent_cargo(&["run", "--quiet", "-p", "bench", "--", "clients"]) == Outcome::Passed
}
