//! One thing that a router of the user's or its configuration should have otherwise. Only the nouns.

use serde::{Deserialize, Serialize};

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Requests are lost, or cannot be carried.
    Loses,
    /// Good to know: it may well be right as it is.
    Note,
}

/// One thing that should be otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The section it is about, as it is written (`backend blue`); empty when a HAProxy was asked as it
    /// runs.
    pub section: String,
    /// The setting, as the configuration calls it.
    pub setting: String,
    /// What it is now.
    pub value: String,
    /// Where that stands; of a setting that is not there, where its section begins.
    pub at: Option<At>,
    /// What it should be.
    pub needed: String,
    /// What goes wrong otherwise.
    pub why: String,
}

impl Finding {
    /// What a HAProxy says of itself as it runs.
    pub(super) fn running(setting: &str, value: &str, needed: &str, why: &str) -> Self {
        let owned = str::to_owned;
        let (section, at) = (String::new(), None);
        let (setting, value) = (owned(setting), owned(value));
        let (needed, why, severity) = (owned(needed), owned(why), Severity::Loses);
        Self { severity, section, setting, value, at, needed, why }
    }
}
