//! What a look found beside the routes, as the plan needs it. It travels in `RoutesHave::detail`.

use std::net::SocketAddr;

use model::{AppName, InstanceId, Routes, Selector};
use serde::{Deserialize, Serialize};

use super::live::Edited;
use super::record::{Record, Slot};

/// Where a server stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Condition {
    /// Only one of its two servers is there.
    Half,
    /// In maintenance: gets nothing, is not checked.
    Maint,
    /// Taken out at Consul, and HAProxy has not followed yet.
    Parting,
    /// The same, and HAProxy should have followed by now: it may never do so.
    Overdue,
    /// At Consul and well, and HAProxy has not followed yet.
    Unfollowed,
    /// Gets nothing, and no check has ended yet.
    Unchecked,
    /// Gets nothing, and its check fails, as HAProxy says it.
    Failing(String),
    /// Gets nothing, and its check passes.
    Passing,
    /// In use and gets nothing, because HAProxy has it down: in its words.
    Down(String),
    /// In use and gets nothing, because somebody took its weight away.
    Weightless,
    /// Gets requests when its slot does.
    Ready,
}

impl Condition {
    /// True when nothing but being published, or being well again, keeps requests from it.
    pub(super) const fn may_serve(&self) -> bool {
        matches!(self, Self::Passing | Self::Down(_) | Self::Weightless | Self::Ready)
    }
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
    /// What was published last.
    pub(super) record: Record,
    /// What the map says instead, if somebody has changed it.
    pub(super) edited: Option<Edited>,
    /// What the configuration looks at: rules on anything else cannot be carried.
    pub(super) looks_at: Vec<Selector>,
    pub(super) servers: Vec<Server>,
}

impl Seen {
    /// The server of an instance.
    pub(super) fn server(&self, slot: Slot, id: &InstanceId) -> Option<&Server> {
        self.servers.iter().find(|server| server.slot == slot && server.id == *id)
    }

    /// The routes that requests obey, with the slot of each pool, whoever gets them.
    pub(super) fn obeyed(&self) -> (Option<&Routes>, &[Slot]) {
        match &self.edited {
            Some(edited) => (edited.routes.as_ref(), &edited.slots),
            None => (self.record.routes.as_ref(), &self.record.slots),
        }
    }

    /// True when HAProxy gives the instance what its slot gets.
    pub(super) fn carries(&self, slot: Slot, id: &InstanceId, address: SocketAddr) -> bool {
        self.server(slot, id).is_some_and(|server| {
            server.condition == Condition::Ready && server.address == Some(address)
        })
    }
}
