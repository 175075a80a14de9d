//! The driver of HAProxy 2.6 and newer, over its runtime API.
//!
//! An app has two slots, each for one release: a backend for requests and one for upgrades. Which
//! slot gets what stands in one map per app, and a switch is one transaction of that map. Instances
//! are servers that are added and deleted at run time. What is carried is read from HAProxy each
//! time; beside that, files are kept so that a reload goes on where it was. Where HAProxy follows Consul,
//! instances are registered there instead, and all else is the same. HAProxy itself, its start and its
//! end, are somebody else's.

mod act;
mod app_file;
mod commit;
pub mod config;
mod count;
mod discovered;
mod files;
mod foretell;
#[cfg(test)]
mod fuzz;
mod install;
mod line;
mod live;
mod look;
mod passing;
mod plan;
mod preflight;
mod record;
mod registering;
mod review;
mod rules;
mod seen;
mod step;
mod table;
mod worker;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use model::{AppName, Change, Fault, Kind, Plan, ReleaseId, Routes, Selector, Weight};

pub use files::Checker;
pub use install::{Fate, Installed, install};
pub use line::Address;
pub use plan::objection;
pub use review::review;
pub use rules::unfit;

use super::consul::Consul;
use super::driver::{ChangeKind, Drain, Evidence, Open, Router, RouterCapabilities, RoutesHave};
use super::fenced::Fenced as _;
use super::finding::Finding;
use discovered::Discovery;
use record::Record;
use seen::Seen;
use step::Step;

/// After so many in a row, a conflict is no accident any more.
const CONFLICTS: u32 = 10;

/// The HAProxy behind a runtime API.
#[derive(Debug)]
pub struct HaProxy {
    address: Address,
    checker: Option<Checker>,
    /// Where it takes its servers from, if they are not added here.
    discovery: Option<Discovery>,
    /// One change at a time: a step looks, compares and changes. Counts the conflicts in a row.
    acting: tokio::sync::Mutex<u32>,
    /// The last look could not tell tunnels from requests.
    mixed: AtomicBool,
    /// Workers that were seen, for sockets that do not tell of those that end.
    known: Mutex<BTreeSet<u32>>,
    /// The releases of each app at the last look whose map said anything.
    releases: Mutex<BTreeMap<AppName, Vec<ReleaseId>>>,
}

impl HaProxy {
    /// Nothing is connected until the first question. The socket of a master (`-S`) is better than
    /// that of a worker: after a reload it also shows what is open in the workers that end.
    pub fn new(address: Address) -> Self {
        let (acting, mixed) = (tokio::sync::Mutex::default(), AtomicBool::new(false));
        let (known, releases) = (Mutex::default(), Mutex::default());
        Self { address, checker: None, discovery: None, acting, mixed, known, releases }
    }

    /// Its servers come from Consul by DNS: instances are registered there.
    #[must_use]
    pub fn following(self, consul: Arc<Consul>) -> Self {
        let places = discovered::Places::default();
        Self { discovery: Some(Discovery { consul, places }), ..self }
    }

    /// Has each new configuration checked by this program before a reload can find it.
    #[must_use]
    pub fn checked_by(self, checker: Checker) -> Self {
        Self { checker: Some(checker), ..self }
    }

    /// Asks it for its pid. A fault of kind `Environment` means that it is away and may come; any other
    /// one (not permitted, no socket, a level too low, somebody else's answers) that waiting helps
    /// nobody.
    pub async fn reach(&self) -> Result<u32, Fault> {
        if let Some(discovery) = &self.discovery {
            discovery.consul.reach().await?;
        }
        look::patiently(|| worker::present_pid(&self.address)).await
    }

    /// Compares what runs with what is needed, before anything is touched. What makes it impossible
    /// (no socket, level too low, no such backend, no map) is a fault; what would lose requests is a
    /// finding.
    pub async fn preflight(&self, apps: &[AppName]) -> Result<Vec<Finding>, Fault> {
        if let Some(discovery) = &self.discovery {
            discovery.consul.preflight(apps).await?;
        }
        preflight::preflight(&self.address, apps).await
    }

    /// Refuses when another controller ships one of these apps through the Consul that it follows, if it
    /// follows one. Nothing is touched.
    pub async fn unheld(&self, apps: &[AppName]) -> Result<(), Fault> {
        match &self.discovery {
            Some(discovery) => discovery.consul.unheld(apps).await,
            None => Ok(()),
        }
    }

    /// The headers and cookies of an app's requests that its configuration looks at. Rules on others
    /// are refused.
    pub async fn looks_at(&self, app: &AppName) -> Result<Vec<Selector>, Fault> {
        let workers = worker::workers(&self.address).await?;
        let present = workers.first().ok_or_else(|| self.address.odd(""))?;
        present.looks_at(app).await
    }

    /// Workers that live beside the present one although the socket does not speak of them.
    fn unseen(&self, found: &look::Found) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend([found.pid, found.seen.record.worker]);
        known.retain(|pid| *pid == found.pid || is_haproxy(*pid));
        known.len() > 1 && !found.by_master
    }

    /// A map that was emptied together with its file does not say any more whose the servers are: what
    /// is open on them is then not called finished.
    fn remember(&self, app: &AppName, found: &look::Found, open: &mut BTreeMap<ReleaseId, Open>) {
        let mut releases = self.releases.lock().unwrap_or_else(PoisonError::into_inner);
        if found.seen.record != Record::default() {
            releases.insert(app.clone(), open.keys().copied().collect());
            return;
        }
        for release in releases.get(app).into_iter().flatten() {
            open.insert(*release, Open { requests: 1, tunnels: 1 });
        }
    }
}

/// True while this is a process of HAProxy, as far as can be seen from here (Linux).
fn is_haproxy(pid: u32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    let dead = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')));
    name.is_ok_and(|name| name.starts_with("haproxy")) && !dead
}

#[async_trait]
impl Router for HaProxy {
    async fn look(&self, app: &AppName) -> Result<RoutesHave, Fault> {
        if let Some(discovery) = &self.discovery {
            discovery.consul.stay().await;
        }
        let found = look::look(&self.address, app, self.discovery.as_ref()).await?;
        self.mixed.store(!found.apart, Ordering::Relaxed);
        let mut have = RoutesHave {
            routes: look::routes(&found.seen),
            open: found.open.clone(),
            instances: found.instances.clone(),
            totals: found.totals.clone(),
            counters: found.counters.clone(),
            answered: found.answered.clone(),
            epoch: found.seen.record.epoch,
            pid: Some(found.pid),
            detail: serde_json::to_value(&found.seen).unwrap_or_default(),
            ..RoutesHave::nothing(app.clone())
        };
        self.remember(app, &found, &mut have.open);
        if self.unseen(&found) {
            // What is open in a worker that cannot be asked is not known to have ended.
            for open in have.open.values_mut().chain(have.instances.values_mut()) {
                open.requests += 1;
                open.tunnels += 1;
            }
        }
        Ok(have)
    }

    fn plan(&self, want: Option<&Routes>, have: &RoutesHave) -> Plan {
        match serde_json::from_value::<Seen>(have.detail.clone()) {
            Ok(seen) => plan::plan(want, &seen),
            // Not from a look of this driver: nothing can be said but that it is not settled.
            Err(_) => Plan { changes: Vec::new(), waiting: vec!["a look at HAProxy".to_owned()] },
        }
    }

    fn foretell(&self, change: &Change, have: &RoutesHave) -> Option<RoutesHave> {
        let seen = serde_json::from_value::<Seen>(have.detail.clone()).ok()?;
        let seen = foretell::after(Step::read(change).ok()?, seen)?;
        let detail = serde_json::to_value(&seen).ok()?;
        Some(RoutesHave { routes: look::routes(&seen), detail, ..have.clone() })
    }

    async fn act(&self, change: &Change, epoch: u64) -> Result<(), Fault> {
        let mut conflicts = self.acting.lock().await;
        let done = act::act(
            &self.address,
            (self.checker.as_ref(), self.discovery.as_ref()),
            change,
            epoch,
        )
        .await;
        match done {
            Err(fault) if fault.kind == Kind::Conflict => {
                *conflicts += 1;
                // One is what a reload does; when looking again does not help, it is trouble.
                let kind = if *conflicts > CONFLICTS { Kind::Environment } else { fault.kind };
                Err(Fault { kind, ..fault })
            }
            done => {
                *conflicts = 0;
                done
            }
        }
    }

    /// As the last look found it: without backends for upgrades, the end of requests is not known
    /// while tunnels are open.
    async fn forget(&self, app: &AppName) -> Result<(), Fault> {
        match &self.discovery {
            Some(discovery) => discovery.consul.forget(app).await,
            None => Ok(()),
        }
    }

    fn can(&self) -> RouterCapabilities {
        let mixed = self.mixed.load(Ordering::Relaxed);
        RouterCapabilities {
            finest_weight: Weight::new(1).unwrap_or_default(),
            drain: if mixed { Drain::Timed } else { Drain::Counted },
            change: ChangeKind::Atomic,
            header_rules: true,
            hold: false,
            hand_over: false,
            other_rules: false,
            spread: false,
            evidence: Evidence::Counters,
        }
    }
}
