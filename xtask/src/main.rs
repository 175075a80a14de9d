//! Developer commands of Cutover: `cargo xtask test`, `tidy`, `fmt`, `testbed`, `switches`,
//! `clients`, `bench`, `races`.
//!
//! Only reads the command line and picks the command; knows nothing of what the steps do. Has no
//! dependencies, so that it builds in a second on a fresh machine.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod asides;
mod bench;
mod clients;
mod leftover;
mod races;
mod step;
mod steps;
mod switches;
mod testbed;
mod tidy;

use step::{Outcome, Workshop};

const USAGE: &str = "\
Usage: cargo xtask COMMAND

Commands:
  test [--full] [--keep-going]  everything CI checks; stops at the first failure
         --full        whole matrices instead of a seeded sample (sets CUTOVER_FULL=1), then the demo of
                       a release build
         --keep-going  run the remaining steps after a failure
  tidy                          the laws of CONTRIBUTING.md that no compiler checks
  fmt                           format every crate
  testbed [--tests]             fetch the real servers that tests and the bench use into target/testbed
         --tests       only those of the tests
  switches                      how long a switch takes behind each router, as a table in Markdown
  races [--million] [RACE...] [NAME...]
                                what the races of docs/races.md cost behind the proxy and behind others;
         --million     one million requests through fifty switches of the proxy alone
  clients                       what each kind of client does at a switch, as tables in Markdown
  bench proxy [--help]          Cutover's proxy beside HAProxy, nginx and Caddy: CPU, latency, memory
  bench probe [--help]          how true the prober's figures are and what they cost, beside load tools
  bench canary [--quick]        how well the comparison of a canary decides, in simulated hours
";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((&command, flags)) = words.split_first() else {
        print!("{USAGE}");
        return ExitCode::from(2);
    };
    if matches!(command, "help" | "--help" | "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run(command, flags) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::from(2)
        }
    }
}

/// Runs one command; true when all was well, an error when nothing could be run.
fn run(command: &str, flags: &[&str]) -> Result<bool, String> {
    let known: &[&str] = match command {
        "test" => &["--full", "--keep-going"],
        "testbed" => &["--tests"],
        "tidy" | "fmt" | "switches" | "clients" => &[],
        "bench" | "races" => flags,
        other => return Err(format!("unknown command `{other}`\n\n{USAGE}")),
    };
    if let Some(odd) = flags.iter().find(|flag| !known.contains(flag)) {
        return Err(format!("`cargo xtask {command}` does not know `{odd}`\n\n{USAGE}"));
    }
    let root = workspace_root()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let shop = Workshop { root, cargo, full: flags.contains(&"--full") };
    match command {
        "test" => Ok(steps::run_all(&shop, flags.contains(&"--keep-going"))),
        "testbed" => {
            let bring = if flags.is_empty() { testbed::run_all } else { testbed::run };
            Ok(!matches!(bring(&shop, |line| println!("{line}")), Outcome::Failed(_)))
        }
        "switches" => Ok(switches::run(&shop) == Outcome::Passed),
        "clients" => Ok(clients::run(&shop)),
        "bench" => bench::run(&shop, flags),
        "races" => Ok(races::run(&shop, flags)),
        "tidy" => Ok(tidy::run(&shop.root) == Outcome::Passed),
        _ => Ok(shop.cargo(&["fmt", "--all"]) == Outcome::Passed),
    }
}

/// The workspace `cargo xtask` was called in, or the one around the current directory.
fn workspace_root() -> Result<PathBuf, String> {
    if let Some(manifest) = env::var_os("CARGO_MANIFEST_DIR")
        && let Some(root) = Path::new(&manifest).parent()
    {
        return Ok(root.to_path_buf());
    }
    let here = env::current_dir().map_err(|e| format!("the current directory is gone: {e}"))?;
    here.ancestors()
        .find(|folder| folder.join("xtask/Cargo.toml").is_file())
        .map(Path::to_path_buf)
        .ok_or_else(|| {
            format!("{} is not inside the workspace; call `cargo xtask`", here.display())
        })
}
