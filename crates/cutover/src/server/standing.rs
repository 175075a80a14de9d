//! Where an app stands: which release is stable, which rollout is under way, what should be true.
//!
//! Changes of it go through the store. It talks to no driver and to no person.

mod halting;
mod joining;
mod waiting;

use std::sync::Arc;

use drivers::platform::{FleetHave, FleetWant};
use model::{
    AppName, Event, Fault, InstanceId, Kind, Outcome, Release, ReleaseId, Routes, Rule, Spread,
    Successor, Version,
};
use rollout::{Aim, Start};

use self::joining::Promise;
use super::active::Active;
use super::again;
use super::begin::{Shipped, begin, keep};
use super::desired::{Address, Desired, compose};
use super::ending::Finished;
use super::kept::{self, Kept};
use super::orders::{Again, Told};
use super::tools::Tools;
use crate::config::{AppConfig, Side, Strategy, Target};

/// What became of an order to ship a release.
pub(super) struct Ordered {
    /// The run to follow.
    pub(super) run: String,
    /// What comes before it, in words.
    pub(super) first: Option<String>,
}

/// Where one app stands.
pub(super) struct Standing {
    pub(super) app: AppName,
    pub(super) config: AppConfig,
    /// The release users are on when no rollout is under way.
    pub(super) stable: Option<Release>,
    /// The rollout under way.
    pub(super) active: Option<Active>,
    /// The release being shipped.
    candidate: Option<Release>,
    /// What goes on as it is until the server stops.
    halted: Option<Desired>,
    /// What it offered to ship together with others, until the word comes.
    promise: Option<Promise>,
    /// The release that users left and that still runs.
    pub(super) kept: Option<Kept>,
    /// What a stuck rollout left, which stays as it is until the next deploy.
    stuck: Option<Stuck>,
    tools: Tools,
}

/// What serves goes on serving, and nothing is ended, until a person has decided.
struct Stuck {
    desired: Desired,
    releases: Vec<Release>,
}

impl Standing {
    /// As the store knows it; an open rollout is replayed.
    pub(super) fn load(app: AppName, config: AppConfig, tools: Tools) -> Result<Self, Fault> {
        let stable = tools.store.stable(&app)?;
        let open = tools.store.open_run(&app)?;
        let candidate = open.as_ref().map(|run| run.start.candidate.id);
        let candidate = candidate.map(|id| tools.store.release(&app, id)).transpose()?;
        let active = open.map(|run| Active::resume(Arc::clone(&tools.store), run)).transpose()?;
        if let Some(active) = &active {
            tools.stages.say(active);
        }
        let stuck = if active.is_some() { None } else { left_stuck(&app, &tools)? };
        let kept = Kept::load(&tools.store, &app)?;
        let (halted, promise) = (None, None);
        Ok(Self { app, config, stable, active, candidate, halted, promise, kept, stuck, tools })
    }

    /// Refuses while a rollout is under way, or the server stops.
    pub(super) fn may_deploy(&self) -> Result<(), Fault> {
        self.works()?;
        if let Some(active) = &self.active {
            let what = format!(
                "{} is being moved to {} (run {}, {})",
                self.app,
                active.run().start.candidate.version,
                active.run().name,
                active.machine().phase()
            );
            let help = format!("wait for it, or `cutover abort {}` first", self.app);
            return Err(Fault::new(Kind::Conflict, what).help(help));
        }
        Ok(())
    }

    /// Ships `version` as the run of that id: at once, or after the rollout under way, which turns back
    /// for it if it still can. The version that users are on is an abort of that rollout instead.
    pub(super) fn deploy(&mut self, version: &Version, run: &str) -> Result<Ordered, Fault> {
        self.works()?;
        self.alone()?;
        if let Some(active) = &self.active {
            let (machine, named) = (active.machine(), &active.run().start.candidate);
            let undoable = !machine.promotion_is_final() && machine.outcome().is_none();
            if undoable && self.stable.as_ref().is_some_and(|stable| stable.version == *version) {
                let run = active.run().name.clone();
                let reason = format!("{version}, which users are on, was deployed again");
                return Ok(Ordered { run, first: Some(self.abort(reason)?) });
            }
            let forward = machine.successor().is_none() && !machine.turns_back();
            if forward && named.version == *version && machine.outcome() != Some(Outcome::Aborted) {
                return self.may_deploy().map(|()| Ordered { run: run.to_owned(), first: None });
            }
        }
        let release = keep(&self.tools, (&self.app, &self.config), version)?;
        self.ship(release, Aim::Deploy, run)
    }

    /// Ships a release that ran before, exactly as it ran.
    pub(super) fn again(&mut self, which: &Again, run: &str) -> Result<Ordered, Fault> {
        self.works()?;
        self.alone()?;
        let (store, app, stable) = (&self.tools.store, &self.app, self.stable.as_ref());
        let Some(active) = &self.active else {
            let (release, aim) = match which {
                Again::Retry => again::retry(store, app, stable)?,
                Again::Rollback(to) => {
                    (again::rollback(store, app, stable, to.as_ref())?, Aim::Rollback)
                }
            };
            return self.ship(release, aim, run);
        };
        let (machine, version) = (active.machine(), &active.run().start.candidate.version);
        match which {
            Again::Rollback(to) if machine.promotion_is_final() => {
                let before = stable.filter(|one| to.as_ref().is_none_or(|to| one.version == *to));
                let release = match before {
                    Some(release) => release.clone(),
                    None => again::rollback(store, app, stable, to.as_ref())?,
                };
                self.ship(release, Aim::Rollback, run)
            }
            Again::Rollback(_) if !machine.turns_back() => {
                let what = format!("nothing to roll back: {version} of {app} is not promoted yet");
                let help = format!("`cutover abort {app}` keeps users on the old version");
                Err(Fault::new(Kind::Conflict, what).help(help))
            }
            Again::Rollback(_) | Again::Retry => {
                let phase = machine.phase();
                let what = format!("the rollout of {app} to {version} is not over ({phase})");
                let help = format!("`cutover status --watch {app}` shows when it is");
                Err(Fault::new(Kind::Conflict, what).help(help))
            }
        }
    }

    /// Begins a rollout, or has it follow the one under way.
    fn ship(&mut self, release: Release, aim: Aim, run: &str) -> Result<Ordered, Fault> {
        self.may_find(&release)?;
        let rollback = aim == Aim::Rollback;
        if let Some(joined) = self.joined(&release, rollback)? {
            return Ok(joined);
        }
        let Some(active) = &mut self.active else {
            self.begin(release, aim, run)?;
            return Ok(Ordered { run: run.to_owned(), first: None });
        };
        let (version, named) = (release.version.clone(), run.to_owned());
        let by = Successor { release: release.id, version, run: named, rollback };
        let before = &active.run().start.candidate.version;
        let first = if active.machine().promotion_is_final() {
            format!("the rollout to {before} is final and finishes first")
        } else {
            format!("the rollout to {before} is undone first")
        };
        active.tell(&Event::SupersedeAsked { by })?;
        Ok(Ordered { run: run.to_owned(), first: Some(first) })
    }

    /// Refuses what has the instances that users are on: nothing could be moved.
    pub(super) fn may_find(&self, release: &Release) -> Result<(), Fault> {
        let same = |stable: &&Release| stable.source.is_some() && stable.source == release.source;
        let Some(stable) = self.stable.as_ref().filter(same) else { return Ok(()) };
        let (app, now, version) = (&self.app, &stable.version, &release.version);
        let what =
            format!("the instances of {version} are those that users of {app} are on ({now})");
        let help = "start instances of another version, and tell versions apart by `{version}` in \
                    `instances`, such as a tag";
        Err(Fault::new(Kind::Conflict, what).help(help))
    }

    fn begin(&mut self, release: Release, aim: Aim, run: &str) -> Result<(), Fault> {
        let warm = self.kept.as_ref().is_some_and(|kept| kept.release.id == release.id);
        let what = (&release, Shipped { aim, warm }, run);
        let run = begin(&self.tools, &self.config, self.stable.as_ref(), what)?;
        self.began(release, Active::begin(Arc::clone(&self.tools.store), run));
        Ok(())
    }

    fn began(&mut self, release: Release, active: Active) {
        (self.stuck, self.kept) = (None, None);
        (self.candidate, self.active) = (Some(release), Some(active));
    }

    /// Begins what was to follow the rollout that is over. One that got stuck is followed by nothing.
    pub(super) fn follow(&mut self, by: &Successor, outcome: Outcome) -> Result<bool, Fault> {
        let same = self.stable.as_ref().is_some_and(|stable| stable.id == by.release);
        if outcome == Outcome::Stuck || same || self.halted.is_some() || self.active.is_some() {
            return Ok(false);
        }
        let release = self.tools.store.release(&self.app, by.release)?;
        let aim = if by.rollback { Aim::Rollback } else { Aim::Deploy };
        self.begin(release, aim, &by.run)?;
        Ok(true)
    }

    /// What was to follow the last rollout when the controller died in between; true when it still is.
    pub(super) fn unfollowed(&self) -> Result<Option<(Successor, Outcome, bool)>, Fault> {
        let Some(run) = self.tools.store.last_run(&self.app)? else { return Ok(None) };
        let Some(outcome) = run.outcome.filter(|_| self.active.is_none()) else { return Ok(None) };
        let machine = Active::last(&self.tools.store, &run)?;
        // A server that was stopped ended it before its machine did.
        let ended = machine.outcome() == Some(outcome);
        Ok(machine.successor().map(|by| (by.clone(), outcome, ended)))
    }

    /// The release being shipped.
    pub(super) const fn candidate(&self) -> Option<&Release> {
        self.candidate.as_ref()
    }

    /// What is kept is no longer when its time is over; what was offered stays as it is.
    pub(super) fn look_at_the_clock(&mut self) {
        self.kept.take_if(|kept| self.promise.is_none() && kept.left().is_zero());
    }

    /// The version that users could be back on at once: it still runs.
    pub(super) fn warm(&self) -> Option<&Version> {
        let active = self.active.as_ref();
        let kept = self.kept.as_ref().filter(|_| active.is_none()).map(|kept| &kept.release);
        let left = self.stable.as_ref().filter(|_| {
            let machine = active.map(Active::machine);
            machine.is_some_and(|machine| machine.keeps_stable() && machine.promotion_is_final())
        });
        kept.or(left).map(|release| &release.version)
    }

    /// Lets the kept release go, as an operator wants.
    fn let_go(&mut self) -> Result<Option<Told>, Fault> {
        if self.kept.is_none() || self.active.is_some() {
            return Ok(None);
        }
        self.alone()?;
        let Some(kept) = self.kept.take() else { return Ok(None) };
        let version = &kept.release.version;
        self.tools.store.let_go(&self.app, "promoted")?;
        Ok(Some(Told { text: format!("{}: {version} is kept no longer", self.app), run: None }))
    }

    /// Tells the machine what an operator wants, or says why that would change nothing.
    pub(super) fn wish(&mut self, wish: &Event) -> Result<Told, Fault> {
        self.works()?;
        if matches!(wish, Event::PromoteAsked { .. })
            && let Some(told) = self.let_go()?
        {
            return Ok(told);
        }
        let (verb, does) = words(wish);
        let app = &self.app;
        let Some(active) = &mut self.active else {
            let what = format!("nothing to {verb}: no rollout of {app} is under way");
            let help = format!("`cutover status` shows where {app} stands");
            return Err(Fault::new(Kind::Conflict, what).help(help));
        };
        let version = active.run().start.candidate.version.clone();
        if let Some(why) = active.machine().refuses(wish) {
            let what = format!("nothing to {verb}: {why} (rollout of {app} to {version})");
            return Err(Fault::new(Kind::Conflict, what));
        }
        active.tell(wish)?;
        let run = Some(active.run().name.clone());
        Ok(Told { text: format!("{app}: {does} (rollout to {version})"), run })
    }

    /// Refuses what would move anything when the server stops.
    fn works(&self) -> Result<(), Fault> {
        if self.halted.is_some() {
            return Err(Fault::new(Kind::Conflict, "the server is stopping"));
        }
        Ok(())
    }

    /// Works with another configuration. A rollout under way was begun with the present one.
    pub(super) fn configure(&mut self, config: AppConfig) -> Result<(), Fault> {
        if self.active.is_some() {
            let what = format!("a rollout of {} is under way", self.app);
            return Err(Fault::new(Kind::Conflict, what).help("wait for it, or abort it"));
        }
        self.alone()?;
        let beside =
            matches!(config.rollout.strategy, Strategy::BlueGreen | Strategy::Canary { .. });
        if self.kept.take_if(|_| !beside).is_some() {
            self.tools.store.let_go(&self.app, "two versions may no longer run side by side")?;
        }
        self.config = config;
        Ok(())
    }

    /// Whoever asks for an abort when the promotion is final is told what takes users back.
    pub(super) fn may_abort(&self) -> Result<(), Fault> {
        let last = self.active.as_ref().filter(|active| active.machine().promotion_is_final());
        let Some(active) = last else { return Ok(()) };
        let version = &active.run().start.candidate.version;
        let what = format!("nothing to abort: {version} is promoted already, the rollout finishes");
        let help = format!("`cutover rollback {}` takes users back", self.app);
        Err(Fault::new(Kind::Conflict, what).help(help))
    }

    /// Tells the machine to turn back, if it still can; answers in words what will happen.
    pub(super) fn abort(&mut self, reason: String) -> Result<String, Fault> {
        let Some(active) = &mut self.active else {
            return Ok(format!("nothing to abort: no rollout of {} is under way", self.app));
        };
        if active.machine().promotion_is_final() {
            let version = &active.run().start.candidate.version;
            return Ok(format!("{version} is promoted already; the rollout finishes"));
        }
        let asked = Event::AbortAsked { reason: reason.clone() };
        let bound = active.run().start.settings.together.is_some();
        if let Some(why) = active.machine().refuses(&asked).filter(|_| bound) {
            return Ok(format!("it cannot be aborted now: {why}"));
        }
        active.tell(&Event::AbortAsked { reason })?;
        Ok(match &self.stable {
            Some(stable) => format!("aborting: users stay on {} or return to it", stable.version),
            None => "aborting: nothing serves yet".to_owned(),
        })
    }

    /// The rollout is over: the stable pointer moves, or not. Answers the rollout that was.
    pub(super) fn end(&mut self, finished: Finished) -> Result<Option<Active>, Fault> {
        let Some(active) = &self.active else { return Ok(None) };
        let stable = self.stable.as_ref().map(|release| release.id);
        let desired = Desired::of(&active.wants());
        let users_on = match finished.outcome {
            Outcome::Promoted => Some(active.run().start.candidate.id),
            // The release that users are on is the one to start again after a restart.
            Outcome::Stuck => desired.carrying().or(stable),
            Outcome::Aborted | Outcome::None => stable,
        };
        let promoted = finished.outcome == Outcome::Promoted;
        match if promoted { kept::of(active)? } else { None } {
            Some(kept) => self.tools.store.end_keeping(active.run(), &kept)?,
            None => self.tools.store.end(active.run(), finished.outcome, users_on)?,
        }
        self.kept = Kept::load(&self.tools.store, &self.app)?;
        if finished.outcome == Outcome::Stuck {
            let releases = self.stable.iter().chain(&self.candidate).cloned().collect();
            self.stuck = Some(Stuck { desired, releases });
        }
        self.stable = self.tools.store.stable(&self.app)?;
        self.candidate = None;
        Ok(self.active.take())
    }

    /// The instances that should be.
    pub(super) fn fleet(&self) -> FleetWant {
        self.desired().fleet(&self.app, |id| self.release(id))
    }

    /// True when nothing should run any more.
    pub(super) fn stopped(&self) -> bool {
        self.halted.as_ref().is_some_and(|halted| *halted == Desired::nothing())
    }

    /// The routes that should be, given what runs, who leaves, and what is and was routed.
    pub(super) fn routes(&self, seen: (&FleetHave, &[InstanceId]), before: &[&Routes]) -> Routes {
        let start = self.active.as_ref().map(|active| &active.run().start);
        self.routes_of((&self.desired(), start), |id| self.release(id), seen, before)
    }

    /// The routes that would be, if something else were wanted, by that rollout if it is one's.
    pub(super) fn routes_of<'a>(
        &self,
        (desired, start): (&Desired, Option<&Start>),
        release: impl Fn(ReleaseId) -> Option<&'a Release>,
        seen: (&FleetHave, &[InstanceId]),
        before: &[&Routes],
    ) -> Routes {
        let address = Address {
            hosts: self.config.hosts.clone(),
            path_prefix: self.config.path_prefix.clone(),
            rules: start.map_or_else(Vec::new, |start| self.rules(start)),
            unseen: desired.unseen,
            spread: self.spread(),
            fail_open: {
                let pools = desired.pools.iter().map(|pool| pool.release);
                let shipped = |id| start.is_some_and(|start| start.candidate.id == id);
                let share = |id| if shipped(id) { 0 } else { self.fail_open(id) };
                pools.map(|release| (release, share(release))).collect()
            },
            tells: self.tools.router.can().spread,
        };
        let routes = compose(&self.app, &address, &desired.pools(release), seen, before);
        Routes { hold: desired.hold, hand_over: desired.hand_over(seen.0), ..routes }
    }

    /// When fewer percent of a release's instances pass their checks, all get requests. One that is being
    /// shipped is not trusted so far.
    pub(super) fn fail_open(&self, release: ReleaseId) -> u32 {
        let shipped = self.candidate.as_ref().is_some_and(|candidate| candidate.id == release);
        if shipped { 0 } else { self.config.health.fail_open }
    }

    /// Who sees which release of a rollout.
    fn rules(&self, start: &Start) -> Vec<Rule> {
        let (candidate, stable) = (start.candidate.id, start.stable.as_ref().map(|named| named.id));
        let rule = |target: &Target| {
            let release = match target.to {
                Side::Candidate => Some(candidate),
                Side::Stable => stable,
            };
            Some(Rule { mark: target.mark.clone(), release: release? })
        };
        self.config.rollout.targets.iter().filter_map(rule).collect()
    }

    /// How the others are spread.
    fn spread(&self) -> Spread {
        let slow_start = self.config.slow_start.as_millis();
        Spread {
            cohorts: self.config.rollout.cohorts.clone(),
            slow_start_ms: u64::try_from(slow_start).unwrap_or(u64::MAX),
            ..Spread::default()
        }
    }

    fn desired(&self) -> Desired {
        match (&self.halted, &self.active) {
            (Some(halted), _) => halted.clone(),
            (None, Some(active)) => Desired::of(&active.wants()),
            (None, None) => self.stuck.as_ref().map_or_else(
                || {
                    let AppConfig { instances, rollout, .. } = &self.config;
                    let steady =
                        Desired::steady(self.stable.as_ref(), *instances, rollout.return_home);
                    let kept = self.kept.as_ref();
                    kept.map_or(steady.clone(), |kept| kept.beside(steady, *instances))
                },
                |stuck| stuck.desired.clone(),
            ),
        }
    }

    /// The release of that number, if it is one that may run now.
    fn release(&self, id: ReleaseId) -> Option<&Release> {
        let left = self.stuck.iter().flat_map(|stuck| &stuck.releases);
        let left = left.chain(self.kept.iter().map(|kept| &kept.release));
        self.stable.iter().chain(&self.candidate).chain(left).find(|release| release.id == id)
    }
}

/// A wish as a verb, and what will happen.
fn words(wish: &Event) -> (&'static str, String) {
    match wish {
        Event::PauseAsked { .. } => ("pause", "paused, users are taken no further".to_owned()),
        Event::ResumeAsked => ("resume", "resumed".to_owned()),
        Event::PromoteAsked { full: false } => ("promote", "goes on now".to_owned()),
        Event::PromoteAsked { full: true } => {
            ("promote", "goes on without further shares and pauses".to_owned())
        }
        Event::WeightAsked { weight } => {
            let does = format!("{weight} of requests for the new version, then paused");
            ("set", does)
        }
        other => ("do", format!("told {other:?}")),
    }
}

/// What the last rollout left, if it ended stuck.
fn left_stuck(app: &AppName, tools: &Tools) -> Result<Option<Stuck>, Fault> {
    let last = tools.store.last_run(app)?;
    let Some(run) = last.filter(|run| run.outcome == Some(Outcome::Stuck)) else { return Ok(None) };
    let desired = Desired::of(&Active::last(&tools.store, &run)?.wants());
    let named = run.start.stable.iter().chain([&run.start.candidate]);
    let releases =
        named.map(|named| tools.store.release(app, named.id)).collect::<Result<_, _>>()?;
    Ok(Some(Stuck { desired, releases }))
}
