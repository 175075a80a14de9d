//! `cargo xtask bench proxy`: fetches the others, builds the product and the bench, and has it run.
//!
//! What is measured, and how, stands in `crates/bench`. Standard output is the bench's alone.

use crate::step::{Outcome, Workshop};
use crate::testbed;

/// Runs the bench with the words behind `bench proxy`; true when it came to its end.
pub(crate) fn run(shop: &Workshop, words: &[&str]) -> Result<bool, String> {
    let Some((&"proxy", words)) = words.split_first() else {
        return Err("what is measured is the proxy: `cargo xtask bench proxy`".to_owned());
    };
    if !words.contains(&"--help") {
        // Who cannot be had is left out, by the bench itself.
        testbed::run_all(shop, |line| eprintln!("{line}"));
    }
    let build = ["build", "--release", "-p", "cutover", "-p", "bench"];
    if shop.silent_cargo(&build) != Outcome::Passed {
        return Ok(false);
    }
    let mut run = vec!["run", "--quiet", "--release", "-p", "bench", "--"];
    run.extend(words);
    Ok(shop.silent_cargo(&run) == Outcome::Passed)
}
