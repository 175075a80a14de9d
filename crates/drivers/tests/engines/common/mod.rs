//! What the tests of the process platform share: a state directory whose processes do not outlive
//! the test, releases of the stand-in server, and bringing a fleet to what is wanted.
//!
//! Servers that carry traffic are in `haproxy`, `nginx` and `consul`.

pub(crate) mod authority;
#[allow(dead_code, reason = "the end to end tests use more of it")]
pub(crate) mod consul;
pub(crate) mod fake_dns;
pub(crate) mod fake_proxy;
#[allow(dead_code, reason = "the end to end tests use more of it")]
pub(crate) mod followers;
pub(crate) mod haproxy;
pub(crate) mod load;
pub(crate) mod nginx;
pub(crate) mod relay;
pub(crate) mod stall;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drivers::platform::process::Process;
use drivers::platform::{FleetHave, FleetWant, Leave, Platform, ReleaseWant};
use model::fleet::HealthCheck;
use model::{AppName, InstanceId, Release, ReleaseId, RunState, Version};
use tokio::time::timeout;

pub(crate) const EPOCH: u64 = 1;
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A state directory; dropping it kills, by pid, every process that carries its mark.
pub(crate) struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub(crate) fn open(&self) -> Process {
        Process::open(&self.path()).unwrap()
    }

    /// Pids of everything started here that lives, whoever started it.
    pub(crate) fn living(&self) -> Vec<u32> {
        let mark = format!("CUTOVER_STATE={}", self.path().display());
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        let marked = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|b| *b == 0).any(|entry| entry == mark.as_bytes())
        };
        pids.filter(marked).filter(|pid| alive(*pid)).collect()
    }

    pub(crate) fn log(&self, instance: &str) -> String {
        let path = self.path().join("logs").join(format!("{instance}.log"));
        std::fs::read_to_string(path).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for pid in self.living() {
            kill(pid, rustix::process::Signal::KILL);
        }
    }
}

pub(crate) fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _gone_already = rustix::process::kill_process(pid, signal);
}

/// True for a process that exists and is no zombie.
pub(crate) fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// The example binary beside the test binaries.
pub(crate) fn stand_in() -> String {
    let exe = std::env::current_exe().unwrap();
    let path = exe.parent().and_then(Path::parent).unwrap().join("examples").join("stand_in");
    assert!(path.exists(), "build the examples first: {}", path.display());
    path.to_str().unwrap().to_owned()
}

pub(crate) fn app() -> AppName {
    AppName::new("demo").unwrap()
}

/// A release of the stand-in with these arguments; quick checks, half a second to stop.
pub(crate) fn release(id: u32, arguments: &[&str]) -> Release {
    let program = stand_in();
    let command = std::iter::once(program.as_str()).chain(arguments.iter().copied());
    Release {
        app: app(),
        id: ReleaseId(id),
        version: Version::new(format!("v{id}")).unwrap(),
        command: command.map(str::to_owned).collect(),
        directory: "/".to_owned(),
        environment: BTreeMap::new(),
        health: HealthCheck {
            path: Some("/healthz".to_owned()),
            command: Vec::new(),
            interval_ms: 20,
            timeout_ms: 200,
            rise: 2,
            fall: 2,
        },
        stop_timeout_ms: 500,
        source: None,
    }
}

pub(crate) fn want(releases: &[(&Release, u16, RunState)]) -> FleetWant {
    let want = |(release, instances, state): &(&Release, u16, RunState)| ReleaseWant {
        release: (*release).clone(),
        instances: *instances,
        state: *state,
        leave: None,
    };
    FleetWant { app: app(), releases: releases.iter().map(want).collect() }
}

/// `stay` instances of the release stay; `leave` says who goes.
pub(crate) fn leaving(release: &Release, stay: u16, leave: Leave) -> FleetWant {
    let mut want = running(release, stay);
    want.releases[0].leave = Some(leave);
    want
}

/// One instance leaves: any (`None`) or this one.
pub(crate) fn one_leaves(named: Option<&str>, state: RunState) -> Leave {
    let named = named.map(|id| InstanceId(id.to_owned())).into_iter().collect();
    Leave { instances: 1, named, state }
}

pub(crate) fn running(release: &Release, instances: u16) -> FleetWant {
    want(&[(release, instances, RunState::Running)])
}

fn record_path(site: &Site) -> PathBuf {
    site.path().join("instances").join("demo-1.json")
}

/// What is on record of release 1.
pub(crate) fn record(site: &Site) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(record_path(site)).unwrap()).unwrap()
}

/// Changes it by hand.
pub(crate) fn edit(site: &Site, change: impl Fn(&mut serde_json::Value)) {
    let mut record = record(site);
    change(&mut record);
    std::fs::write(record_path(site), serde_json::to_vec(&record).unwrap()).unwrap();
}

pub(crate) fn pids(have: &FleetHave) -> Vec<Option<u32>> {
    have.instances.iter().map(|i| i.pid).collect()
}

/// One round: look, plan, take every step.
pub(crate) async fn round(platform: &dyn Platform, want: &FleetWant) -> (FleetHave, bool) {
    let have = platform.look(&want.app).await.unwrap();
    let plan = platform.plan(want, &have);
    for change in &plan.changes {
        platform.act(change, EPOCH).await.unwrap();
    }
    let settled = plan.settled();
    (have, settled)
}

/// Rounds until nothing is left to do or to wait for.
pub(crate) async fn settle(platform: &dyn Platform, want: &FleetWant) -> FleetHave {
    until(platform, want, |_, settled| settled).await
}

/// Rounds until the look satisfies; the platform says itself when looking again is worth it.
pub(crate) async fn until(
    platform: &dyn Platform,
    want: &FleetWant,
    enough: impl Fn(&FleetHave, bool) -> bool,
) -> FleetHave {
    let mut last = None;
    let rounds = async {
        loop {
            let (have, settled) = round(platform, want).await;
            if enough(&have, settled) {
                return have;
            }
            let since = have.change;
            last = Some(have);
            platform.changed(since).await;
        }
    };
    let done = timeout(PATIENCE, rounds).await;
    done.unwrap_or_else(|_| panic!("not within {PATIENCE:?}; last: {last:#?}"))
}
