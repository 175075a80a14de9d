//! Share of an app's traffic.
//!
//! Basis points everywhere; a driver converts to its router's own unit at its edge. Which request is part
//! of a share is not said here: that is the router's own.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Kind};

/// Share of traffic in basis points, 0..=10 000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Weight(u16);

impl Weight {
    /// No traffic.
    pub const NONE: Self = Self(0);
    /// All traffic.
    pub const ALL: Self = Self(10_000);

    /// A share in basis points; above 10 000 is refused.
    pub fn new(basis_points: u16) -> Result<Self, Fault> {
        if basis_points <= 10_000 {
            return Ok(Self(basis_points));
        }
        let what = format!("a weight of {basis_points} basis points is more than all traffic");
        Err(Fault::new(Kind::Config, what).help("use 0 to 10000"))
    }

    /// The share in basis points.
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// What remains for the others.
    #[must_use]
    pub const fn rest(self) -> Self {
        Self(10_000 - self.0)
    }
}

impl TryFrom<u16> for Weight {
    type Error = Fault;
    fn try_from(basis_points: u16) -> Result<Self, Fault> {
        Self::new(basis_points)
    }
}

impl From<Weight> for u16 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}%", self.0 / 100, self.0 % 100)
    }
}
