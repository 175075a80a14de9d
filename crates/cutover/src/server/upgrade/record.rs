//! What is on disk about an upgrade: its record while it is under way, and its story.
//!
//! ```text
//! STATE/upgrade/record.json   while somebody watches whether the new binary becomes healthy
//! STATE/upgrade/story.ndjson  what was done, one step a line; the last line says how it ended
//! STATE/upgrade/ID/           cutover (the new binary), before (the old one), state (the copy)
//! ```
//! The story outlives every process that writes it, so whoever asked for the upgrade reads it there.
//! No decision is taken here.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use model::{AppName, Fault};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock;

/// An upgrade of which it is not known yet whether it lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its id.
    pub(crate) id: String,
    /// The server, which goes on as the new binary under the same number.
    pub(crate) up: Who,
    /// Fencing epoch of the server that was replaced; the new one has a later one.
    pub(crate) epoch: u64,
    /// The old binary, kept.
    pub(crate) before: PathBuf,
    /// What it is started with, the name of the program first.
    pub(crate) arguments: Vec<String>,
    /// The new binary's proxy; none where somebody else carries the traffic.
    pub(crate) proxy: Option<Who>,
    /// The socket that was exchanged with the proxy's usual one.
    pub(crate) exchanged: PathBuf,
    /// Apps that must be served again before the new binary is healthy.
    pub(crate) serving: Vec<AppName>,
    /// How long that may take, ms.
    pub(crate) within_ms: u64,
    /// How long what is open on a proxy that goes may take, ms.
    pub(crate) drain_ms: u64,
    /// Version of the old binary.
    pub(crate) from: String,
    /// Version of the new one.
    pub(crate) to: String,
    /// Who watches; the number of a process that is not there any more watches nothing.
    #[serde(default)]
    pub(crate) guard: Option<Who>,
}

/// A process: a number alone may be another one's later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Who {
    /// Its number.
    pub(crate) pid: u32,
    /// When it was started, ticks since boot.
    pub(crate) started: u64,
}

impl Who {
    /// The process of that number, while it runs.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        super::super::children::started(pid).map(|started| Self { pid, started })
    }

    /// True while it runs.
    pub(crate) fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// How an upgrade ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The new binary runs.
    Upgraded,
    /// A check failed; nothing was touched.
    Refused,
    /// The old binary runs, after the new one was tried.
    Returned,
    /// Neither could be seen to run.
    Stuck,
}

/// One line of the story.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Which upgrade.
    pub(crate) id: String,
    /// What was done, or how it ended.
    pub(crate) text: String,
    /// CLOCK_MONOTONIC, ms.
    pub(crate) at_ms: u64,
    /// In the last line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
    /// Why it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<Fault>,
}

/// The files of upgrades in a state directory.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    directory: PathBuf,
}

impl Files {
    /// Those of this state directory.
    pub(crate) fn of(state: &Path) -> Self {
        Self { directory: state.join("upgrade") }
    }

    /// Begins the story of an upgrade; the one before is forgotten. Answers the folder of its own.
    pub(crate) fn begin(&self, id: &str) -> Result<PathBuf, Fault> {
        let own = self.directory.join(id);
        let begun = || {
            let state = own.join("state");
            fs::DirBuilder::new().recursive(true).mode(0o700).create(state)?;
            match fs::remove_file(self.directory.join("story.ndjson")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        begun().map_err(|error| self.unwritable(&error))?;
        Ok(own)
    }

    /// Removes the folders of other upgrades. A program that runs from one goes on.
    pub(crate) fn forget_others(&self, id: &str) {
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            if entry.file_name() != id && entry.path().is_dir() {
                // What stays takes room, and is tried again at the next upgrade.
                drop(fs::remove_dir_all(entry.path()));
            }
        }
    }

    /// Adds a step to the story.
    pub(crate) fn tell(&self, id: &str, text: &str) {
        self.write(&Line {
            id: id.to_owned(),
            text: text.to_owned(),
            at_ms: clock::mono_ns() / 1_000_000,
            outcome: None,
            fault: None,
        });
    }

    /// Ends the story.
    pub(crate) fn end(&self, id: &str, outcome: Outcome, (text, fault): (&str, Option<Fault>)) {
        self.write(&Line {
            id: id.to_owned(),
            text: text.to_owned(),
            at_ms: clock::mono_ns() / 1_000_000,
            outcome: Some(outcome),
            fault,
        });
    }

    /// The story so far; a line that is being written is left out.
    pub(crate) fn story(&self) -> Vec<Line> {
        let text = fs::read_to_string(self.directory.join("story.ndjson")).unwrap_or_default();
        text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Puts an upgrade on record.
    pub(crate) fn record(&self, record: &Record) -> Result<(), Fault> {
        let fresh = self.directory.join("record.new");
        let written = || {
            let bytes = serde_json::to_vec(record)?;
            let mut file =
                File::options().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(&bytes)?;
            fs::rename(&fresh, self.record_path())
        };
        written().map_err(|error| self.unwritable(&error))
    }

    /// The upgrade on record. One that cannot be read is none: a newer binary may have written it.
    pub(crate) fn recorded(&self) -> Option<Record> {
        read(&self.record_path())
    }

    /// Nothing is under way any more.
    pub(crate) fn settle(&self) {
        // Whoever finds it without a living guard takes it for settled too.
        drop(fs::remove_file(self.record_path()));
    }

    fn record_path(&self) -> PathBuf {
        self.directory.join("record.json")
    }

    fn write(&self, line: &Line) {
        tracing::info!("upgrade: {}", line.text);
        let written = || {
            let mut bytes = serde_json::to_vec(line)?;
            bytes.push(b'\n');
            let path = self.directory.join("story.ndjson");
            let mut file = File::options().create(true).append(true).mode(0o600).open(path)?;
            file.write_all(&bytes)
        };
        if let Err(error) = written() {
            tracing::warn!("the story of the upgrade cannot be written: {error}");
        }
    }

    fn unwritable(&self, error: &io::Error) -> Fault {
        let what = format!("{} cannot be written: {error}", self.directory.display());
        Fault::environment(what).help("check free space and permissions of the state directory")
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
