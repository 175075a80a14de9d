//! One thing that a running HAProxy or its configuration should have otherwise. Only the noun.

use serde::Serialize;

use super::written::At;

/// One thing that should be otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The section it is about, as it is written (`backend blue`); empty when HAProxy was asked as it
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
        Self { section, setting, value, at, needed: owned(needed), why: owned(why) }
    }
}
