//! Two binaries in one folder: the new one, checked, and the old one, kept.
//!
//! The new one is asked to read a copy of the state and the configuration, before anything is touched.
//! What it looks at is in `trial`; nothing is started here that stays.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use model::{Fault, Kind};
use tokio::process::Command;

use super::trial::Verdict;

/// How long the new binary may take to check a copy of the state.
const CHECK_LIMIT: Duration = Duration::from_mins(1);

/// Takes a program into a folder, where nobody replaces it.
pub(super) fn keep(program: &Path, folder: &Path, name: &str) -> Result<PathBuf, Fault> {
    let kept = folder.join(name);
    let trouble = |error: std::io::Error| {
        let what = format!("{} cannot be taken: {error}", program.display());
        Fault::new(Kind::Usage, what).help("name a program that the server's user can read")
    };
    if !fs::metadata(program).map_err(trouble)?.is_file() {
        let what = format!("{} is not a file", program.display());
        return Err(Fault::new(Kind::Usage, what).help("name the new `cutover` program"));
    }
    // Its folder may be another file system's, or a system that lets nobody link what he does not own.
    let linked = fs::canonicalize(program).and_then(|real| fs::hard_link(real, &kept));
    if linked.is_err() {
        fs::copy(program, &kept).map_err(trouble)?;
    }
    Ok(kept)
}

/// Has a binary check the copy of the state in `copy`.
pub(super) async fn check(program: &Path, copy: &Path) -> Result<Verdict, Fault> {
    let mut command = Command::new(program);
    command.arg("upgrade-check").arg(copy).stdin(Stdio::null()).kill_on_drop(true);
    let run = tokio::time::timeout(CHECK_LIMIT, command.output()).await;
    let output = match run {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(not_run(&error)),
        Err(_) => return Err(refused("its self-check did not end within a minute", &[])),
    };
    if output.status.success()
        && let Ok(verdict) = serde_json::from_slice::<Verdict>(&output.stdout)
    {
        return Ok(verdict);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<String> = said.lines().map(|line| line.trim().to_owned()).collect();
    let last = &lines[lines.len().saturating_sub(12)..];
    Err(refused(&format!("its self-check failed ({})", output.status), last))
}

fn not_run(error: &std::io::Error) -> Fault {
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => " (is it executable, and is the state directory too?)",
        _ => "",
    };
    refused(&format!("it cannot be run: {error}{hint}"), &[])
}

fn refused(why: &str, said: &[String]) -> Fault {
    let mut fault = Fault::environment(format!("the new binary was refused: {why}"))
        .help("nothing was touched; the running server goes on as it is");
    fault.notes = said.to_vec();
    fault
}
