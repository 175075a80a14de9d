//! What looking and acting share: the files, the watched processes, the ports.
//!
//! Only `look` and `act` give it behaviour.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use model::{AppName, Fault, InstanceId};

use super::port::Ports;
use super::procfs::Mark;
use super::store::Store;
use super::surroundings::Surroundings;
use super::watch::{News, Watched, own};

/// The insides of the process platform.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) news: Arc<News>,
    pub(super) ports: Mutex<Ports>,
    /// Where instances that are started are reached; `None` is 127.0.0.1.
    pub(super) host: Option<IpAddr>,
    pub(super) watched: Mutex<BTreeMap<InstanceId, Watched>>,
    /// Per app: when a look is due although nothing happened.
    pub(super) due: Mutex<BTreeMap<AppName, u64>>,
    pub(super) surroundings: Surroundings,
    /// What was written to the log.
    said: Mutex<BTreeSet<String>>,
}

impl Inner {
    pub(super) fn open(
        state: &Path,
        surroundings: Surroundings,
        host: Option<IpAddr>,
    ) -> Result<Self, Fault> {
        Ok(Self {
            store: Store::open(state)?,
            news: Arc::default(),
            ports: Mutex::new(Ports::new(RandomState::new().build_hasher().finish())),
            host,
            watched: Mutex::default(),
            due: Mutex::default(),
            surroundings,
            said: Mutex::default(),
        })
    }

    /// Warns in the log, of each thing once.
    pub(super) fn warn_once(&self, words: String) {
        let mut said = own(&self.said);
        if !said.contains(&words) {
            tracing::warn!("{words}");
            said.insert(words);
        }
    }

    /// What marks the processes of an instance.
    pub(super) fn mark(&self, id: &InstanceId) -> Mark {
        Mark::new(&id.0, &self.store.state)
    }
}
