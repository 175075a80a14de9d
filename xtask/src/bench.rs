//! `cargo xtask bench proxy`: fetches the others, builds the product and the bench, and has it run.
//! `cargo xtask bench canary`: builds the simulation of the canary's judge, and has it run.
//!
//! What is measured, and how, stands in `crates/bench` and in `crates/rollout/examples/canary`. Standard
//! output is the bench's alone.

use crate::step::{Outcome, Workshop};
use crate::testbed;

/// Runs the bench that the words name; true when it came to its end.
pub(crate) fn run(shop: &Workshop, words: &[&str]) -> Result<bool, String> {
    match words.split_first() {
        Some((&"proxy", words)) => Ok(proxy(shop, words)),
        Some((&"canary", words)) => canary(shop, words),
        _ => Err("say what is measured: `cargo xtask bench proxy` or `bench canary`".to_owned()),
    }
}

/// The canary's judge, in simulated hours.
fn canary(shop: &Workshop, words: &[&str]) -> Result<bool, String> {
    if let Some(odd) = words.iter().find(|word| **word != "--quick") {
        return Err(format!("`cargo xtask bench canary` does not know `{odd}`, only `--quick`"));
    }
    let mut run = vec!["run", "--quiet", "--release", "-p", "rollout", "--example", "canary", "--"];
    run.extend(words);
    Ok(shop.silent_cargo(&run) == Outcome::Passed)
}

/// The proxy beside others.
fn proxy(shop: &Workshop, words: &[&str]) -> bool {
    if !words.contains(&"--help") {
        // Who cannot be had is left out, by the bench itself.
        testbed::run_all(shop, |line| eprintln!("{line}"));
    }
    let build = ["build", "--release", "-p", "cutover", "-p", "bench"];
    if shop.silent_cargo(&build) != Outcome::Passed {
        return false;
    }
    let mut run = vec!["run", "--quiet", "--release", "-p", "bench", "--"];
    run.extend(words);
    shop.silent_cargo(&run) == Outcome::Passed
}
