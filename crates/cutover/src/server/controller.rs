//! One app's controller: the loop look → tell the machine → settle → wait.
//!
//! It carries out what the machine wants and never decides itself when traffic moves. Whatever goes
//! wrong in a turn is said and tried again in the next one; what serves goes on serving.

mod obey;

use std::sync::Arc;
use std::time::Duration;

use drivers::platform::FleetHave;
use drivers::router::RoutesHave;
use model::{AppName, Fault, ReleaseId, Routes};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::bus::Bus;
use super::busy::Busy;
use super::departing::{Departing, Patience, Staffed, hurried};
use super::desired::seen;
use super::ending::Finished;
use super::evidence::{Evidence, News};
use super::fail_open::FailOpen;
use super::hands::{self, Way};
use super::hooks::Hooks;
use super::kept::Kept;
use super::lingering::Lingering;
use super::orders::{AppStatus, Order};
use super::retention::prune;
use super::show;
use super::sight::{leaving, movable, unseen};
use super::standing::Standing;
use super::timed::Timed;
use super::tools::Tools;
use super::voice::Voice;
use super::waits::Waits;
use crate::config::AppConfig;

/// Longest pause between two looks while a rollout is under way.
const PACE_ROLLOUT: Duration = Duration::from_millis(50);
/// Longest pause between two looks when nothing is under way.
const PACE_STEADY: Duration = Duration::from_millis(500);

/// One app's controller.
pub(super) struct Controller {
    standing: Standing,
    departing: Departing,
    tools: Tools,
    voice: Voice,
    fail_open: FailOpen,
    evidence: Evidence,
    hooks: Hooks,
    timed: Timed,
    lingering: Lingering,
    busy: Busy,
    waits: Waits,
    status: watch::Sender<AppStatus>,
    orders: mpsc::Receiver<Order>,
    news: mpsc::Receiver<News>,
    /// The platform's mark at the last look.
    change: u64,
    stopping: Option<oneshot::Sender<()>>,
    /// Instances get a second to end.
    hurry: bool,
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
        let (sender, news) = mpsc::channel(256);
        let mut voice = Voice::new(app.clone(), Arc::clone(&bus));
        let evidence = Evidence::new(tools.clone(), bus, sender);
        prune(&tools.store, &tools.layout, (&app, tools.keep));
        let standing = Standing::load(app, config, tools.clone())?;
        if let Some(run) = tools.store.last_ended(&standing.app)? {
            let report = tools.layout.report(&run.name, "json").exists();
            voice.recall(&run, standing.stable.as_ref(), report);
        }
        if let Some(active) = &standing.active {
            voice.began(active);
        }
        let followed = standing.unfollowed()?;
        let change = 0;
        let (stopping, hurry) = (None, false);
        let (departing, timed) = (Departing::default(), Timed::default());
        let mut controller = Self {
            standing,
            departing,
            tools,
            voice,
            fail_open: FailOpen::default(),
            evidence,
            hooks: Hooks::default(),
            timed,
            lingering: Lingering::default(),
            busy: Busy::default(),
            waits: Waits::default(),
            status,
            orders,
            news,
            change,
            stopping,
            hurry,
        };
        if let Some((by, outcome, ended)) = followed {
            controller.follow(&by, ended.then_some(outcome));
        }
        Ok(controller)
    }

    /// Works until it is told to stop and nothing runs any more.
    pub(super) async fn run(mut self) {
        loop {
            // All of it, each time: a look may take longer than the prober's next window.
            while let Ok(news) = self.news.try_recv() {
                self.hear(news);
            }
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
                run = self.standing.word() => self.join(run),
                Some(news) = self.news.recv() => self.hear(news),
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
        let fleet = self.tools.platform.look(&self.standing.app).await?;
        self.change = fleet.change;
        self.standing.look_at_the_clock();
        let begun_ms = self.standing.active.as_ref().map_or(0, |active| active.clock().now_ms());
        let look = self.tools.router.look(&self.standing.app).await;
        if let Some(active) = &self.standing.active {
            self.evidence.looked(active, begun_ms, look.as_ref().ok());
        }
        let routes = match look {
            Ok(mut routes) => {
                let longest = self.standing.config.rollout.longest_request;
                let drain = self.tools.router.can().drain;
                self.timed.read(&mut routes, (drain, longest), Instant::now());
                routes
            }
            Err(fault) => {
                // Instances are looked after also while the router is away, and no phase lasts for
                // ever: what is decided now is in effect when it is back.
                self.observe(&fleet, None)?;
                let staffed = self.staff(&fleet, None);
                self.settle_fleet(&staffed, &fleet).await?;
                let unseen = unseen(&self.standing.app);
                self.show(&fleet, &unseen);
                if let Some(finished) = self.gather(&fleet).await? {
                    self.end(finished, &fleet, &unseen)?;
                }
                return if self.stopping.is_some() { Ok(PACE_ROLLOUT) } else { Err(fault) };
            }
        };
        self.busy.saw(&routes, self.standing.active.is_some(), Instant::now());
        self.lingering.look(&self.tools, self.standing.active.as_mut(), &routes).await?;
        self.observe(&fleet, Some(&routes))?;
        let staffed = self.staff(&fleet, Some(&routes));
        // A router that refuses a change must not keep anybody from looking after the instances.
        let settled = self.settle_routes(&staffed, &fleet, &routes).await;
        let acted = self.settle_fleet(&staffed, &fleet).await?;
        self.show(&fleet, &routes);
        if let Some(finished) = self.gather(&fleet).await? {
            self.end(finished, &fleet, &routes)?;
        }
        let settled = settled?;
        if !settled || acted {
            return Ok(Duration::ZERO);
        }
        let Some(active) = &self.standing.active else {
            return Ok(if self.stopping.is_some() { PACE_ROLLOUT } else { PACE_STEADY });
        };
        let wake = active.wake_in_ms().map_or(PACE_ROLLOUT, Duration::from_millis);
        Ok(wake.min(PACE_ROLLOUT))
    }

    /// What should be true of the instances now. A server that stops lets nobody go by and by: it
    /// has seen requests off, and ends everything.
    fn staff(&mut self, fleet: &FleetHave, routes: Option<&RoutesHave>) -> Staffed {
        let want = self.standing.fleet();
        if self.standing.stopped() {
            let want = if self.hurry { hurried(fleet) } else { want };
            return Staffed { want, without: Vec::new() };
        }
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let rollout = &self.standing.config.rollout;
        let patience = Patience {
            requests_ms: ms(rollout.drain_timeout),
            tunnels_ms: ms(rollout.handover_timeout),
        };
        self.departing.staff(want, fleet, routes, patience)
    }

    /// Tells the machine what was seen; of a router that is away, nothing.
    fn observe(&mut self, fleet: &FleetHave, routes: Option<&RoutesHave>) -> Result<(), Fault> {
        let want = self.standing.fleet();
        let Some(active) = &mut self.standing.active else { return Ok(()) };
        let start = &active.run().start;
        let candidate = start.candidate.id;
        let releases: Vec<ReleaseId> =
            start.stable.iter().map(|named| named.id).chain([candidate]).collect();
        // Before the clock is: what was in time is not too late because the journal was away.
        self.evidence.tell_again(active)?;
        // Nor is it given up for what was seen before: a clock that ran on while nobody looked says less.
        for release in &releases {
            // One that was ready under an earlier controller is neither ready nor not until it has
            // been judged: saying "not" would take a healthy rollout back.
            if !fleet.unjudged(*release) {
                active.saw_fleet(*release, fleet.seen(*release))?;
            }
        }
        active.tick()?;
        for release in releases {
            if let Some(open) = routes.map(|routes| routes.open_on(release)) {
                active.saw_open(release, (open.requests, open.tunnels))?;
            }
        }
        if let Some(leaving) = routes.and_then(|routes| leaving(&want, fleet, routes)) {
            active.saw_leaving(leaving)?;
        }
        let moving = active.wants().hand_over;
        if let Some(movable) = routes.and_then(|routes| movable(moving.as_ref()?, routes)) {
            active.saw_movable(movable)?;
        }
        self.standing.heed()?;
        self.announce();
        Ok(())
    }

    /// Moves the router toward what is wanted. False when there is more to do at once.
    async fn settle_routes(
        &mut self,
        staffed: &Staffed,
        fleet: &FleetHave,
        have: &RoutesHave,
    ) -> Result<bool, Fault> {
        if self.stopping.is_some() {
            return Ok(true);
        }
        let (store, app) = (&self.tools.store, &self.standing.app);
        let committed = store.committed_routes(app)?;
        let before: Vec<&Routes> = have.routes.iter().chain(&committed).collect();
        let want = self.standing.routes((fleet, &staffed.without), &before);
        let active = self.standing.active.as_ref();
        let way = hands::routes(&self.tools, (active, &self.voice), &want, have).await?;
        if let Some(words) = self.waits.heard(&way, Instant::now()) {
            self.voice.mention(self.now_ms(), words);
        }
        match way {
            Way::Settled => {}
            Way::Changed => return Ok(false),
            Way::Waiting(_) => return Ok(true),
        }
        let Some(routes) = &have.routes else { return Ok(true) };
        if !committed.as_ref().is_some_and(|committed| committed.same_as(routes)) {
            store.commit_routes(routes)?;
        }
        let (Some(active), Some(pools)) = (&mut self.standing.active, seen(routes)) else {
            return Ok(true);
        };
        let news = active.saw_routes(pools)?;
        self.announce();
        Ok(!news)
    }

    /// Moves the platform toward what is wanted. True when something was done.
    async fn settle_fleet(&self, staffed: &Staffed, have: &FleetHave) -> Result<bool, Fault> {
        let by = (self.standing.active.as_ref(), &self.voice);
        hands::fleet(&self.tools, by, &staffed.want, have).await
    }

    /// Looks after hooks, preview and prober; answers when the rollout is over and all is in.
    async fn gather(&mut self, fleet: &FleetHave) -> Result<Option<Finished>, Fault> {
        let candidate = self.standing.candidate().cloned();
        let Some(active) = &mut self.standing.active else { return Ok(None) };
        let by = (&self.tools, &self.voice);
        self.hooks.gather(by, active, candidate.as_ref()).await?;
        let shipped = (&self.standing.config, candidate.as_ref());
        let finished = self.evidence.gather(active, shipped, fleet).await?;
        // Hooks are called also when it is over.
        let finished = finished.filter(|_| active.wants().hook.is_none());
        self.announce();
        Ok(finished)
    }

    /// Something of ours reports back.
    fn hear(&mut self, news: News) {
        let Some(active) = &mut self.standing.active else { return };
        let heard = self.evidence.hear(active, news);
        self.announce();
        if let Err(fault) = heard {
            self.complain(&fault);
        }
    }

    fn now_ms(&self) -> u64 {
        self.standing.active.as_ref().map_or(0, |active| active.clock().now_ms())
    }

    /// The rollout is over: the status shows it, and only then is everybody told.
    fn end(
        &mut self,
        finished: Finished,
        fleet: &FleetHave,
        routes: &RoutesHave,
    ) -> Result<(), Fault> {
        if let Some(active) = self.standing.end(finished)? {
            self.show(fleet, routes);
            self.voice.ended(&active, finished, active.reason());
            let Tools { store, layout, keep, .. } = &self.tools;
            prune(store, layout, (&self.standing.app, *keep));
            if let Some(by) = active.machine().successor() {
                self.follow(by, Some(finished.outcome));
            }
        }
        Ok(())
    }

    /// Tells everybody what phase the rollout is in: the status says so before the voice does, so
    /// that whoever heard of a phase and asks is not told of the one before.
    fn announce(&mut self) {
        let Some(active) = &self.standing.active else { return };
        self.status.send_modify(|status| show::rollout(status, active));
        self.voice.phases(active);
    }

    fn complain(&mut self, fault: &Fault) {
        self.voice.complain(self.now_ms(), fault);
    }

    fn show(&mut self, fleet: &FleetHave, routes: &RoutesHave) {
        let standing = &self.standing;
        let mut status = show::status(&standing.app, standing.stable.as_ref(), fleet, routes);
        if let Some(active) = &standing.active {
            show::rollout(&mut status, active);
            show::progress(&mut status, active, self.evidence.figures());
        }
        let share = |release| standing.fail_open(release);
        let open = self.fail_open.told(&standing.app, (fleet, routes), share);
        status.trouble = self.voice.trouble().cloned();
        status.kept = standing.kept.as_ref().map(Kept::status);
        status.lingering = self.lingering.told().clone();
        show::fail_open(&mut status, open);
        status.notes.extend(self.waits.long(Instant::now()));
        if self.stopping.is_none() {
            show::discovered(&mut status, fleet, routes);
        }
        let last = self.tools.store.last_run(&standing.app).ok().flatten();
        show::conclude(&mut status, last.as_ref());
        self.status.send_replace(status);
        if let Some(active) = &self.standing.active {
            self.evidence.show(active, routes);
        }
    }
}
