//! The driver of nginx: one generated file for each app, and reloads whose effect is observed.
//!
//! A file holds upstreams, shares and rules of an app, and a `server` on a loopback address by which
//! each worker says what it runs. A change is written, tested by nginx itself, and reloaded; it is in
//! effect when no worker is left that takes requests, on new connections or on kept ones, and was there
//! before. What is open on instances is
//! counted by connections, and so is who may still bring them something from a worker that ends. nginx itself, its start and its end, are somebody else's.

mod act;
mod bypass;
mod checks;
mod clients;
mod conf;
mod foretell;
#[cfg(test)]
mod fuzz;
mod heard;
mod install;
mod location;
mod master;
mod named;
mod plan;
mod record;
mod review;
mod rule;
mod sample;
mod scope;
mod seen;
mod setup;
mod step;
mod test_run;
mod words;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use model::{AppName, Change, Fault, InstanceId, Kind, Plan, ReleaseId, Routes, Weight};
use tokio::time::timeout;

pub use install::install;
pub use review::cuts;
pub use rule::unfit;
pub use sample::{objection, sample};
pub use setup::{AppSetup, Program, Setup};

use super::driver::{ChangeKind, Drain, Evidence, Open, Router, RouterCapabilities, RoutesHave};
use super::fenced::Fenced as _;
use super::finding::Finding;
use super::open;
use checks::Checks;
use master::Worker;
use record::Record;
use seen::Seen;
use step::Step;

/// How long after it closes kept connections a worker may still be seen with one, ms.
const SLACK_MS: u64 = 1_000;

/// How long a reload usually takes at most, and how often it is looked at.
const MOMENT: Duration = Duration::from_secs(2);
const PACE: Duration = Duration::from_millis(10);
/// How often one is asked whose worker is not found among those of the master.
const TRIES: u32 = 3;

/// An nginx and the files that it includes.
#[derive(Debug)]
pub struct Nginx {
    setup: Setup,
    checks: Checks,
    /// One change at a time: a step looks, compares and changes.
    acting: tokio::sync::Mutex<()>,
}

impl Nginx {
    /// Nothing is asked until the first look.
    pub fn new(setup: Setup) -> Self {
        Self { setup, checks: Checks::default(), acting: tokio::sync::Mutex::default() }
    }

    /// Its master, if the pid file tells the truth. A fault of kind `Environment` means that it is away
    /// and may come; any other one that waiting helps nobody.
    pub fn reach(&self) -> Result<u32, Fault> {
        master::find(&self.setup.pid).map(|master| master.pid)
    }

    /// Compares what runs and what is written with what is needed, before anything is touched. What
    /// makes it impossible (a configuration that nginx refuses, one that does not include the files, a
    /// pid file that names another nginx, a missing program) is a fault; what would lose requests is a
    /// finding.
    pub async fn preflight(&self, apps: &[AppName]) -> Result<Vec<Finding>, Fault> {
        let text = test_run::test(&self.setup.program).await?;
        let mut version = String::new();
        for app in apps {
            if !self.setup.file(app).exists() {
                let what = format!("`{}` is not there", self.setup.file(app).display());
                let help = "run `cutover nginx install`, then reload nginx";
                return Err(Fault::new(Kind::Config, what).help(help));
            }
            version = self.observe(app).await?.0.version;
        }
        let own = self.setup.apps.iter().filter(|one| apps.contains(&one.name));
        review::review(&text, &version, &own.collect::<Vec<_>>())
    }

    /// Has nginx test its configuration as it is now.
    pub async fn tested(&self) -> Result<(), Fault> {
        test_run::test(&self.setup.program).await.map(drop)
    }

    /// What a worker says, and all workers.
    async fn observe(&self, app: &AppName) -> Result<(heard::Heard, Vec<Worker>, u32), Fault> {
        let master = master::find(&self.setup.pid)?;
        let mut pid = 0;
        for _ in 0..TRIES {
            let before = master.workers();
            let heard = heard::hear(self.setup.control, app).await?;
            let workers = master.workers();
            // One that has ended since it answered was one, too.
            let mut all = before.iter().chain(&workers);
            if all.any(|worker| worker.process.pid == heard.pid) {
                return Ok((heard, workers, master.pid));
            }
            pid = heard.pid;
        }
        let file = self.setup.pid.display();
        let what = format!(
            "the nginx that answers on {} (worker {pid}) is not that of the pid file `{file}`",
            self.setup.control
        );
        Err(Fault::new(Kind::Config, what).help(
            "write under [router] as `pid` what this nginx has as `pid`, and run both on one \
                   machine",
        ))
    }

    /// Waits until a reload is taken up, as it is within a moment; what takes longer is waited for from
    /// look to look.
    async fn wait_a_moment(&self, app: &AppName) {
        let looks = async {
            while self.seen(app).await.is_ok_and(|(seen, _)| !seen.taken_up()) {
                tokio::time::sleep(PACE).await;
            }
        };
        drop(timeout(MOMENT, looks).await);
    }

    /// Everything about one app.
    async fn seen(&self, app: &AppName) -> Result<(Seen, u32), Fault> {
        let (heard, workers, pid) = self.observe(app).await?;
        let record = Record::read(&self.setup.record(app))?;
        let text = std::fs::read_to_string(self.setup.file(app)).unwrap_or_default();
        let due = conf::render(app, record.routes.as_ref(), record.generation, self.setup.control);
        let told_ms = record.told.as_ref().and_then(|told| told.at.ago_ms());
        // Of another start of the machine, no worker of then is left.
        let told = record.told.as_ref().filter(|_| told_ms.is_some());
        // Whoever came later, as by a reload of somebody else, runs what is written.
        let old =
            |worker: &&Worker| told.is_some_and(|told| told.workers.contains(&worker.process));
        let (ending, taking): (Vec<Worker>, Vec<Worker>) =
            workers.iter().filter(old).partition(|worker| worker.ending);
        let within = |ms: u64| told_ms.is_some_and(|told| told < ms.saturating_add(SLACK_MS));
        // Who has been silent for longer than a request lasts is not waited for.
        let unserved =
            if within(self.setup.longest_ms(app)) { clients::unserved(pid, &ending) } else { 0 };
        let seen = Seen {
            app: app.clone(),
            edited: text != due,
            served: heard.generation,
            old: taking.len(),
            lingering: within(record.kept_ms) && !ending.is_empty(),
            unserved,
            told_ms,
            checked: self.checks.of(app).await,
            record,
        };
        Ok((seen, pid))
    }
}

/// What is open per release and per instance. To what gets nothing any more, each client of a worker that
/// ends may still bring something, which counts as a request.
fn open_on(seen: &Seen, pid: u32) -> (BTreeMap<ReleaseId, Open>, BTreeMap<InstanceId, Open>) {
    let connections = open::connections(pid);
    let mut releases: BTreeMap<ReleaseId, Open> = BTreeMap::new();
    let mut instances = BTreeMap::new();
    let routes = seen.record.routes.as_ref();
    let pools = routes.iter().flat_map(|routes| &routes.pools);
    let carried = pools.flat_map(|pool| {
        let fed = routes.is_some_and(|routes| conf::fed(routes, pool));
        pool.instances.iter().map(move |one| (pool.release, one, fed))
    });
    let left = seen.record.left.iter().map(|left| (left.release, &left.instance, false));
    let unsettled = seen.lingering || !seen.in_effect();
    let coming = Open { requests: seen.unserved.max(u64::from(unsettled)), tunnels: 0 };
    let mut parted = BTreeSet::new();
    for (release, one, fed) in carried.chain(left) {
        let requests = connections.get(&one.address).copied().unwrap_or_default();
        let mut open = Open { requests, tunnels: 0 };
        let all = releases.entry(release).or_default();
        all.add(open);
        if !fed {
            open.add(coming);
            // Each comes to one of its instances.
            if parted.insert(release) {
                all.add(coming);
            }
        }
        instances.insert(one.id.clone(), open);
    }
    (releases, instances)
}

#[async_trait]
impl Router for Nginx {
    async fn look(&self, app: &AppName) -> Result<RoutesHave, Fault> {
        let (seen, pid) = self.seen(app).await?;
        let (open, instances) = open_on(&seen, pid);
        Ok(RoutesHave {
            routes: seen.carried().cloned(),
            open,
            instances,
            epoch: seen.record.epoch,
            pid: Some(pid),
            detail: serde_json::to_value(&seen).unwrap_or_default(),
            ..RoutesHave::nothing(app.clone())
        })
    }

    fn plan(&self, want: Option<&Routes>, have: &RoutesHave) -> Plan {
        match serde_json::from_value::<Seen>(have.detail.clone()) {
            Ok(seen) => plan::plan(want, &seen),
            // Not from a look of this driver: nothing can be said but that it is not settled.
            Err(_) => Plan { changes: Vec::new(), waiting: vec!["a look at nginx".to_owned()] },
        }
    }

    fn foretell(&self, change: &Change, have: &RoutesHave) -> Option<RoutesHave> {
        let seen = serde_json::from_value::<Seen>(have.detail.clone()).ok()?;
        let seen = foretell::after(Step::read(change).ok()?, seen)?;
        let detail = serde_json::to_value(&seen).ok()?;
        Some(RoutesHave { routes: seen.carried().cloned(), detail, ..have.clone() })
    }

    async fn act(&self, change: &Change, epoch: u64) -> Result<(), Fault> {
        let step = Step::read(change)?;
        let (app, reloads) = (step.relies_on().0.clone(), step.reloads());
        let _one_at_a_time = self.acting.lock().await;
        act::act(&self.setup, &self.checks, (step, &change.words), epoch).await?;
        if reloads {
            self.wait_a_moment(&app).await;
        }
        Ok(())
    }

    fn can(&self) -> RouterCapabilities {
        RouterCapabilities {
            finest_weight: Weight::new(1).unwrap_or_default(),
            // Requests and tunnels are connections alike.
            drain: Drain::Timed,
            change: ChangeKind::Eventual,
            header_rules: true,
            hold: false,
            hand_over: false,
            other_rules: false,
            spread: false,
            evidence: Evidence::ProberOnly,
        }
    }
}
