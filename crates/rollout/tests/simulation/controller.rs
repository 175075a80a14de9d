//! The controller of the simulation: looks, journals, advances, settles. How it dies is `dying`'s, what must not be is
//! noted by `checks`.

mod checks;

use std::collections::BTreeMap;

use model::event::PoolSeen;
use model::{Class, Event, FleetSeen, Phase, ReleaseId, Tally, Weight, Window};
use rollout::{ProbeWant, Rollout, Wants};

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
        Event::Fleet {
            release,
            seen: FleetSeen { existing, ready, crashes, unstarted: 0, trouble },
        }
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
