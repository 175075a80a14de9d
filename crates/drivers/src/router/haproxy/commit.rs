//! Replaces the map of an app in one worker at one instant.
//!
//! The new entries are prepared beside those that requests read. When that fails they are thrown away:
//! what a worker holds twice nobody would ever look at. It writes no file and decides nothing.

use std::path::Path;

use model::Fault;

use super::live::Entry;
use super::table;
use super::worker::{Worker, refused, well};

/// Longest line of commands, bytes; HAProxy reads 16 KiB at most.
const LINE_MAX: usize = 8 * 1024;

/// Replaces all entries of a map.
pub(super) async fn commit(worker: &Worker, map: &Path, entries: &[Entry]) -> Result<(), Fault> {
    let file = map.display();
    let said = worker.ask(&[format!("prepare map {file}")]).await?;
    let version = said.trim().strip_prefix("New version created: ");
    let version: u64 = version
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| refused(worker, "prepare map", &said))?;
    if let Err(fault) = fill(worker, map, version, entries).await {
        abandon(worker, map, version).await;
        return Err(fault);
    }
    let commit = format!("commit map @{version} {file}");
    // Without an answer it may be done or still come to be done: then the version is left alone. If it
    // is not done, the next commit takes it along.
    let said = worker.ask(std::slice::from_ref(&commit)).await?;
    if said.trim().is_empty() {
        return Ok(());
    }
    abandon(worker, map, version).await;
    Err(refused(worker, &commit, &said))
}

/// Writes the entries beside those that are read.
async fn fill(worker: &Worker, map: &Path, version: u64, entries: &[Entry]) -> Result<(), Fault> {
    let mut commands = Vec::new();
    let mut length = 0;
    for (key, value) in entries {
        let command = format!("add map @{version} {} {key} {value}", map.display());
        length += command.len() + 20;
        if length > LINE_MAX {
            well(worker, &std::mem::take(&mut commands)).await?;
            length = command.len() + 20;
        }
        commands.push(command);
    }
    well(worker, &commands).await
}

/// Throws a prepared version away, if it is certain that it is not the one that requests read.
async fn abandon(worker: &Worker, map: &Path, version: u64) {
    let Ok(maps) = worker.ask(&["show map".to_owned()]).await else { return };
    let current = table::map_version(&maps, &map.display().to_string());
    if current.is_some_and(|current| current != version) {
        // A worker that does not do this any more has gone, and the version with it.
        let _gone = worker.ask(&[format!("clear map @{version} {}", map.display())]).await;
    }
}
