//! What a look found beside the routes, as the plan needs it. It travels in `RoutesHave::detail`.

use std::net::SocketAddr;

use model::{AppName, InstanceId, Selector};
use serde::{Deserialize, Serialize};

use super::record::{Record, Slot};

/// Where a server stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Condition {
    /// Only one of its two servers is there.
    Half,
    /// In maintenance: gets nothing, is not checked.
    Maint,
    /// Gets nothing, and no check has ended yet.
    Unchecked,
    /// Gets nothing, and its check fails, as HAProxy says it.
    Failing(String),
    /// Gets nothing, and its check passes.
    Passing,
    /// Gets requests when its slot does.
    Ready,
}

/// An instance in a slot: its server for requests and its server for tunnels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Server {
    pub(super) slot: Slot,
    pub(super) id: InstanceId,
    pub(super) address: Option<SocketAddr>,
    pub(super) condition: Condition,
    /// Requests and tunnels open on it, in all workers.
    pub(super) open: u64,
}

/// Everything a look found of one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) app: AppName,
    pub(super) record: Record,
    /// What the configuration looks at: rules on anything else cannot be carried.
    pub(super) looks_at: Vec<Selector>,
    pub(super) servers: Vec<Server>,
}

impl Seen {
    /// The server of an instance.
    pub(super) fn server(&self, slot: Slot, id: &InstanceId) -> Option<&Server> {
        self.servers.iter().find(|server| server.slot == slot && server.id == *id)
    }

    /// True when the instance gets requests as the record says.
    pub(super) fn carries(&self, slot: Slot, id: &InstanceId, address: SocketAddr) -> bool {
        self.server(slot, id).is_some_and(|server| {
            server.condition == Condition::Ready && server.address == Some(address)
        })
    }
}
