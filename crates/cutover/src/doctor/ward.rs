//! Where throw-away instances live: a state directory of their own under TMPDIR, and the process platform.
//!
//! All that was started here ends here. It knows no trial.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::Duration;

use drivers::platform::process::{Process, Surroundings};
use drivers::platform::{
    Condition, FleetHave, FleetWant, InstanceHave, Platform as _, ReleaseWant,
};
use model::{AppName, Fault, Kind, Release, ReleaseId, RunState};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::Config;
use crate::server::notify;

/// Nobody else acts in the directory.
const EPOCH: u64 = 1;
/// Longest pause between two looks.
const PACE: Duration = Duration::from_millis(50);
/// What is told to end at the close has this long, ms.
const HURRY_MS: u64 = 1_000;
/// How long the close waits for all to be gone: on a machine with far more to do than it can, even what was
/// killed needs its time to be seen gone.
const CLOSE: Duration = Duration::from_secs(30);

/// A place for throw-away instances of one app.
#[derive(Debug)]
pub(super) struct Ward {
    directory: PathBuf,
    platform: Process,
    app: AppName,
    /// Releases that are to run, one instance each.
    wanted: Mutex<Vec<Release>>,
}

impl Ward {
    /// Makes the directory; nothing runs yet. Instances inherit what those of `cutover up` would.
    pub(super) fn open(config: &Config, app: &AppName) -> Result<Self, Fault> {
        let name = format!("cutover-doctor-{}-{:04x}", std::process::id(), fastrand::u16(..));
        let directory = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&directory).map_err(|e| {
            Fault::environment(format!("{} cannot be used: {e}", directory.display()))
                .help("set TMPDIR to a directory that you can write")
        })?;
        let surroundings = Surroundings::of(notify::for_others()).reserving(config.secrets());
        let opened = Process::open_at(&directory, surroundings, config.router.address());
        if opened.is_err() {
            // Nothing of use is in it.
            drop(std::fs::remove_dir_all(&directory));
        }
        let platform = opened?;
        Ok(Self { directory, platform, app: app.clone(), wanted: Mutex::default() })
    }

    /// From now on an instance of `release` is wanted.
    pub(super) async fn want(&self, release: &Release) {
        self.wanted.lock().await.push(release.clone());
    }

    /// From now on nothing is done about a release until the close: what runs of it is told and watched
    /// by whoever asks this.
    pub(super) async fn let_be(&self, release: ReleaseId) {
        self.wanted.lock().await.retain(|wanted| wanted.id != release);
    }

    /// Looks.
    pub(super) async fn look(&self) -> Result<FleetHave, Fault> {
        self.platform.look(&self.app).await
    }

    /// Looks, and takes the steps toward what is wanted of `release` alone.
    pub(super) async fn turn(&self, release: ReleaseId) -> Result<FleetHave, Fault> {
        // One turn at a time: what a plan relies on must hold until it is done.
        let wanted = self.wanted.lock().await;
        let have = self.look().await?;
        let Some(release) = wanted.iter().find(|wanted| wanted.id == release) else {
            return Ok(have);
        };
        let alone = FleetHave {
            instances: have.of(release.id).cloned().collect(),
            releases: have
                .releases
                .iter()
                .filter(|r| r.release.id == release.id)
                .cloned()
                .collect(),
            ..have.clone()
        };
        self.take(&want(&self.app, [(release.clone(), 1, RunState::Running)]), &alone).await?;
        drop(wanted);
        Ok(have)
    }

    /// Resolves when something may have changed since a look, after a moment in any case.
    pub(super) async fn changed(&self, have: &FleetHave) {
        tokio::select! {
            () = self.platform.changed(have.change) => {}
            () = tokio::time::sleep(PACE) => {}
        }
    }

    /// Where an instance listens, whatever it was told.
    pub(super) fn listening(&self, instance: &InstanceHave) -> Vec<std::net::SocketAddr> {
        self.platform.listening(instance)
    }

    async fn take(&self, want: &FleetWant, have: &FleetHave) -> Result<(), Fault> {
        for change in self.platform.plan(want, have).changes {
            match self.platform.act(&change, EPOCH).await {
                // Something ended meanwhile: the next look shows it.
                Err(fault) if fault.kind == Kind::Conflict => break,
                acted => acted?,
            }
        }
        Ok(())
    }

    /// Ends everything and removes the directory.
    pub(super) async fn close(self) -> Result<(), Fault> {
        let deadline = Instant::now() + CLOSE;
        loop {
            let have = self.look().await?;
            let left = |i: &InstanceHave| i.condition != Condition::Ended || i.left_behind;
            if !have.instances.iter().any(left) {
                break;
            }
            if Instant::now() > deadline {
                return Err(still_there(have.instances.iter().filter(|i| left(i))));
            }
            let gone = have.releases.iter().map(|known| {
                let stop_timeout_ms = known.release.stop_timeout_ms.min(HURRY_MS);
                (Release { stop_timeout_ms, ..known.release.clone() }, 0, RunState::Gone)
            });
            self.take(&want(&self.app, gone), &have).await?;
            self.changed(&have).await;
        }
        // A log that is left over is no reason to fail.
        drop(std::fs::remove_dir_all(&self.directory));
        Ok(())
    }
}

/// The refusal that names what does not end, and what to look for.
fn still_there<'i>(left: impl Iterator<Item = &'i InstanceHave>) -> Fault {
    let name = |i: &InstanceHave| match i.pid {
        Some(pid) => format!("{} (pid {pid}, {:?})", i.id, i.condition),
        None => format!("{} ({:?})", i.id, i.condition),
    };
    let names: Vec<String> = left.map(name).collect();
    let what = format!("still there {} s after SIGKILL: {}", CLOSE.as_secs(), names.join(", "));
    Fault::environment(what).help("end it by hand, then run this again")
}

fn want(app: &AppName, releases: impl IntoIterator<Item = (Release, u16, RunState)>) -> FleetWant {
    let releases = releases.into_iter();
    let releases = releases.map(|(release, instances, state)| ReleaseWant {
        release,
        instances,
        state,
        leave: None,
    });
    FleetWant { app: app.clone(), releases: releases.collect() }
}
