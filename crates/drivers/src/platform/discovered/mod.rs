//! The discovered platform: instances that somebody else starts and ends, such as Nomad, systemd or another
//! host, and that are found in the catalog of a Consul or by DNS.
//!
//! Each release that is to run is followed: who is found is checked, and gets requests when it passes. It
//! starts nothing, ends nothing and registers nothing. The state directory holds one record per release
//! (`discovered/`), so that who was known is known again.

mod ask;
mod catalog;
mod dns;
mod followed;
#[cfg(test)]
mod fuzz;
mod heard;
mod inner;
mod message;
mod plan;
mod store;
mod unseen;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{AppName, Change, Fault, Plan, Source};
use tokio::time::timeout;

use super::driver::{Platform, PlatformCapabilities};
use super::fleet::{FleetHave, FleetWant};
use inner::Inner;
use plan::Step;
use store::Store;

/// Longest that somebody waits who asks once.
const ONCE: Duration = Duration::from_secs(4);

/// Finds instances. Dropping it ends its questions and checks, never an instance.
#[derive(Debug)]
pub struct Discovery {
    inner: Arc<Inner>,
}

impl Discovery {
    /// Opens (or makes) its folder in a state directory of Cutover.
    pub fn open(state: &Path) -> Result<Self, Fault> {
        Ok(Self { inner: Arc::new(Inner::new(Store::open(state)?)) })
    }

    /// True for a change that this platform plans.
    pub(super) fn plans(change: &Change) -> bool {
        Step::is_one(change)
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.inner.end();
    }
}

/// Asks a source once, in words; nothing is followed by it. Of kind `Environment` when it is away.
pub async fn ask_once(source: &Source) -> Result<String, Fault> {
    let Ok(heard) = timeout(ONCE, ask::hear(source, &mut 0)).await else {
        let what = format!("{source} cannot be asked: no answer within {} s", ONCE.as_secs());
        return Err(Fault::environment(what).help("is it there, and does it answer?"));
    };
    let heard = heard?;
    let all: Vec<_> = heard.addresses.iter().map(ToString::to_string).collect();
    let odd =
        if heard.odd.is_empty() { String::new() } else { format!("; {}", heard.odd.join("; ")) };
    let n = all.len();
    let all = if all.is_empty() { String::new() } else { format!(": {}", all.join(", ")) };
    Ok(format!("{source} names {n} now{all}{odd}"))
}

/// True for a name that DNS can be asked about.
pub fn is_name(name: &str) -> bool {
    message::is_name(name)
}

#[async_trait]
impl Platform for Discovery {
    async fn look(&self, app: &AppName) -> Result<FleetHave, Fault> {
        self.inner.look(app)
    }

    fn plan(&self, want: &FleetWant, have: &FleetHave) -> Plan {
        plan::plan(want, have)
    }

    /// Who will be found is not known; who is let go is found no more than before.
    fn foretell(&self, change: &Change, have: &FleetHave) -> Option<FleetHave> {
        plan::after(&Step::read(change).ok()?, have.clone())
    }

    async fn act(&self, change: &Change, epoch: u64) -> Result<(), Fault> {
        let (inner, change) = (Arc::clone(&self.inner), change.clone());
        let done = tokio::task::spawn_blocking(move || inner.act(&change, epoch)).await;
        done.unwrap_or_else(|error| Err(Fault::internal(format!("discovered instances: {error}"))))
    }

    fn can(&self) -> PlatformCapabilities {
        PlatformCapabilities { side_by_side: true, outlives_controller: true, tell_only: true }
    }

    async fn changed(&self, since: u64) {
        self.inner.newer_than(since).await;
    }
}
