//! How WebSockets are moved off instances that get nothing new any more, by the router itself.
//!
//! Wishes only. A router reads the frames of the sockets that it carries to do it; which it can move,
//! and how far it is, it knows itself. Other tunnels (event streams, other protocols) are left alone.

use serde::{Deserialize, Serialize};

use crate::fleet::InstanceId;

/// What a WebSocket's client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Farewell {
    /// A text message of this content, between two messages of the instance; the client is to leave.
    Frame(String),
    /// A Close frame with 1012 ("service restart"), and one to the instance as from its client.
    Close,
}

/// What clients are told, and how fast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// What they are told.
    pub farewell: Farewell,
    /// How many a second, on average; at least 1. More of them where they would not all be told within
    /// three quarters of the time.
    pub per_second: u32,
    /// How many may have been told and still be there; at least 1. Whoever does not leave counts for a
    /// few seconds.
    pub at_once: u32,
}

/// Tunnels that move now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// Off these instances, of which none is in a pool that serves.
    pub instances: Vec<InstanceId>,
    /// What their clients are told, and how fast.
    pub pace: Pace,
    /// How long it may take in all, ms.
    pub within_ms: u64,
}
