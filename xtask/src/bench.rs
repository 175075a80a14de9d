//! `cargo xtask bench proxy`: fetches the others, builds the product and the bench, and has it run.
//! `cargo xtask bench probe`: fetches load tools, builds the bench of the prober, and has it run.
//! `cargo xtask bench canary`: builds the simulation of the canary's judge, and has it run.
//!
//! What is measured, and how, stands in `crates/bench` and in `crates/rollout/examples/canary`. Standard
//! output is the bench's alone.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::step::{Outcome, Workshop};
use crate::testbed;

/// oha is in no Debian suite; building it from its registry is given so long.
const OHA_WITHIN: Duration = Duration::from_mins(20);

/// Runs the bench that the words name; true when it came to its end.
pub(crate) fn run(shop: &Workshop, words: &[&str]) -> Result<bool, String> {
    match words.split_first() {
        Some((&"proxy", words)) => Ok(proxy(shop, words)),
        Some((&"probe", words)) => Ok(probe(shop, words)),
        Some((&"canary", words)) => canary(shop, words),
        _ => {
            Err("say what is measured: `cargo xtask bench proxy`, `bench probe` or `bench canary`"
                .to_owned())
        }
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

/// The prober against a server that knows the truth.
fn probe(shop: &Workshop, words: &[&str]) -> bool {
    let tools = words.iter().all(|word| *word != "--help")
        && words.windows(2).all(|two| two[0] != "--only" || two[1].contains("tools"));
    if tools {
        // Who cannot be had is left out, by the bench itself.
        testbed::run_load(shop, |line| eprintln!("{line}"));
        match oha(shop) {
            Ok(()) => eprintln!("oha: there"),
            Err(why) => eprintln!("skipped: no oha: {why}"),
        }
    }
    if shop.silent_cargo(&["build", "--release", "-p", "bench"]) != Outcome::Passed {
        return false;
    }
    let run = ["run", "--quiet", "--release", "-p", "bench", "--", "probe"];
    shop.silent_cargo(&[&run[..], words].concat()) == Outcome::Passed
}

/// Sees to it that oha is on the test bed.
fn oha(shop: &Workshop) -> Result<(), String> {
    let folder = shop.root.join("target/testbed/oha");
    if folder.join("bin/oha").is_file() {
        return Ok(());
    }
    if std::env::var("TESTBED").is_ok_and(|wanted| wanted == "none") {
        return Err("nothing is fetched with TESTBED=none".to_owned());
    }
    eprintln!("oha: building it");
    let mut command = Command::new(&shop.cargo);
    command.args(["install", "oha", "--locked", "--quiet", "--root"]).arg(&folder);
    // Optimized, but not across crates, which takes longer than all the rest; the table names it so.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off");
    command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    // Outside the workspace, whose settings are not its.
    command.current_dir(std::env::temp_dir()).stdin(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("cargo: {error}"))?;
    let until = Instant::now() + OHA_WITHIN;
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("cargo install ended with {status}")),
            None if Instant::now() > until => {
                // It may have ended just now.
                let _ = child.kill();
                let _ = child.wait();
                return Err("building it took too long".to_owned());
            }
            None => std::thread::sleep(Duration::from_millis(200)),
        }
    }
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
