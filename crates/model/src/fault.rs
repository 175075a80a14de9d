//! One error type for what a person must read: what is wrong, where, and what to do about it.
//!
//! It does not carry a backtrace and it does not decide the exit code alone: `Kind` says what sort
//! of trouble it is and the command line maps kinds to codes in one place.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What sort of trouble a [`Fault`] is; decides the exit code, never the wording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The command line was wrong (exit 2).
    Usage,
    /// The configuration was wrong (exit 2).
    Config,
    /// The machine said no: a busy port, an unwritable directory, a missing program (exit 2).
    Environment,
    /// The request clashes with what is under way, such as two deploys of one app (exit 2).
    Conflict,
    /// Something else broke; a person is needed (exit 5).
    Internal,
}

/// A place in a file, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Path as the user wrote it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A failure in words: one sentence, the place if there is one, and the fix if one is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Sort of trouble.
    pub kind: Kind,
    /// One sentence that names the thing, without a trailing full stop.
    pub what: String,
    /// Where, if it stands in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The exact thing to do, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Further lines to show below (the last health checks, a log's tail).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Fault {
    /// A fault of `kind` with its one sentence.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), place: None, help: None, notes: Vec::new() }
    }

    /// Trouble with the machine: ports, files, programs.
    pub fn environment(what: impl Into<String>) -> Self {
        Self::new(Kind::Environment, what)
    }

    /// A broken promise inside Cutover or one of its peers.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(Kind::Internal, what)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the place in a file.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Adds a line of detail.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}
