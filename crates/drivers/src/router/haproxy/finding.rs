//! One thing that a running HAProxy or its configuration should have otherwise. Only the noun.

/// One thing that should be otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The setting, as the configuration calls it.
    pub setting: String,
    /// What it is now.
    pub value: String,
    /// What it should be.
    pub needed: String,
    /// What goes wrong otherwise.
    pub why: String,
}
