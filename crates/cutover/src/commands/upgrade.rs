//! `cutover upgrade`: asks the server to become another binary, and follows the story of it.
//!
//! The server and a guard of the old binary do it all: whoever asked may go away. Also here: what the
//! new binary is asked before (`upgrade-check`), and the guard (`upgrade-guard`), both started by the
//! server and by nobody else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Fault;
use serde_json::json;
use tokio::time::Instant;

use crate::cli::{self, Where};
use crate::guard;
use crate::server::layout::Layout;
use crate::server::upgrade::record::{Files, Line, Outcome};
use crate::server::upgrade::trial::{self, Present};

/// How often the story is read.
const PACE: Duration = Duration::from_millis(50);
/// What an upgrade may take beyond the time to become healthy: the checks, and the way back.
const SLACK: Duration = Duration::from_mins(4);

/// Runs the command.
pub(super) async fn upgrade(arguments: cli::Upgrade) -> Result<u8, Fault> {
    let (client, config) = super::reach(&arguments.at)?;
    let program = program(arguments.program)?;
    let before = client.status().await?;
    let id = client.upgrade(&program, arguments.within).await?;
    let files = Files::of(Layout::at(&config.state_dir)?.directory());
    let deadline = Instant::now() + arguments.within + SLACK;
    let mut told = 0;
    loop {
        let story: Vec<Line> = files.story().into_iter().filter(|line| line.id == id).collect();
        for line in story.get(told..).unwrap_or_default() {
            if let Some(outcome) = line.outcome {
                return Ok(end(line, outcome, arguments.json));
            }
            say(line, arguments.json);
        }
        told = told.max(story.len());
        if Instant::now() > deadline {
            let what = format!("it is not known what became of the upgrade (pid {})", before.pid);
            return Err(Fault::internal(what).help("see `cutover status` and the server's log"));
        }
        tokio::time::sleep(PACE).await;
    }
}

/// The new binary: the one that was named, or the one that this command is.
fn program(named: Option<PathBuf>) -> Result<PathBuf, Fault> {
    let own = || std::env::current_exe();
    let found = named.map_or_else(own, std::path::absolute);
    found.map_err(|e| Fault::environment(format!("the new binary cannot be found: {e}")))
}

fn say(line: &Line, json: bool) {
    if json {
        crate::say::errln!(
            "{}",
            json!({ "step": "upgrade", "text": line.text, "at_ms": line.at_ms })
        );
    } else {
        crate::say::errln!("  {}", line.text);
    }
}

fn end(line: &Line, outcome: Outcome, json: bool) -> u8 {
    if json {
        let end =
            json!({ "id": line.id, "outcome": outcome, "text": line.text, "fault": line.fault });
        crate::say::outln!("{end}");
    } else if let Some(fault) = &line.fault {
        crate::say::fault(fault);
    } else {
        crate::say::outln!("{}", line.text);
    }
    match outcome {
        Outcome::Upgraded => 0,
        Outcome::Refused => 2,
        Outcome::Returned => 4,
        Outcome::Stuck => 5,
    }
}

/// The new binary checks a copy of the state.
pub(super) fn check(arguments: &cli::UpgradeCheck) -> Result<u8, Fault> {
    let present = Present::read(&arguments.copy)?;
    let at = Where { config: present.config.clone() };
    let config = super::load_judged(&at)?;
    let verdict = trial::check(&arguments.copy, &present, &config)?;
    let json = serde_json::to_string(&verdict)
        .map_err(|e| Fault::internal(format!("the verdict cannot be written: {e}")))?;
    crate::say::outln!("{json}");
    Ok(0)
}

/// The old binary watches the new one.
pub(super) async fn watch(state: &Path) -> Result<u8, Fault> {
    super::log();
    guard::watch(state).await.map(|()| 0)
}
