//! What clients that come back with their cookies saw, as data.
//!
//! It decides nothing; how it is found stands in `clients`.

use model::Lane;
use serde::{Deserialize, Serialize};

/// The clients that keep their cookies (or name themselves), as browsers do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFacts {
    /// Clients that a version answered.
    pub clients: u64,
    /// Their answers that named a version.
    pub answers: u64,
    /// Clients that more than one version answered.
    pub moved: u64,
    /// Answers by an older version although a newer one had answered the same client before. Older is
    /// the one users were on; in somebody else's deploy, the one that the client had left.
    pub regressions: u64,
    /// Clients that got those.
    pub went_back: u64,
    /// The same in a rollout that went back: that is what going back means.
    pub regressions_excused: u64,
    /// The first of those that count.
    pub first_regressions: Vec<ClientRegression>,
}

/// An older version answered a client again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRegression {
    /// The attempt.
    pub id: u64,
    /// Its lane.
    pub lane: Lane,
    /// Its client.
    pub client: u16,
    /// The version that answered: index into `versions`.
    pub version: usize,
    /// When the newer version's answer had arrived at this client.
    pub newer_seen_us: i64,
    /// When this request was sent.
    pub sent_us: i64,
}
