//! What a look found, as the plan needs it. It travels in `RoutesHave::detail`.

use std::net::SocketAddr;

use model::{AppName, InstanceId, ReleaseId};
use serde::{Deserialize, Serialize};

use super::record::Record;
use super::serving::serving;
use crate::router::consul::{Entry, Health};
use crate::router::open::arrived;

/// The group of an entry: its release. One of another kind was registered for a HAProxy.
const GROUP: &str = "release-";

/// Everything a look found of one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) app: AppName,
    pub(super) record: Record,
    /// What is registered, and what is wanted or was carried besides.
    pub(super) there: Vec<There>,
    pub(super) sighted: Sighted,
    /// The record is another controller's.
    #[serde(default)]
    pub(super) of_another: bool,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct There {
    pub(super) id: InstanceId,
    pub(super) group: String,
    pub(super) address: SocketAddr,
    pub(super) state: State,
    /// Connections that it has.
    pub(super) open: u64,
}

/// What Consul makes of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Not registered.
    Absent,
    /// In maintenance: no follower gets it.
    Parted,
    /// No check has ended yet.
    Unasked,
    /// In Consul's words.
    Failing(String),
    /// Every follower gets it.
    Passing,
}

/// What the follower's answers say together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sighted {
    /// Whom it has still to take up, in words; `None` when it has taken up everybody.
    pub(super) to_take_up: Option<String>,
    /// Why it is not known to have left whoever is to get nothing, in words; `None` when it is.
    pub(super) to_leave: Option<String>,
}

/// The group of a release's instances.
pub(super) fn group(release: ReleaseId) -> String {
    format!("{GROUP}{}", release.0)
}

impl There {
    /// The release that it is of; `None` of one that was registered for a HAProxy.
    pub(super) fn release(&self) -> Option<ReleaseId> {
        self.group.strip_prefix(GROUP)?.parse().ok().map(ReleaseId)
    }
}

impl Seen {
    /// What Consul has beside the record; nobody was asked yet.
    pub(super) fn of(app: &AppName, record: Record, entries: &[Entry]) -> Self {
        let connections = arrived();
        let open = |address: &SocketAddr| connections.get(address).copied().unwrap_or_default();
        let registered = entries.iter().map(|entry| There {
            id: entry.id.clone(),
            group: entry.group.clone(),
            address: entry.address,
            state: state(entry),
            open: open(&entry.address),
        });
        let mut there: Vec<There> = registered.collect();
        let pools = [&record.routes, &record.carried].into_iter().flatten();
        for pool in pools.flat_map(|routes| &routes.pools) {
            for one in &pool.instances {
                if !there.iter().any(|known| known.id == one.id) {
                    there.push(There {
                        id: one.id.clone(),
                        group: group(pool.release),
                        address: one.address,
                        state: State::Absent,
                        open: open(&one.address),
                    });
                }
            }
        }
        // An agent names them in any order; a plan has one.
        there.sort_by(|a, b| a.id.cmp(&b.id));
        let (app, sighted) = (app.clone(), Sighted::default());
        Self { app, record, there, sighted, of_another: false }
    }

    /// True of an instance that is to get requests.
    pub(super) fn serves(&self, id: &InstanceId) -> bool {
        let routes = self.record.routes.as_ref();
        routes.is_some_and(|routes| serving(routes).iter().any(|(_, one)| one.id == *id))
    }
}

fn state(entry: &Entry) -> State {
    match (&entry.health, entry.parted) {
        (_, true) => State::Parted,
        (Health::Passing, _) => State::Passing,
        (Health::Unasked, _) => State::Unasked,
        (Health::Failing(why), _) => State::Failing(why.clone()),
    }
}
