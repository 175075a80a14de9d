//! The candidate's shares in the report's data: what was wanted, what was seen, and what of it.
//!
//! Data only; it is counted in `shares`. A share that is off is about steering and not about lost
//! requests: it is said, and the verdict does not depend on it.

use model::Weight;
use serde::{Deserialize, Serialize};

/// What became of one share that was asked for.
///
/// Counted are answers that named a version, to requests sent from `settled_us` to `to_us` on lanes
/// where each request is routed anew: keep-alive and fresh. Messages on a socket are not: they go
/// where the socket went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareFact {
    /// The share wanted, basis points.
    pub wanted_bp: u16,
    /// When it was asked for.
    pub from_us: i64,
    /// When the router was seen to carry it; none if never.
    pub settled_us: Option<i64>,
    /// When the next share was asked for, or the rollout turned.
    pub to_us: i64,
    /// Answers counted.
    pub answers: u64,
    /// Those of them that the new version gave.
    pub new: u64,
    /// Their share in basis points, rounded; none without answers.
    pub seen_bp: Option<u16>,
    /// The shares that could have given this, from, basis points: the Wilson score interval at 99.9 %
    /// (E. B. Wilson, 1927, "Probable inference, the law of succession, and statistical inference",
    /// Journal of the American Statistical Association 22, 209-212), drawn as if each request were
    /// routed by chance alone. A router that takes turns keeps closer to the share than that.
    pub low_bp: Option<u16>,
    /// To.
    pub high_bp: Option<u16>,
    /// What of it.
    pub finding: ShareFinding,
    /// What the router counted of a share of some of the traffic, if it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<RouterShare>,
}

/// The share as the router itself counted it: requests of everybody, from the first look at it with
/// the share in effect to the last one. It sees all requests, the prober a sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterShare {
    /// Requests to both versions.
    pub requests: u64,
    /// Those of them to the new one.
    pub new: u64,
    /// Their share in basis points, rounded; none without requests.
    pub seen_bp: Option<u16>,
    /// The ends of its interval, as for the answers.
    pub low_bp: Option<u16>,
    /// To.
    pub high_bp: Option<u16>,
    /// `as_wanted`, `off` or `too_few`.
    pub finding: ShareFinding,
}

/// Whether a share was seen as it was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareFinding {
    /// The interval holds the share wanted.
    AsWanted,
    /// It does not: chance alone does that to one share in a thousand.
    Off,
    /// Fewer than 30 answers, or requests.
    TooFew,
    /// The router was never seen to carry it.
    NotSettled,
    /// Both versions have the same name, or one of them is not known.
    NotToldApart,
}

impl ShareFact {
    /// True when both versions were meant to answer.
    pub fn partial(&self) -> bool {
        (1..Weight::ALL.basis_points()).contains(&self.wanted_bp)
    }

    /// True when the new version was meant to answer everything.
    pub fn all(&self) -> bool {
        self.wanted_bp == Weight::ALL.basis_points()
    }
}
