//! The controller of the simulation: looks, journals, advances, settles. How it dies is `dying`'s.

use std::collections::BTreeMap;

use model::event::PoolSeen;
use model::{
    Class, Event, FleetSeen, Phase, PoolState, ReleaseId, RunState, Tally, Weight, Window,
};
use rollout::{ProbeWant, Rollout, Strategy, Wants};

use crate::calls::Calls;
use crate::liar::Liar;
use crate::plan::{CANDIDATE, Plan, STABLE};
use crate::rng::Rng;
use crate::world::{Instance, STEP_MS, World};

/// What users' requests showed is told so much later, ms.
const TELLS_AFTER_MS: u64 = 2_000;

pub(crate) struct Controller<'a> {
    pub world: World<'a>,
    pub machine: Rollout,
    pub journal: Vec<(u64, Event)>,
    pub down_until: u64,
    /// Ready instances as last reported in this life.
    pub reported: BTreeMap<ReleaseId, u16>,
    /// The routes as last reported in this life.
    pub routes: Option<Vec<PoolSeen>>,
    liar: Liar,
    /// Crashes of the candidate as reported last, and when it was switched to.
    crashes: (u32, u32),
    pub preview: Tally,
    window: Window,
    armed_since: Option<u64>,
    pub calls: Calls,
    /// What measurements bring, from a stream of their own.
    gauges: Rng,
    pub deaths: u32,
    /// The record after which it dies, and for how long, ms; beside the deaths that are drawn.
    pub death: Option<(usize, u64)>,
}

impl<'a> Controller<'a> {
    pub(crate) fn new(plan: &'a Plan, rng: Rng) -> Self {
        let machine = Rollout::new(plan.start.clone());
        Self {
            world: World::new(plan, rng),
            machine,
            journal: Vec::new(),
            down_until: 0,
            reported: BTreeMap::new(),
            routes: None,
            liar: Liar::new(Rng::new(plan.start_delay ^ 0x6c69_6172)),
            crashes: (0, 0),
            preview: Tally::default(),
            window: Window::default(),
            armed_since: None,
            calls: Calls::default(),
            gauges: Rng::new(plan.start_delay ^ 0x6761_7567_6573),
            deaths: 0,
            death: None,
        }
    }

    /// One step of the world, and of the controller if it lives.
    pub(crate) fn step(&mut self) {
        self.world.step();
        self.probe();
        if self.world.now < self.down_until {
            return;
        }
        for event in self.look() {
            self.tell(event);
            if self.dies() {
                return;
            }
        }
        let wants = self.machine.wants();
        self.check_waiting(&wants);
        self.world.settle(&wants);
        self.check_promoted();
    }

    /// Nobody has the traffic only while requests wait, and they wait only then.
    fn check_waiting(&mut self, wants: &Wants) {
        let nobody = wants.pools.iter().all(|pool| pool.weight == Weight::NONE);
        let waiting = wants.hold.is_some();
        let first = self.world.plan.start.stable.is_none();
        if waiting != nobody && !(first && nobody) {
            let what =
                format!("waiting: {waiting}, nobody serves: {nobody}, at {}", self.world.now);
            self.world.violations.push(what);
        }
    }

    /// Once the promotion is final, nobody of the candidate is told to end, and who is ready serves:
    /// all of them, but for a spare; and without a crash never fewer than usual.
    fn check_promoted(&mut self) {
        let (world, plan) = (&self.world, self.world.plan);
        if plan.batch().is_some() || !self.machine.promotion_is_final() {
            return;
        }
        let told = world.candidate.instances.iter().filter(|one| one.told_to_end()).count();
        let serving = world.serving(CANDIDATE).count();
        let fewest = world.ready(CANDIDATE).min(plan.start.instances);
        let certain = !plan.crashes() || world.router.applied(world.now);
        let certain = certain && !world.router.foreign;
        if told > 0 || (certain && serving < usize::from(fewest)) {
            let what = format!("{told} told, {serving} of {fewest} serve at {}", world.now);
            self.world.violate(what);
        }
    }

    /// Journals and advances.
    pub(crate) fn tell(&mut self, event: Event) {
        if let Event::Fleet { release, seen } = &event {
            self.reported.insert(*release, seen.ready);
            if *release == CANDIDATE {
                self.crashes.0 = self.crashes.0.max(seen.crashes);
            }
        }
        if let Event::RoutesSettled { pools } = &event {
            self.routes = Some(pools.clone());
        }
        let was_final = self.machine.phase().is_final();
        let before = self.machine.wants();
        let entered = self.machine.entered().len();
        let untold = self.machine.refuses(&event).map(|_| self.machine.clone());
        self.machine.advance(self.world.now, &event);
        let after = self.machine.wants();
        // Hooks are called also when it is over.
        let but_hooks = |wants: &Wants| Wants { hook: None, ..wants.clone() };
        if was_final && but_hooks(&before) != but_hooks(&after) {
            let what = "wants changed after the end".to_owned();
            self.world.violations.push(what);
        }
        if let Some(untold) = untold {
            self.check_refusal(untold, &event);
        }
        self.check_told(&after);
        self.check_homes(&before, &after);
        self.check_room(&before, &after);
        for n in entered..self.machine.entered().len() {
            let phase = self.machine.entered()[n].phase;
            self.check_entry(phase);
            self.world.enter(phase);
        }
        self.journal.push((self.world.now, event));
    }

    /// What is refused does no more than the time at which it was told.
    fn check_refusal(&mut self, before: Rollout, event: &Event) {
        let Some(why) = before.refuses(event) else { return };
        let mut untold = before;
        untold.advance(self.world.now, &Event::Tick);
        let is = |machine: &Rollout| {
            (machine.wants(), machine.entered().len(), machine.paused().cloned())
        };
        if is(&untold) != is(&self.machine) {
            self.world.violations.push(format!("refused ({why}) and done at {}", self.world.now));
        }
    }

    /// Where the router moves tunnels, nobody is told to end who may go on until they have.
    fn check_told(&mut self, after: &Wants) {
        let movable = [STABLE, CANDIDATE].map(|release| self.world.movable(release));
        let none = movable.into_iter().flatten().all(|left| left == 0);
        if self.world.plan.start.settings.handover.is_none() || none {
            return;
        }
        let told = after.fleet.iter().any(|want| want.state == RunState::Terminating);
        let leave = after.leave.as_ref().filter(|leave| !leave.named.is_empty());
        if told || leave.is_some_and(|leave| leave.state == RunState::Terminating) {
            self.world.violate(format!("told before its tunnels at {}", self.world.now));
        }
    }

    /// Traffic may move only to a release reported ready in this life, and a release that users were
    /// on may be told to end only while the one they are on now was reported ready.
    fn check_homes(&mut self, before: &Wants, after: &Wants) {
        let home = home(&after.pools);
        let ready = |release: ReleaseId| self.reported.get(&release).copied().unwrap_or(0);
        let reported = home.map_or(0, ready);
        let now = self.world.now;
        for pool in &after.pools {
            let was = before.pools.iter().find(|was| was.release == pool.release);
            let more = pool.weight > was.map_or(Weight::NONE, |was| was.weight);
            // Where nobody serves any more, stable is to be found when it comes back.
            let stuck = self.machine.phase() == Phase::Stuck && self.world.plan.recreates();
            if more && ready(pool.release) == 0 && !stuck {
                let what =
                    format!("traffic moved to {}, not known to be ready, at {now}", pool.release);
                self.world.violations.push(what);
            }
        }
        for (was, is) in before.fleet.iter().zip(&after.fleet) {
            // In a rolling replacement the last ones have gone by then; the world watches each.
            let whole = self.world.plan.batch().is_none();
            let told = whole && was.state == RunState::Running && is.state != RunState::Running;
            let had_users = is.release == STABLE
                || self.machine.entered().iter().any(|entered| entered.phase == Phase::Shifting);
            let carried = self.world.serving(is.release).next().is_some();
            if told && had_users && carried && !self.world.router.foreign {
                let what = format!("{} told to end while it is routed, at {now}", is.release);
                self.world.violate(what);
            }
            let serves =
                |pool: &PoolSeen| pool.release == is.release && pool.state == PoolState::Serving;
            if told && had_users && self.routes.iter().flatten().any(serves) {
                let what = format!("{} told to end while it was seen routed, {now}", is.release);
                self.world.violations.push(what);
            }
            if told && had_users && home.is_some() && reported == 0 {
                let what =
                    format!("{} told to end while nothing else serves, at {now}", is.release);
                self.world.violations.push(what);
            }
        }
    }

    /// Room is made only where as many as usual but a batch (and its surge) go on serving, as far as was
    /// reported, or where those that leave serve nobody; and they are named when their requests or their time is
    /// over.
    fn check_room(&mut self, before: &Wants, after: &Wants) {
        let Some(leave) = &after.leave else { return };
        let plan = self.world.plan;
        let Some(batch) = plan.batch() else {
            return self.check_spare(before, after);
        };
        if before.leave.as_ref().is_some_and(|was| was.named.is_empty()) {
            let began = self.machine.entered().iter().rev().find(|entered| {
                matches!(entered.phase, Phase::Draining | Phase::DrainingCandidate)
            });
            let over = began.unwrap().at_ms + plan.start.settings.drain_deadline_ms;
            let open: u64 = self.world.leaving(after).iter().map(|one| one.open().0).sum();
            let named = leave.state != RunState::Running || !leave.named.is_empty();
            if named && open > 0 && self.world.now < over {
                let what = format!("{leave:?} with {open} requests at {}", self.world.now);
                self.world.violate(what);
            }
        }
        if before.leave.is_some() {
            return;
        }
        let ready = |release: ReleaseId| self.reported.get(&release).copied().unwrap_or(0);
        let other = if leave.release == STABLE { CANDIDATE } else { STABLE };
        let stays = after.fleet.iter().find(|want| want.release == leave.release).unwrap();
        let then = ready(other) + ready(leave.release).min(stays.instances);
        let now = ready(other) + ready(leave.release).min(stays.instances + leave.instances);
        if then < now && then + batch < plan.start.instances + plan.surge() {
            let what = format!("{leave:?} while {now} serve at {}", self.world.now);
            self.world.violations.push(what);
        }
    }

    /// On the way home twice as many were reported ready when half of them is to leave, and nobody is
    /// ever to end.
    fn check_spare(&mut self, before: &Wants, after: &Wants) {
        let leave = after.leave.as_ref().unwrap();
        let usual = self.world.plan.start.instances;
        let ready = self.reported.get(&CANDIDATE).copied().unwrap_or(0) >= 2 * usual;
        let mut wanted = after.fleet.iter().filter(|want| want.state == RunState::Running);
        let stay = wanted.next().is_some_and(|want| {
            want.release == CANDIDATE && want.instances == usual && wanted.next().is_none()
        });
        let left_alone = leave.state == RunState::Running && leave.named.is_empty();
        let begins = before.leave.is_none();
        let holds = stay && left_alone && leave.release == CANDIDATE && leave.instances == usual;
        if !holds || (begins && !ready) {
            self.world.violations.push(format!("{leave:?} at {}", self.world.now));
        }
    }

    /// A phase means what it says: what its entry promises is true of the world.
    fn check_entry(&mut self, phase: Phase) {
        let wants = self.machine.wants();
        let wanted = wants.fleet.iter().find(|want| want.release == CANDIDATE).unwrap().instances;
        let ready = self.reported.get(&CANDIDATE).copied().unwrap_or(0) >= wanted;
        // Of routes that somebody else set since, nothing was seen.
        let foreign = self.world.router.foreign;
        let seen = self.routes.as_ref().filter(|_| foreign);
        let pools = seen.unwrap_or(&self.world.router.routes.0);
        let (carries, as_wanted) = (home(pools), *pools == wants.pools);
        let said = self.machine.entered().last().is_some_and(|e| e.why.contains("warning"));
        let gone = |release| self.world.fleet(release).instances.is_empty() || said;
        let first = self.world.plan.start.stable.is_none();
        let rolling = self.world.plan.batch().is_some();
        let recreates = self.world.plan.recreates();
        let holds = match phase {
            Phase::Shifting => {
                self.crashes.1 = self.crashes.0;
                // For a smaller share stable is enough.
                let less = matches!(self.machine.shares(), [.., was, is] if is.share < was.share);
                let next = !self.world.plan.left_alone() || self.share_is_next(&wants);
                (ready || less) && next
            }
            // One that ends at once wants something else already.
            Phase::Baking => as_wanted || self.machine.phase() != phase,
            Phase::Draining | Phase::DrainingCandidate if recreates => true,
            Phase::Draining if rolling => ready,
            Phase::Draining if wants.leave.is_some() => {
                let leaving = self.world.leaving(&wants);
                foreign || leaving.iter().all(|one| self.world.router.out(one.id))
            }
            // How many may leave is counted by the world.
            Phase::DrainingCandidate if rolling => true,
            Phase::Draining => {
                let overlooked = self.world.plan.rolls_back();
                let crashed = self.crashes.0 != self.crashes.1 && !overlooked;
                // Bound by the others, it goes on whatever was seen since.
                let bound = self.world.plan.start.settings.together.is_some();
                bound || (ready && carries == Some(CANDIDATE) && !crashed)
            }
            Phase::DrainingCandidate => first || carries == Some(STABLE),
            Phase::Promoted if self.world.plan.keeps() => true,
            Phase::Promoted => gone(STABLE) && (wants.leave.is_none() || self.spare_is_drained()),
            Phase::Aborted => gone(CANDIDATE),
            _ => true,
        };
        if !holds {
            let what = format!("{phase} entered at {} without its condition", self.world.now);
            self.world.violate(what);
        }
    }

    /// Nothing is open on the spare, or the time of the phase before was over.
    fn spare_is_drained(&self) -> bool {
        let (entered, settings) = (self.machine.entered(), &self.world.plan.start.settings);
        let before = &entered[entered.len() - 2];
        let wants = self.machine.wants();
        let open: u64 = self.world.leaving(&wants).iter().map(|one| one.open().0).sum();
        let (time, drained) = match before.phase {
            Phase::Draining => (settings.drain_deadline_ms, open == 0),
            _ => (settings.shift_deadline_ms, false),
        };
        drained || self.world.now >= before.at_ms + time
    }

    /// A canary's shares come one after the other.
    fn share_is_next(&self, wants: &Wants) -> bool {
        let Strategy::Canary { steps, .. } = &self.world.plan.start.settings.strategy else {
            return true;
        };
        let first = self.world.plan.start.stable.is_none();
        let entered = self.machine.entered().iter();
        let switches = entered.filter(|entered| entered.phase == Phase::Shifting).count();
        let mut steps = steps.clone();
        steps.dedup();
        let share = steps.get(switches - 1).filter(|_| !first).copied().unwrap_or(Weight::ALL);
        wants.pools.iter().any(|pool| pool.release == CANDIDATE && pool.weight == share)
    }

    /// What a live controller sees in this step.
    fn look(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        if self.down_until > 0 {
            self.down_until = 0;
            events.push(Event::Resumed);
        }
        let (now, plan) = (self.world.now, self.world.plan);
        let pressed = plan.presses.iter().filter(|(at, _)| self.world.due(Some(*at)));
        events.extend(pressed.map(|(_, event)| event.clone()));
        if self.world.due(self.world.abort) {
            events.push(Event::AbortAsked { reason: "because".to_owned() });
        }
        if (now / STEP_MS).is_multiple_of(2) {
            events.extend([STABLE, CANDIDATE].map(|release| self.fleet(release)));
            let settled = self.world.router_settled() && !self.world.rng.chance(plan.replies_lost);
            if settled || (self.world.router.foreign && self.world.router.alive(now)) {
                events.push(Event::RoutesSettled { pools: self.world.router.routes.0.clone() });
            }
            events.extend(self.leaving());
            if plan.router_dead.is_none_or(|at| now < at) {
                events.extend([STABLE, CANDIDATE].map(|release| {
                    let (requests, tunnels) = self.world.open(release);
                    Event::Open { release, requests, tunnels }
                }));
                events.extend(self.movable());
            }
            if plan.lies_at(now) {
                events = self.liar.tell(events, &self.machine.wants());
            }
            events.extend(self.ask_directly());
        }
        events.extend(self.hear_prober());
        events.extend(self.calls.call(self.world.plan, &self.machine.wants(), now));
        events.extend(self.measure());
        if plan.others_come {
            let came = |barrier| Event::BarrierOpened { barrier };
            events.extend(self.machine.awaits().map(came));
        }
        if self.machine.wake().is_some_and(|wake| now >= wake) {
            events.push(Event::Tick);
        }
        events
    }

    fn fleet(&self, release: ReleaseId) -> Event {
        let fleet = self.world.fleet(release);
        let existing = u16::try_from(fleet.instances.len()).unwrap();
        let (ready, crashes) = (self.world.ready(release), fleet.crashes);
        let trouble = if ready < existing { vec!["GET /healthz: 503".to_owned()] } else { vec![] };
        Event::Fleet { release, seen: FleetSeen { existing, ready, crashes, trouble } }
    }

    /// Those that leave, once the router carries none of them.
    fn leaving(&self) -> Option<Event> {
        let wants = self.machine.wants();
        let release = wants.leave.as_ref()?.release;
        let leaving = self.world.leaving(&wants);
        let out = leaving.iter().all(|one| self.world.router.out(one.id));
        if !out || !self.world.router.alive(self.world.now) {
            return None;
        }
        let sum = |count: fn(&Instance) -> u64| leaving.iter().map(|one| count(one)).sum();
        let (requests, tunnels) = (sum(|one| one.open().0), sum(|one| one.open().1));
        let instances = leaving.iter().map(|one| one.name()).collect();
        Some(Event::Leaving { release, instances, requests, tunnels })
    }

    /// What the router could still move, once it knows that it should.
    fn movable(&self) -> Option<Event> {
        let release = self.machine.wants().hand_over?.release;
        let sockets = self.world.movable(release)?;
        Some(Event::Movable { release, sockets })
    }

    fn ask_directly(&mut self) -> Option<Event> {
        let wanted = u64::from(self.machine.wants().preview?);
        for _ in 0..7.min(wanted.saturating_sub(self.preview.all())) {
            let bad = self.world.rng.chance(self.world.plan.preview_errors);
            self.preview.count(if bad { Class::BadStatus } else { Class::Ok });
        }
        Some(Event::Preview { tally: self.preview.clone(), failures: vec!["500".to_owned()] })
    }

    /// The prober is a process of its own: it probes on while the controller is dead.
    fn probe(&mut self) {
        let lost = self.world.plan.prober_lost.is_some_and(|at| self.world.now >= at);
        if lost || !self.world.plan.start.settings.probing || self.world.router.routes.0.is_empty()
        {
            return;
        }
        for _ in 0..3 {
            let answered = self.world.answers();
            let bad = answered == Some(CANDIDATE)
                && self.world.rng.chance(self.world.plan.candidate_errors);
            let hit = self.world.plan.suffering.hits(self.world.now);
            let (version, class) = match answered {
                Some(STABLE) if hit => ("v1", Class::BadStatus),
                Some(_) if hit => ("v2", Class::BadStatus),
                Some(STABLE) => ("v1", Class::Ok),
                Some(_) if bad => ("v2", Class::BadStatus),
                Some(_) => ("v2", Class::Ok),
                None => ("", Class::Refused),
            };
            self.window.by_version.entry(version.to_owned()).or_default().count(class);
        }
    }

    /// What the router counts, and what is measured beside requests.
    fn measure(&mut self) -> Vec<Event> {
        let (now, plan) = (self.world.now, self.world.plan);
        let share = self.machine.shares().last().map_or(Weight::NONE, |share| share.share);
        let mut events = Vec::new();
        if let Some(analysis) = plan.start.settings.analysis
            && (now / STEP_MS).is_multiple_of(10)
        {
            let counters = analysis.rules.counters;
            let counted = Some(&mut self.world.counters).filter(|_| counters);
            events.push(plan.suffering.seen(now, (share, plan.candidate_errors), counted));
            if self.world.router.alive(now) && !counters {
                events.push(Event::Surveyed { until_ms: now.saturating_sub(TELLS_AFTER_MS) });
            }
        }
        if (now / STEP_MS).is_multiple_of(5) {
            let names: Vec<String> = self.machine.measures().map(|it| it.name.clone()).collect();
            let measured = |name| plan.suffering.measured(name, &mut self.gauges);
            events.extend(names.into_iter().map(measured));
        }
        events
    }

    fn hear_prober(&mut self) -> Vec<Event> {
        let (now, plan) = (self.world.now, self.world.plan);
        let mut events = Vec::new();
        if plan.prober_lost.is_some_and(|at| now >= at) {
            if (now / STEP_MS).is_multiple_of(10) {
                events.push(Event::ProberLost);
            }
            return events;
        }
        if self.machine.wants().probe == ProbeWant::Armed && !plan.never_arms {
            let since = *self.armed_since.get_or_insert(now);
            if now >= since + 400 && self.machine.phase() == Phase::Arming {
                events.push(Event::Armed);
            }
        }
        if plan.start.settings.probing && (now / STEP_MS).is_multiple_of(10) {
            events.push(Event::Window(std::mem::take(&mut self.window)));
        }
        events
    }
}

fn home(pools: &[PoolSeen]) -> Option<ReleaseId> {
    pools.iter().find(|pool| pool.weight == Weight::ALL).map(|pool| pool.release)
}
