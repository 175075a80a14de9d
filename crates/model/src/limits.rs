//! What clients and instances may take of a proxy: how long, how much, how often. Part of what its
//! admin socket speaks of.
//!
//! Numbers alone; 0 is no limit wherever nothing else is said.

use serde::{Deserialize, Serialize};

use crate::name::AppName;
use crate::network::Network;

/// Limits for all apps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// An instance must take a connection within this, ms.
    pub connect_ms: u64,
    /// An instance may take nothing of a request for this long, ms.
    pub instance_reads_ms: u64,
    /// A client's connection that brings no request is closed after this, ms.
    pub client_idle_ms: u64,
    /// A client's connection that is older than this gives way to a new one, ms.
    pub client_age_ms: u64,
    /// A request must be over this long after its head was whole, ms; tunnels may last.
    pub request_ms: u64,
    /// Largest head of a request, bytes, 32 KiB at most; 0 for that.
    pub head_bytes: u64,
    /// Most fields in it, 100 at most; 0 for that.
    pub fields: u32,
    /// Largest body of a request, bytes, chunks counted without their framing.
    pub body_bytes: u64,
    /// Bytes of a body that must come in a second, on the average ...
    pub body_rate: u32,
    /// ... once its client was waited for this long, ms.
    pub body_grace_ms: u64,
    /// Most connections of one client at a time.
    pub client_connections: u32,
    /// Most requests of one client at a time, tunnels among them.
    pub client_requests: u32,
    /// Most requests of one client in a second, on the average.
    pub client_rate: u32,
    /// How many of them may come at once; 0 for those of a second.
    pub client_burst: u32,
    /// Clients without such limits.
    pub exempt: Vec<Network>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_ms: 2_000,
            instance_reads_ms: 60_000,
            client_idle_ms: 75_000,
            client_age_ms: 0,
            request_ms: 0,
            head_bytes: 32 * 1024,
            fields: 100,
            body_bytes: 0,
            body_rate: 240,
            body_grace_ms: 10_000,
            client_connections: 0,
            client_requests: 0,
            client_rate: 0,
            client_burst: 0,
            exempt: ["127.0.0.0/8", "::1"].into_iter().flat_map(str::parse).collect(),
        }
    }
}

/// What is different for one app; `None` for what is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppLimits {
    /// The app.
    pub app: AppName,
    /// As `answer_begins_ms` of the settings.
    #[serde(default)]
    pub answer_begins_ms: Option<u64>,
    /// As `answer_silence_ms` of the settings.
    #[serde(default)]
    pub answer_silence_ms: Option<u64>,
    /// As [`Limits::request_ms`].
    #[serde(default)]
    pub request_ms: Option<u64>,
    /// As [`Limits::body_bytes`].
    #[serde(default)]
    pub body_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::Limits;

    /// A controller that knows less says less.
    #[test]
    fn what_is_not_said_is_the_default_and_loopback_is_exempt() {
        let limits: Limits = serde_json::from_str("{\"client_rate\":5}").unwrap();
        assert_eq!(limits, Limits { client_rate: 5, ..Limits::default() });
        assert_eq!(limits.exempt.len(), 2);
    }
}
