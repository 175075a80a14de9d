//! What looking and acting share: the files, the watched processes, the ports.
//!
//! Only `look` and `act` give it behaviour.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex};

use model::{AppName, Fault, InstanceId};

use super::port::Ports;
use super::procfs::Mark;
use super::store::Store;
use super::watch::{News, Watched};

/// The insides of the process platform.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) news: Arc<News>,
    pub(super) ports: Mutex<Ports>,
    pub(super) watched: Mutex<BTreeMap<InstanceId, Watched>>,
    /// Per app: when a look is due although nothing happened.
    pub(super) due: Mutex<BTreeMap<AppName, u64>>,
}

impl Inner {
    pub(super) fn open(state: &Path) -> Result<Self, Fault> {
        Ok(Self {
            store: Store::open(state)?,
            news: Arc::default(),
            ports: Mutex::new(Ports::new(RandomState::new().build_hasher().finish())),
            watched: Mutex::default(),
            due: Mutex::default(),
        })
    }

    /// What marks the processes of an instance.
    pub(super) fn mark(&self, id: &InstanceId) -> Mark {
        Mark::new(&id.0, &self.store.state)
    }
}
