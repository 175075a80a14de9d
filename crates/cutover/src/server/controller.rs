//! One app's controller: the loop look → tell the machine → settle → wait.
//!
//! It carries out what the machine wants and never decides itself when traffic moves. Whatever goes
//! wrong in a turn is said and tried again in the next one; what serves goes on serving.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drivers::platform::FleetHave;
use drivers::router::RoutesHave;
use model::{AppName, Event, Fault, Kind, Outcome, Plan, Release, ReleaseId, Version};
use tokio::sync::{mpsc, oneshot, watch};

use super::active::Active;
use super::bus::{Bus, Ended, Notice};
use super::desired::{Address, Desired, compose, seen};
use super::evidence::{Evidence, Finished, Inner};
use super::orders::{AppStatus, Order};
use super::show;
use super::tools::Tools;
use crate::clock;
use crate::config::AppConfig;
use crate::store::{Entry, NewRun, Run};

/// Longest pause between two looks while a rollout is under way.
const PACE_ROLLOUT: Duration = Duration::from_millis(50);
/// Longest pause between two looks when nothing is under way.
const PACE_STEADY: Duration = Duration::from_millis(500);

/// One app's controller.
pub(super) struct Controller {
    app: AppName,
    config: AppConfig,
    tools: Tools,
    bus: Arc<Bus>,
    status: watch::Sender<AppStatus>,
    orders: mpsc::Receiver<Order>,
    inner: mpsc::Receiver<Inner>,
    evidence: Evidence,
    stable: Option<Release>,
    active: Option<Active>,
    /// The release being shipped.
    candidate: Option<Release>,
    said: usize,
    /// The platform's mark at the last look.
    change: u64,
    trouble: Option<String>,
    stopping: Option<oneshot::Sender<()>>,
}

impl Controller {
    /// Loads the app's state and resumes its open rollout, if there is one.
    pub(super) fn load(
        (app, config): (AppName, AppConfig),
        tools: Tools,
        bus: Arc<Bus>,
        status: watch::Sender<AppStatus>,
        orders: mpsc::Receiver<Order>,
    ) -> Result<Self, Fault> {
        let stable = tools.store.stable(&app)?;
        let (sender, inner) = mpsc::channel(256);
        let evidence = Evidence::new(tools.clone(), Arc::clone(&bus), sender);
        let open = tools.store.open_run(&app)?;
        let mut controller = Self {
            candidate: None,
            app,
            config,
            bus,
            status,
            orders,
            inner,
            evidence,
            stable,
            active: None,
            said: 0,
            change: 0,
            trouble: None,
            stopping: None,
            tools,
        };
        if let Some(run) = open {
            let candidate = run.start.candidate.id;
            let active = Active::resume(Arc::clone(&controller.tools.store), run)?;
            controller.candidate =
                Some(controller.tools.store.release(&controller.app, candidate)?);
            controller.take_up(active);
        } else if let Some(run) = controller.tools.store.last_run(&controller.app)? {
            controller.recall(&run);
        }
        Ok(controller)
    }

    /// Works until it is told to stop and nothing runs any more.
    pub(super) async fn run(mut self) {
        loop {
            let pause = match self.turn().await {
                Ok(pause) => {
                    self.trouble = None;
                    pause
                }
                Err(fault) => {
                    self.complain(&fault);
                    PACE_STEADY
                }
            };
            if self.stopping.is_some() && self.status.borrow().instances.is_empty() {
                break;
            }
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => break,
                },
                Some(inner) = self.inner.recv() => self.hear(inner).await,
                () = self.tools.platform.changed(self.change) => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Some(reply) = self.stopping.take() {
            // The server waits for this; if it does not, it is gone.
            let _gone = reply.send(());
        }
    }

    /// One turn. Answers how long nothing needs to be looked at.
    async fn turn(&mut self) -> Result<Duration, Fault> {
        let fleet = self.tools.platform.look(&self.app).await?;
        self.change = fleet.change;
        let routes = match self.tools.router.look(&self.app).await {
            Ok(routes) => routes,
            Err(fault) => {
                // Instances are looked after also while the router is away.
                self.settle_fleet(&fleet).await?;
                self.show(&fleet, &unseen(&self.app));
                return if self.stopping.is_some() { Ok(PACE_ROLLOUT) } else { Err(fault) };
            }
        };
        self.observe(&fleet, &routes)?;
        let settled = self.settle_routes(&fleet, &routes).await?;
        let acted = self.settle_fleet(&fleet).await?;
        self.show(&fleet, &routes);
        self.gather(&fleet).await?;
        if !settled || acted {
            return Ok(Duration::ZERO);
        }
        let Some(active) = &self.active else {
            return Ok(if self.stopping.is_some() { PACE_ROLLOUT } else { PACE_STEADY });
        };
        let wake = active.wake_in_ms().map_or(PACE_ROLLOUT, Duration::from_millis);
        Ok(wake.min(PACE_ROLLOUT))
    }

    /// Tells the machine what was seen.
    fn observe(&mut self, fleet: &FleetHave, routes: &RoutesHave) -> Result<(), Fault> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let start = &active.run().start;
        let candidate = start.candidate.id;
        let releases: Vec<ReleaseId> =
            start.stable.iter().map(|named| named.id).chain([candidate]).collect();
        active.tick()?;
        for release in releases {
            active.saw_fleet(release, fleet.seen(release))?;
            let open = routes.open_on(release);
            active.saw_open(release, (open.requests, open.tunnels))?;
        }
        self.say_phases();
        Ok(())
    }

    /// Moves the router toward what is wanted. False when there is more to do at once.
    async fn settle_routes(&mut self, fleet: &FleetHave, have: &RoutesHave) -> Result<bool, Fault> {
        if self.stopping.is_some() {
            return Ok(true);
        }
        let committed = self.tools.store.committed_routes(&self.app)?;
        let current = have.routes.as_ref().or(committed.as_ref());
        let desired = self.desired();
        let address = Address {
            hosts: self.config.hosts.clone(),
            path_prefix: self.config.path_prefix.clone(),
        };
        let want =
            compose(&self.app, &address, &desired.pools(|id| self.release(id)), fleet, current);
        let plan = self.tools.router.plan(Some(&want), have);
        if !plan.settled() {
            let router = Arc::clone(&self.tools.router);
            self.act(&plan, |change, epoch| {
                let router = Arc::clone(&router);
                let change = change.clone();
                Box::pin(async move { router.act(&change, epoch).await })
            })
            .await?;
            return Ok(plan.changes.is_empty());
        }
        if let Some(routes) = &have.routes
            && !committed.as_ref().is_some_and(|committed| committed.same_as(routes))
        {
            self.tools.store.commit_routes(routes)?;
        }
        let Some(active) = &mut self.active else { return Ok(true) };
        let Some(pools) = have.routes.as_ref().and_then(seen) else { return Ok(true) };
        let news = active.saw_routes(pools)?;
        self.say_phases();
        Ok(!news)
    }

    /// Moves the platform toward what is wanted. True when something was done.
    async fn settle_fleet(&mut self, have: &FleetHave) -> Result<bool, Fault> {
        let want = self.desired().fleet(&self.app, |id| self.release(id));
        let plan = self.tools.platform.plan(&want, have);
        let platform = Arc::clone(&self.tools.platform);
        self.act(&plan, |change, epoch| {
            let platform = Arc::clone(&platform);
            let change = change.clone();
            Box::pin(async move { platform.act(&change, epoch).await })
        })
        .await?;
        Ok(!plan.changes.is_empty())
    }

    /// Carries out a driver's changes, each framed by the journal while a rollout is under way.
    async fn act<F>(&self, plan: &Plan, perform: F) -> Result<(), Fault>
    where
        F: Fn(&model::Change, u64) -> futures_util::future::BoxFuture<'static, Result<(), Fault>>,
    {
        for change in &plan.changes {
            if let Some(active) = &self.active {
                active.note(&Entry::Intent(&change.words))?;
            }
            let done = perform(change, self.tools.epoch).await;
            if let Some(active) = &self.active {
                let words = match &done {
                    Ok(()) => change.words.clone(),
                    Err(fault) => format!("failed: {}: {fault}", change.words),
                };
                active.note(&Entry::Done(&words))?;
            }
            done?;
        }
        Ok(())
    }

    /// Looks after preview and prober, and ends the rollout when all is in.
    async fn gather(&mut self, fleet: &FleetHave) -> Result<(), Fault> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let finished = self.evidence.gather(active, &self.config, fleet).await?;
        self.say_phases();
        match finished {
            Some(finished) => self.end(&finished),
            None => Ok(()),
        }
    }

    /// Something of ours reports back.
    async fn hear(&mut self, inner: Inner) {
        let Some(active) = &mut self.active else { return };
        if let Err(fault) = self.evidence.hear(active, inner).await {
            self.complain(&fault);
        }
        self.say_phases();
    }

    async fn obey(&mut self, order: Order) {
        // Whoever gave the order may have gone away; that changes nothing.
        match order {
            Order::Deploy { version, reply } => {
                let _gone = reply.send(self.deploy(&version));
            }
            Order::Abort { reason, interrupted, reply } => {
                let _gone = reply.send(self.abort(reason, interrupted));
            }
            Order::Stop { reply } => self.stop(reply).await,
        }
    }

    fn deploy(&mut self, version: &Version) -> Result<String, Fault> {
        if self.stopping.is_some() {
            return Err(Fault::new(Kind::Conflict, "the server is stopping"));
        }
        if let Some(active) = &self.active {
            let what = format!(
                "{} is being moved to {} (run {}, {})",
                self.app,
                active.run().start.candidate.version,
                active.run().run,
                active.machine().phase()
            );
            let help = format!("wait for it, or `cutover abort {}` first", self.app);
            return Err(Fault::new(Kind::Conflict, what).help(help));
        }
        let store = &self.tools.store;
        let id = store.next_release_id(&self.app)?;
        let release = self.config.release(id, version)?;
        let now_ms = clock::unix_ms();
        store.add_release(&release, now_ms)?;
        let start = self.evidence.start(&self.config, self.stable.as_ref(), &release);
        let original = store.committed_routes(&self.app)?;
        let run = store.begin(&NewRun {
            run: &new_run_id(),
            start: &start,
            original_routes: original.as_ref(),
            boot_id: &clock::boot_id()?,
            began_mono_ns: clock::mono_ns(),
            began_unix_ms: now_ms,
            epoch: self.tools.epoch,
        })?;
        let name = run.run.clone();
        self.candidate = Some(release);
        self.take_up(Active::begin(Arc::clone(store), run));
        Ok(name)
    }

    fn abort(&mut self, reason: String, interrupted: bool) -> Result<String, Fault> {
        let Some(active) = &mut self.active else {
            return Ok(format!("nothing to abort: no rollout of {} is under way", self.app));
        };
        if interrupted {
            self.evidence.interrupt();
        }
        if active.machine().promotion_is_final() {
            let version = &active.run().start.candidate.version;
            return Ok(format!("{version} is promoted already; the rollout finishes"));
        }
        active.tell(Event::AbortAsked { reason })?;
        self.say_phases();
        Ok(match &self.stable {
            Some(stable) => format!("aborting: users stay on {} or return to it", stable.version),
            None => "aborting: nothing serves yet".to_owned(),
        })
    }

    /// Ends an open rollout where it stands and wants everything gone.
    async fn stop(&mut self, reply: oneshot::Sender<()>) {
        self.stopping = Some(reply);
        self.evidence.stop().await;
        if let Some(active) = &self.active {
            let (outcome, users_on) = if active.machine().promotion_is_final() {
                (Outcome::Promoted, Some(active.run().start.candidate.id))
            } else {
                (Outcome::Aborted, self.stable.as_ref().map(|release| release.id))
            };
            let finished = Finished { outcome, verdict: None, report: false };
            let ended = self.tools.store.end(active.run(), outcome, users_on);
            if let Err(fault) = ended {
                self.complain(&fault);
            }
            self.say_ended(&finished, "the server was stopped".to_owned());
            self.active = None;
        }
    }

    /// The rollout is over: the stable pointer moves (or not) and everybody is told.
    fn end(&mut self, finished: &Finished) -> Result<(), Fault> {
        let Some(active) = &self.active else { return Ok(()) };
        let candidate = active.run().start.candidate.id;
        let users_on = match finished.outcome {
            Outcome::Promoted => Some(candidate),
            _ => self.stable.as_ref().map(|release| release.id),
        };
        self.tools.store.end(active.run(), finished.outcome, users_on)?;
        self.stable = self.tools.store.stable(&self.app)?;
        let why = active.reason();
        self.say_ended(finished, why);
        self.active = None;
        self.candidate = None;
        Ok(())
    }

    fn say_ended(&self, finished: &Finished, why: String) {
        let Some(active) = &self.active else { return };
        let start = &active.run().start;
        let users_on = match finished.outcome {
            Outcome::Promoted => Some(&start.candidate),
            _ => start.stable.as_ref(),
        };
        self.bus.say(Notice::Ended(Ended {
            run: active.run().run.clone(),
            at_ms: active.clock().now_ms(),
            outcome: finished.outcome,
            verdict: finished.verdict,
            why,
            users_on: users_on.map(|named| named.version.to_string()),
            report: finished.report,
        }));
    }

    fn take_up(&mut self, active: Active) {
        let start = &active.run().start;
        self.bus.say(Notice::Began {
            run: active.run().run.clone(),
            from: start.stable.as_ref().map(|named| named.version.to_string()),
            to: start.candidate.version.to_string(),
            began_unix_ms: active.run().began_unix_ms,
        });
        self.evidence.reset();
        self.active = Some(active);
        self.said = 0;
        self.say_phases();
    }

    /// Says how the last rollout ended, for those who watched it when an earlier server died.
    fn recall(&self, run: &Run) {
        let start = &run.start;
        let name = |named: &rollout::Named| named.version.to_string();
        self.bus.say(Notice::Began {
            run: run.run.clone(),
            from: start.stable.as_ref().map(name),
            to: name(&start.candidate),
            began_unix_ms: run.began_unix_ms,
        });
        let Some(outcome) = run.outcome else { return };
        self.bus.say(Notice::Ended(Ended {
            run: run.run.clone(),
            at_ms: 0,
            outcome,
            verdict: None,
            why: "it ended before this server started".to_owned(),
            users_on: self.stable.as_ref().map(|release| release.version.to_string()),
            report: self.tools.layout.report(&run.run, "json").exists(),
        }));
    }

    fn say_phases(&mut self) {
        let Some(active) = &self.active else { return };
        for entered in active.entered().iter().skip(self.said) {
            self.bus.say(Notice::Phase(entered.clone()));
        }
        self.said = active.entered().len();
    }

    fn complain(&mut self, fault: &Fault) {
        let text = fault.to_string();
        if self.trouble.as_ref() != Some(&text) {
            tracing::warn!(app = %self.app, "{text}");
            let at_ms = self.active.as_ref().map_or(0, |active| active.clock().now_ms());
            self.bus.say(Notice::Note { at_ms, text: text.clone() });
            self.trouble = Some(text);
        }
    }

    fn desired(&self) -> Desired {
        match (&self.stopping, &self.active) {
            (Some(_), _) => Desired::nothing(),
            (None, Some(active)) => Desired::of(&active.wants()),
            (None, None) => Desired::steady(self.stable.as_ref(), self.config.instances),
        }
    }

    /// The release of that number, if it is one that may run now.
    fn release(&self, id: ReleaseId) -> Option<&Release> {
        self.stable.iter().chain(&self.candidate).find(|release| release.id == id)
    }

    fn show(&mut self, fleet: &FleetHave, routes: &RoutesHave) {
        let mut status = show::status(&self.app, self.stable.as_ref(), fleet, routes);
        status.rollout = self.active.as_ref().map(|active| {
            let run = active.run();
            (run.run.clone(), run.start.candidate.version.to_string(), active.machine().phase())
        });
        status.trouble.clone_from(&self.trouble);
        let last = self.tools.store.last_run(&self.app).ok().flatten();
        show::conclude(&mut status, last.as_ref());
        self.status.send_replace(status);
        if let Some(active) = &self.active {
            self.evidence.show(active, routes);
        }
    }
}

/// A router that could not be looked at.
fn unseen(app: &AppName) -> RoutesHave {
    RoutesHave {
        app: app.clone(),
        routes: None,
        open: BTreeMap::new(),
        totals: BTreeMap::new(),
        epoch: 0,
        pid: None,
    }
}

/// Public id of a run: eight lower-case letters and digits, without those that look alike.
fn new_run_id() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    (0..8).map(|_| char::from(LETTERS[fastrand::usize(..LETTERS.len())])).collect()
}
