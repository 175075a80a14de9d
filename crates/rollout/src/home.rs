//! How far the candidate is on its way home: to the place that stable left.
//!
//! A fact with its arithmetic, and no decision: `homeward` decides when it changes.

use serde::{Deserialize, Serialize};

/// The way home. There is none before stable is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Home {
    /// The candidate runs where it was started, and is started once more.
    Filling,
    /// Those that were started first leave the routes and stay as the spare.
    Spare,
    /// It was not ready a second time and stays where it is.
    GivenUp,
}

impl Home {
    /// Instances that should run and stay, of a release that usually has `usual`.
    pub(crate) const fn wanted(self, usual: u16) -> u16 {
        match self {
            Self::Filling => usual.saturating_mul(2),
            Self::Spare | Self::GivenUp => usual,
        }
    }

    /// Instances that should leave the routes.
    pub(crate) const fn leaving(self, usual: u16) -> Option<u16> {
        match self {
            Self::Spare => Some(usual),
            Self::Filling | Self::GivenUp => None,
        }
    }
}
