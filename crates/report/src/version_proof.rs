//! How the version changed, as data: when both answered, and whether a connection saw it go back.
//!
//! It decides nothing; how it is found stands in `proof`.

use model::Lane;
use model::attempt::Witness;
use serde::{Deserialize, Serialize};

/// How the version changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionProof {
    /// Send time of the first request that the new version answered (sockets apart).
    pub first_new_us: Option<i64>,
    /// Send time of the last request that the new version answered (sockets apart).
    pub last_new_us: Option<i64>,
    /// Send time of the last request that the old version answered (sockets apart).
    pub last_old_us: Option<i64>,
    /// How long both answered requests: from the first new one to the last old or new one,
    /// whichever was earlier; 0 when they did not overlap.
    pub mixed_us: Option<u64>,
    /// Promoted: how long after all traffic was asked for the new version the last answer of the old
    /// one came, of requests sent after that (sockets apart); 0 when there was none.
    #[serde(default)]
    pub switch_time_us: Option<u64>,
    /// Send time of the last message that a socket on the old version echoed.
    pub last_old_message_us: Option<i64>,
    /// Connections on which the old version answered a request sent after the new one had begun to
    /// answer elsewhere (sockets apart).
    #[serde(default)]
    pub pinned_connections: u64,
    /// For how long after that at most.
    #[serde(default)]
    pub longest_pinned_us: u64,
    /// Requests answered by the old version although they were sent after the new one had
    /// answered on the same connection.
    pub regressions: u64,
    /// The same while both versions were meant to answer: random shares alternate on a connection.
    #[serde(default)]
    pub regressions_by_share: u64,
    /// The same where it is what going back means: since the rollout turned, in an aborted one also since its
    /// candidate was gone, and of a request that was put to an instance again.
    pub regressions_excused: u64,
    /// The first of those that count.
    pub first_regressions: Vec<Regression>,
    /// Weakest witness of a version; `None` when no answer named one.
    pub weakest_witness: Option<Witness>,
}

impl VersionProof {
    /// The time in which both versions answered requests; `None` when they did not overlap.
    pub fn mixed(&self) -> Option<(i64, i64)> {
        let (new, last_new) = self.first_new_us.zip(self.last_new_us)?;
        let end = self.last_old_us?.min(last_new);
        (end > new).then_some((new, end))
    }
}

/// The old version answered again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regression {
    /// The attempt.
    pub id: u64,
    /// Its lane.
    pub lane: Lane,
    /// Its connection.
    pub connection: u32,
    /// When the new version's answer had arrived on this connection.
    pub new_seen_us: i64,
    /// When this request was sent.
    pub sent_us: i64,
}
