//! One app's controller: the loop look → tell the machine → settle → wait.
//!
//! It carries out what the machine wants and never decides itself when traffic moves. Whatever goes
//! wrong in a turn is said and tried again in the next one; what serves goes on serving.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drivers::platform::FleetHave;
use drivers::router::RoutesHave;
use model::{AppName, Event, Fault, Kind, Outcome, Release, ReleaseId, Verdict, Version};
use tokio::sync::{mpsc, oneshot, watch};

use super::active::Active;
use super::begin::begin;
use super::bus::Bus;
use super::desired::{Address, Desired, compose, seen};
use super::ending::Finished;
use super::evidence::{Evidence, Inner};
use super::hands::{self, Way};
use super::orders::{AppStatus, Order};
use super::show;
use super::tools::Tools;
use super::voice::Voice;
use crate::config::AppConfig;

/// Longest pause between two looks while a rollout is under way.
const PACE_ROLLOUT: Duration = Duration::from_millis(50);
/// Longest pause between two looks when nothing is under way.
const PACE_STEADY: Duration = Duration::from_millis(500);

/// One app's controller.
pub(super) struct Controller {
    app: AppName,
    config: AppConfig,
    tools: Tools,
    voice: Voice,
    status: watch::Sender<AppStatus>,
    orders: mpsc::Receiver<Order>,
    inner: mpsc::Receiver<Inner>,
    evidence: Evidence,
    stable: Option<Release>,
    active: Option<Active>,
    /// The release being shipped.
    candidate: Option<Release>,
    /// The platform's mark at the last look.
    change: u64,
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
            voice: Voice::new(app.clone(), bus),
            app,
            config,
            status,
            orders,
            inner,
            evidence,
            stable,
            active: None,
            change: 0,
            stopping: None,
            tools,
        };
        let store = &controller.tools.store;
        if let Some(run) = open {
            let candidate = store.release(&controller.app, run.start.candidate.id)?;
            let active = Active::resume(Arc::clone(store), run)?;
            controller.take_up(candidate, active);
        } else if let Some(run) = store.last_run(&controller.app)? {
            let report = controller.tools.layout.report(&run.run, "json").exists();
            controller.voice.recall(&run, controller.stable.as_ref(), report);
        }
        Ok(controller)
    }

    /// Works until it is told to stop and nothing runs any more.
    pub(super) async fn run(mut self) {
        loop {
            let pause = match self.turn().await {
                Ok(pause) => {
                    self.voice.calm();
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
                Ok(()) = self.tools.router_started.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.evidence.gone().await;
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
        if let Some(finished) = self.gather(&fleet).await? {
            self.end(&finished, &fleet, &routes)?;
        }
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
        self.voice.phases(active);
        Ok(())
    }

    /// Moves the router toward what is wanted. False when there is more to do at once.
    async fn settle_routes(&mut self, fleet: &FleetHave, have: &RoutesHave) -> Result<bool, Fault> {
        if self.stopping.is_some() {
            return Ok(true);
        }
        let store = &self.tools.store;
        let committed = store.committed_routes(&self.app)?;
        let current = have.routes.as_ref().or(committed.as_ref());
        let desired = self.desired();
        let address = Address {
            hosts: self.config.hosts.clone(),
            path_prefix: self.config.path_prefix.clone(),
        };
        let want =
            compose(&self.app, &address, &desired.pools(|id| self.release(id)), fleet, current);
        match hands::routes(&self.tools, self.active.as_ref(), &want, have).await? {
            Way::Settled => {}
            Way::Changed => return Ok(false),
            Way::Waiting => return Ok(true),
        }
        let Some(routes) = &have.routes else { return Ok(true) };
        if !committed.as_ref().is_some_and(|committed| committed.same_as(routes)) {
            store.commit_routes(routes)?;
        }
        let (Some(active), Some(pools)) = (&mut self.active, seen(routes)) else {
            return Ok(true);
        };
        let news = active.saw_routes(pools)?;
        self.voice.phases(active);
        Ok(!news)
    }

    /// Moves the platform toward what is wanted. True when something was done.
    async fn settle_fleet(&self, have: &FleetHave) -> Result<bool, Fault> {
        let want = self.desired().fleet(&self.app, |id| self.release(id));
        hands::fleet(&self.tools, self.active.as_ref(), &want, have).await
    }

    /// Looks after preview and prober; answers when the rollout is over and all is in.
    async fn gather(&mut self, fleet: &FleetHave) -> Result<Option<Finished>, Fault> {
        let Some(active) = &mut self.active else { return Ok(None) };
        let finished = self.evidence.gather(active, &self.config, fleet).await?;
        self.voice.phases(active);
        Ok(finished)
    }

    /// Something of ours reports back.
    async fn hear(&mut self, inner: Inner) {
        let Some(active) = &mut self.active else { return };
        let heard = self.evidence.hear(active, inner).await;
        self.voice.phases(active);
        if let Err(fault) = heard {
            self.complain(&fault);
        }
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
        let ours = (&self.app, &self.config);
        let (release, run) = begin(&self.tools, ours, self.stable.as_ref(), version)?;
        let name = run.run.clone();
        self.take_up(release, Active::begin(Arc::clone(&self.tools.store), run));
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
        self.voice.phases(active);
        Ok(match &self.stable {
            Some(stable) => format!("aborting: users stay on {} or return to it", stable.version),
            None => "aborting: nothing serves yet".to_owned(),
        })
    }

    /// Ends an open rollout where it stands and wants everything gone.
    async fn stop(&mut self, reply: oneshot::Sender<()>) {
        self.stopping = Some(reply);
        self.evidence.stop(self.active.as_ref()).await;
        let Some(active) = self.active.take() else { return };
        let (outcome, users_on) = if active.machine().promotion_is_final() {
            (Outcome::Promoted, Some(active.run().start.candidate.id))
        } else {
            (Outcome::Aborted, self.stable.as_ref().map(|release| release.id))
        };
        if let Err(fault) = self.tools.store.end(active.run(), outcome, users_on) {
            self.complain(&fault);
        }
        // Nobody sees to the end what was being watched.
        let probing = active.run().start.settings.probing;
        let verdict = probing.then_some(Verdict::Inconclusive);
        let finished = Finished { outcome, verdict, report: false };
        self.voice.ended(&active, &finished, "the server was stopped".to_owned());
    }

    /// The rollout is over: the stable pointer moves (or not), the status shows it, and only then
    /// is everybody told.
    fn end(
        &mut self,
        finished: &Finished,
        fleet: &FleetHave,
        routes: &RoutesHave,
    ) -> Result<(), Fault> {
        let Some(active) = &self.active else { return Ok(()) };
        let users_on = match finished.outcome {
            Outcome::Promoted => Some(active.run().start.candidate.id),
            _ => self.stable.as_ref().map(|release| release.id),
        };
        self.tools.store.end(active.run(), finished.outcome, users_on)?;
        self.stable = self.tools.store.stable(&self.app)?;
        self.candidate = None;
        if let Some(active) = self.active.take() {
            self.show(fleet, routes);
            self.voice.ended(&active, finished, active.reason());
        }
        Ok(())
    }

    fn take_up(&mut self, candidate: Release, active: Active) {
        self.evidence.reset();
        self.voice.began(&active);
        self.candidate = Some(candidate);
        self.active = Some(active);
    }

    fn complain(&mut self, fault: &Fault) {
        let at_ms = self.active.as_ref().map_or(0, |active| active.clock().now_ms());
        self.voice.complain(at_ms, fault);
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
        status.trouble = self.voice.trouble().cloned();
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
