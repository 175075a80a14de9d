//! What a look found, as the plan needs it. It travels in `RoutesHave::detail`.

use model::{AppName, Instance, Routes};
use serde::{Deserialize, Serialize};

use super::record::Record;

/// Everything a look found of one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) app: AppName,
    pub(super) record: Record,
    /// The configuration in the directory is not the one that was written.
    pub(super) edited: bool,
    /// The generation that a worker runs which takes requests.
    pub(super) served: u64,
    /// Workers that take requests and run what was before the last reload.
    pub(super) old: usize,
    /// A worker that ends and runs what was before may still take requests on kept connections.
    pub(super) lingering: bool,
    /// Clients of such workers that lead to no instance yet: each may still bring a request to one that was
    /// left.
    pub(super) unserved: u64,
    /// Time since the last reload, ms; `None` without one.
    pub(super) told_ms: Option<u64>,
    /// What instances said that are to be carried.
    pub(super) checked: Vec<Checked>,
}

/// What an instance said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checked {
    pub(super) instance: Instance,
    /// Why it cannot be carried, in words; `None` when it can.
    pub(super) failing: Option<String>,
}

/// Longest that a change waits for workers that end, ms: a shift is given up when it takes much longer.
const LONGEST_MS: u64 = 10_000;

impl Seen {
    /// True when every new connection obeys what is on record.
    pub(super) const fn taken_up(&self) -> bool {
        self.served == self.record.generation && self.old == 0
    }

    /// True when every request does. On a connection that is kept by a worker that ends, one more may go
    /// where it went before.
    pub(super) const fn in_effect(&self) -> bool {
        let waited = match self.told_ms {
            Some(ms) => ms >= LONGEST_MS,
            None => true,
        };
        self.taken_up() && (waited || !self.lingering)
    }

    /// The routes that requests obey; of two that are mixed, the older ones.
    pub(super) fn carried(&self) -> Option<&Routes> {
        if self.in_effect() { self.record.routes.as_ref() } else { self.record.before.as_ref() }
    }
}
