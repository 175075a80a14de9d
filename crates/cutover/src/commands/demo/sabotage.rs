//! The faults that the demo injects on purpose, to show that its proof can fail.
//!
//! Each strikes real processes from outside, at a phase that the server has announced; only
//! `truncate` asks the proxy itself. The faults of the candidate are in its start script instead.

use std::time::Duration;

use drivers::router::proxy::Proxy;
use model::{AppName, Fault, Phase};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinHandle;

use crate::cli::Inject;
use crate::client::Client;
use crate::server::api::ServerStatus;
use crate::server::layout::Layout;

/// How long the path stands still in `stall`.
const STALL: Duration = Duration::from_secs(1);

/// Breaks one thing at the right moment.
#[derive(Debug)]
pub(super) struct Saboteur {
    /// What to break from outside, and in which phase.
    plan: Option<(Inject, Phase)>,
    means: Means,
    blow: Option<JoinHandle<Result<(), Fault>>>,
}

/// What it takes to strike.
#[derive(Clone, Debug)]
struct Means {
    client: Client,
    layout: Layout,
}

impl Saboteur {
    /// Breaks `inject`, or nothing.
    pub(super) fn new(inject: Option<Inject>, client: Client, layout: Layout) -> Self {
        let plan = inject.and_then(|inject| Some((inject, moment(inject)?)));
        Self { plan, means: Means { client, layout }, blow: None }
    }

    /// A phase was entered: strikes if it is the one.
    pub(super) fn at(&mut self, phase: Phase) {
        let Some((inject, _)) = self.plan.filter(|(_, moment)| *moment == phase) else { return };
        let means = self.means.clone();
        self.blow.get_or_insert_with(|| tokio::spawn(async move { means.strike(inject).await }));
    }

    /// Whether what was to be broken was: a verdict on anything else shows nothing.
    pub(super) async fn struck(self) -> Result<(), Fault> {
        let Some((inject, moment)) = self.plan else { return Ok(()) };
        let why = match self.blow {
            None => format!("the rollout never came to {moment}"),
            Some(blow) => match blow.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(fault)) => fault.to_string(),
                Err(lost) => lost.to_string(),
            },
        };
        let what = format!("the fault `{}` could not be injected: {why}", inject.name());
        Err(Fault::internal(what).help("what is told above is a rollout without it: run it again"))
    }
}

/// The phase in which a fault strikes from outside; the others are in the candidate.
const fn moment(inject: Inject) -> Option<Phase> {
    match inject {
        Inject::KillBeforeDrain | Inject::CandidateDies | Inject::Truncate => Some(Phase::Baking),
        Inject::Stall => Some(Phase::Shifting),
        Inject::CandidateErrors | Inject::CandidateNeverReady => None,
    }
}

impl Means {
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
        instances(&status, version)?.into_iter().try_for_each(|pid| signal(pid, Signal::KILL))
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

/// The instances of a version, by pid; at least one.
fn instances(status: &ServerStatus, version: &str) -> Result<Vec<u32>, Fault> {
    let all = status.apps.iter().flat_map(|app| &app.instances);
    let its = all.filter(|instance| instance.version == version).map(|instance| instance.pid);
    let pids: Vec<u32> = its.collect();
    if pids.is_empty() {
        return Err(Fault::environment(format!("no instance of {version} runs")));
    }
    Ok(pids)
}

fn signal(pid: u32, signal: Signal) -> Result<(), Fault> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Fault::internal("there is no such process"))?;
    kill_process(pid, signal).map_err(|e| Fault::environment(format!("it cannot be reached: {e}")))
}

#[cfg(test)]
mod tests {
    use model::{Kind, Phase};

    use super::{Saboteur, instances};
    use crate::cli::Inject;
    use crate::client::Client;
    use crate::server::api::ServerStatus;
    use crate::server::layout::Layout;

    /// Where no server is.
    fn saboteur(inject: Option<Inject>) -> Saboteur {
        let directory = std::env::temp_dir().join("cutover-no-demo");
        let layout = Layout::at(&directory).unwrap();
        Saboteur::new(inject, Client::new(&layout.api_socket()), layout)
    }

    #[tokio::test]
    async fn a_fault_that_did_not_strike_is_no_result() {
        for inject in
            [Inject::KillBeforeDrain, Inject::CandidateDies, Inject::Truncate, Inject::Stall]
        {
            let mut saboteur = saboteur(Some(inject));
            for phase in [Phase::Shifting, Phase::Baking] {
                saboteur.at(phase);
            }
            let fault = saboteur.struck().await.unwrap_err();
            let what = format!("the fault `{}` could not be injected: ", inject.name());
            assert!(fault.kind == Kind::Internal && fault.what.starts_with(&what), "{fault}");
        }
        let mut early = saboteur(Some(Inject::Truncate));
        early.at(Phase::Shifting);
        let fault = early.struck().await.unwrap_err();
        assert!(fault.what.ends_with("the rollout never came to baking"), "{fault}");
    }

    #[tokio::test]
    async fn what_is_in_the_candidate_or_nowhere_needs_no_strike() {
        for inject in [None, Some(Inject::CandidateErrors), Some(Inject::CandidateNeverReady)] {
            saboteur(inject).struck().await.unwrap();
        }
    }

    #[test]
    fn whoever_kills_a_version_that_does_not_run_has_killed_nobody() {
        let nothing = serde_json::json!({ "pid": 1, "epoch": 1, "listen": [], "apps": [] });
        let status: ServerStatus = serde_json::from_value(nothing).unwrap();
        assert_eq!(instances(&status, "v1").unwrap_err().what, "no instance of v1 runs");
    }
}
