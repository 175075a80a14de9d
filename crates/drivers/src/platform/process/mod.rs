//! The process platform: instances are local processes, on ports of 127.0.0.1 or of another address of this
//! machine.
//!
//! The processes belong to nobody: they write their own logs, survive the death of whoever started
//! them and are found again by pid, start time and boot. The state directory holds one record per
//! release (`instances/`) and one log per instance (`logs/`). It routes nothing and knows no
//! containers.

mod act;
mod diagnose;
mod foretell;
#[cfg(test)]
mod fuzz;
mod inner;
mod launch;
mod log;
mod look;
mod plan;
mod port;
mod procfs;
mod program;
mod record;
mod rotate;
mod signal;
mod step;
mod store;
mod surroundings;
mod told;
mod watch;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{AppName, Change, Fault, InstanceId, Plan};

use super::driver::{Platform, PlatformCapabilities};
use super::fleet::{FleetHave, FleetWant, InstanceHave};
pub use log::{InstanceLog, logs_of};
pub use program::{find_program, program};
pub use rotate::{begin, rotate, rotated};
pub use surroundings::Surroundings;

use inner::Inner;
use record::now_ms;
use watch::own;

/// Runs instances as processes. Dropping it ends its checks, never a process.
#[derive(Debug)]
pub struct Process {
    inner: Arc<Inner>,
}

impl Process {
    /// Opens (or makes) the folders in a state directory of Cutover. Instances inherit our own
    /// environment.
    pub fn open(state: &Path) -> Result<Self, Fault> {
        Self::open_within(state, Surroundings::own())
    }

    /// The same with another environment.
    pub fn open_within(state: &Path, surroundings: Surroundings) -> Result<Self, Fault> {
        Self::open_at(state, surroundings, None)
    }

    /// The same with instances that are reached at an address of this machine other than 127.0.0.1: they are
    /// told by `{host}` and HOST.
    pub fn open_at(
        state: &Path,
        surroundings: Surroundings,
        host: Option<IpAddr>,
    ) -> Result<Self, Fault> {
        Ok(Self { inner: Arc::new(Inner::open(state, surroundings, host)?) })
    }

    /// Every app that has instances or had some not long ago, also those no configuration names any
    /// more.
    pub fn apps(&self) -> Result<Vec<AppName>, Fault> {
        self.inner.store.apps()
    }

    /// The log of an instance, whether it exists or not.
    pub fn log(&self, id: &InstanceId) -> std::path::PathBuf {
        self.inner.store.log(id)
    }

    /// Where an instance listens, as the kernel has it, whatever it was told; empty when that cannot be
    /// seen.
    pub fn listening(&self, instance: &InstanceHave) -> Vec<SocketAddr> {
        let Some(pid) = instance.pid else { return Vec::new() };
        let mut pids = procfs::marked_in_group(pid, &self.inner.mark(&instance.id));
        pids.push(pid);
        procfs::listening(&pids)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|error| Err(Fault::internal(format!("the process platform: {error}"))))
    }
}

#[async_trait]
impl Platform for Process {
    async fn look(&self, app: &AppName) -> Result<FleetHave, Fault> {
        let app = app.clone();
        self.blocking(move |inner| inner.look(&app)).await
    }

    fn plan(&self, want: &FleetWant, have: &FleetHave) -> Plan {
        plan::plan(want, have)
    }

    fn foretell(&self, change: &Change, have: &FleetHave) -> Option<FleetHave> {
        Some(foretell::after(step::Step::read(change).ok()?, have.clone(), self.inner.host))
    }

    async fn act(&self, change: &Change, epoch: u64) -> Result<(), Fault> {
        let change = change.clone();
        self.blocking(move |inner| inner.act(&change, epoch)).await
    }

    fn can(&self) -> PlatformCapabilities {
        PlatformCapabilities { side_by_side: true, outlives_controller: true, tell_only: true }
    }

    async fn changed(&self, since: u64) {
        let due = own(&self.inner.due).values().min().copied();
        tokio::select! {
            () = self.inner.news.newer_than(since) => {}
            () = until(due) => {
                // Whoever looks next sets it again if it still matters.
                own(&self.inner.due).retain(|_, at| Some(*at) != due);
            }
        }
    }
}

/// Resolves at a time of CLOCK_BOOTTIME, never for none.
async fn until(due_ms: Option<u64>) {
    match due_ms {
        Some(due) => tokio::time::sleep(Duration::from_millis(due.saturating_sub(now_ms()))).await,
        None => std::future::pending().await,
    }
}
