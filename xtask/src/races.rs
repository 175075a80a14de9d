//! `cargo xtask races`: fetches the others and runs the race table, or the million requests.
//!
//! What is done and counted stands in `crates/proxy/examples/races` and in the proxy's tests. Standard
//! output is the table's alone.

use crate::step::{Outcome, Workshop};
use crate::testbed;

/// The test that sends the million.
const MILLION: &str = "million::a_million_requests_through_fifty_switches_lose_none";

/// Runs the table for those named, or for all; true when it came to its end.
pub(crate) fn run(shop: &Workshop, words: &[&str]) -> bool {
    if words.contains(&"--million") {
        let test = ["test", "-p", "proxy", "--test", "it", "--"];
        let test = [&test[..], &["--exact", MILLION, "--nocapture"]].concat();
        return shop.cargo_with(&test, &[("CUTOVER_FULL", "1")]) == Outcome::Passed;
    }
    // Who cannot be had is left out, by the table itself.
    testbed::run_all(shop, |line| eprintln!("{line}"));
    // Some races are the controller's, so the whole of Cutover takes part; the table looks for it beside itself.
    if shop.silent_cargo(&["build", "--quiet", "-p", "cutover"]) != Outcome::Passed {
        return false;
    }
    let mut run = vec!["run", "--quiet", "-p", "proxy", "--example", "races", "--"];
    run.extend(words);
    shop.silent_cargo(&run) == Outcome::Passed
}
