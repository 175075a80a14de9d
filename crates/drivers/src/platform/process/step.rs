//! The steps of the process platform: the payload of its changes and what each relies on.
//!
//! `plan` writes them and `act` reads them; this file neither plans nor acts.

use model::{AppName, Change, Fault, InstanceId, Release, ReleaseId};
use serde::{Deserialize, Serialize};

use super::procfs::Identity;

/// One instance, named so that its record can be found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Target {
    pub(super) app: AppName,
    pub(super) release: ReleaseId,
    pub(super) number: u32,
}

impl Target {
    pub(super) fn id(&self) -> InstanceId {
        InstanceId(format!("{}-{}-{}", self.app, self.release.0, self.number))
    }
}

/// What a change does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step {
    /// Starts an instance.
    Start {
        /// The release, for its first instance; later ones must agree.
        release: Box<Release>,
        /// The instance's number.
        number: u32,
        /// Its port.
        port: u16,
    },
    /// Enters a process that was started and never recorded.
    Adopt {
        /// The instance.
        target: Target,
    },
    /// SIGTERM to its group, once as far as can be known; see `told`.
    Tell {
        /// The instance.
        target: Target,
    },
    /// SIGKILL to its group, once.
    Kill {
        /// The instance.
        target: Target,
    },
    /// Takes note that it has ended.
    Note {
        /// The instance.
        target: Target,
    },
    /// Drops the record of a release without instances.
    Forget {
        /// The app.
        app: AppName,
        /// The release.
        release: ReleaseId,
    },
}

impl Step {
    /// The change that carries it.
    pub(super) fn change(self, words: String, expected_before: String) -> Change {
        let payload = serde_json::to_value(&self).unwrap_or_default();
        Change { words, expected_before, payload }
    }

    /// Reads it back.
    pub(super) fn read(change: &Change) -> Result<Self, Fault> {
        serde_json::from_value(change.payload.clone()).map_err(|error| {
            let what = format!("the change `{}` is none of the process platform", change.words);
            Fault::internal(format!("{what}: {error}"))
        })
    }
}

/// What a start relies on: replaying it finds another number, so no instance is started twice.
pub(super) fn expect_number(number: u32) -> String {
    format!("the next instance is number {number}")
}

/// What the other steps rely on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// The process, in words.
    pub(super) identity: &'a str,
    pub(super) alive: bool,
    pub(super) told: bool,
    /// Since when it is not known whether it was told.
    pub(super) telling_ms: Option<u64>,
    pub(super) killed: bool,
}

impl Expected<'_> {
    /// The words that a change carries and that its deed compares.
    pub(super) fn words(&self) -> String {
        let life = if self.alive { "alive" } else { "ended" };
        let told = match (self.told, self.telling_ms) {
            (false, _) => "not told to end".to_owned(),
            (true, None) => "told to end".to_owned(),
            (true, Some(at)) => format!("perhaps told to end (at {at} ms)"),
        };
        let killed = if self.killed { ", killed" } else { "" };
        format!("{}, {life}, {told}{killed}", self.identity)
    }
}

/// What forgetting relies on.
pub(super) fn expect_empty() -> String {
    "no instance is recorded".to_owned()
}

/// How an instance is recognised, in words.
pub(super) fn identity_words(process: Option<&Identity>) -> String {
    process.map_or_else(|| "no process".to_owned(), ToString::to_string)
}
