//! The faults that the demo injects on purpose, to show that its proof can fail.
//!
//! Each strikes real processes from outside, at a phase that the server has announced; only
//! `truncate` asks the proxy itself. The faults of the candidate are in its start script instead.

use std::time::Duration;

use drivers::router::proxy::Proxy;
use model::{AppName, Fault, Phase};
use rustix::process::{Pid, Signal, kill_process};

use crate::cli::Inject;
use crate::client::Client;
use crate::server::layout::Layout;

/// How long the path stands still in `stall`.
const STALL: Duration = Duration::from_secs(1);

/// Breaks one thing at the right moment.
#[derive(Clone, Debug)]
pub(super) struct Saboteur {
    inject: Option<Inject>,
    client: Client,
    layout: Layout,
}

impl Saboteur {
    /// Breaks `inject`, or nothing.
    pub(super) const fn new(inject: Option<Inject>, client: Client, layout: Layout) -> Self {
        Self { inject, client, layout }
    }

    /// A phase was entered: strikes if it is the one.
    pub(super) fn at(&self, phase: Phase) {
        let Some(inject) = self.inject else { return };
        let moment = match inject {
            Inject::KillBeforeDrain | Inject::CandidateDies | Inject::Truncate => Phase::Baking,
            Inject::Stall => Phase::Shifting,
            Inject::CandidateErrors | Inject::CandidateNeverReady => return,
        };
        if phase != moment {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            if let Err(fault) = this.strike(inject).await {
                anstream::eprintln!("the fault could not be injected: {fault}");
            }
        });
    }

    async fn strike(&self, inject: Inject) -> Result<(), Fault> {
        match inject {
            Inject::KillBeforeDrain => self.kill("v1").await,
            Inject::CandidateDies => self.kill("v2").await,
            Inject::Truncate => {
                let proxy = Proxy::new(&self.layout.proxy_socket());
                proxy.truncate(&AppName::new("demo")?, 1).await
            }
            Inject::Stall => self.stall().await,
            Inject::CandidateErrors | Inject::CandidateNeverReady => Ok(()),
        }
    }

    /// Kills every instance of a version, as an out-of-memory killer would.
    async fn kill(&self, version: &str) -> Result<(), Fault> {
        let status = self.client.status().await?;
        let instances = status.apps.into_iter().flat_map(|app| app.instances);
        for instance in instances.filter(|instance| instance.version == version) {
            signal(instance.pid, Signal::KILL)?;
        }
        Ok(())
    }

    /// Stops the proxy for a second, as a starved or migrated machine would.
    async fn stall(&self) -> Result<(), Fault> {
        let seen = Proxy::new(&self.layout.proxy_socket()).seen().await?;
        signal(seen.pid, Signal::STOP)?;
        // The length of the stall is the fault itself, not a wait for something.
        tokio::time::sleep(STALL).await;
        signal(seen.pid, Signal::CONT)
    }
}

fn signal(pid: u32, signal: Signal) -> Result<(), Fault> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Fault::internal("there is no such process"))?;
    kill_process(pid, signal).map_err(|e| Fault::environment(format!("it cannot be reached: {e}")))
}
