//! The world: a platform that starts slowly and loses instances, a router that applies late, users
//! with requests and tunnels. It moves in steps of [`STEP_MS`] and notes what must not happen.

use model::{Counters, InstanceId, Phase, ReleaseId, RunState};
use rollout::{LeaveWant, Wants};

use crate::plan::{CANDIDATE, Plan, STABLE};
use crate::rng::Rng;
use crate::router::Router;

pub(crate) const STEP_MS: u64 = 100;
const STOP_TIMEOUT_MS: u64 = 1_500;
const ENDLESS: u64 = u64::MAX;

#[derive(Default)]
pub(crate) struct Instance {
    pub id: u64,
    ready_at: u64,
    /// When it was told to end.
    term_at: Option<u64>,
    /// The router has told the clients of its tunnels to leave.
    moved: bool,
    /// When what is open on it ends.
    requests: Vec<u64>,
    tunnels: Vec<u64>,
}

impl Instance {
    pub(crate) fn name(&self) -> InstanceId {
        InstanceId(self.id.to_string())
    }

    pub(crate) fn told_to_end(&self) -> bool {
        self.term_at.is_some()
    }

    pub(crate) fn ready(&self, now: u64) -> bool {
        self.ready_at <= now && self.term_at.is_none()
    }

    pub(crate) fn open(&self) -> (u64, u64) {
        (self.requests.len() as u64, self.tunnels.len() as u64)
    }
}

#[derive(Default)]
pub(crate) struct Fleet {
    pub instances: Vec<Instance>,
    pub crashes: u32,
    state: Option<RunState>,
    wanted: u16,
    gone_at: u64,
    /// Those that are to leave, and since when they are to be gone.
    leave: Option<(LeaveWant, u64)>,
}

/// Requests (not tunnels) cut, by what cut them.
#[derive(Default, Debug)]
pub(crate) struct Losses {
    /// Nobody could take it.
    pub refused: u64,
    /// It came by a route that somebody else set, to nobody or to one that was to get nothing new.
    pub theirs: u64,
    /// It was open on an instance that crashed.
    pub crashed: u64,
    /// It was open on an instance that we ended.
    pub ended_by_us: u64,
    /// Tunnels cut when their instance was killed.
    pub tunnels_killed: u64,
}

pub(crate) struct World<'a> {
    pub plan: &'a Plan,
    pub rng: Rng,
    pub now: u64,
    pub stable: Fleet,
    pub candidate: Fleet,
    pub router: Router,
    /// What the router has counted, whoever controls it.
    pub counters: Counters,
    /// The release whose tunnels the router moves, and which of its instances.
    moving: Option<(ReleaseId, Vec<InstanceId>)>,
    last_id: u64,
    /// When the faults of the plan strike, once that is known.
    stable_crash: Option<u64>,
    candidate_crash: Option<u64>,
    pub abort: Option<u64>,
    pub losses: Losses,
    /// Requests of users that reached the candidate.
    pub candidate_users: u64,
    pub violations: Vec<String>,
}

impl<'a> World<'a> {
    pub(crate) fn new(plan: &'a Plan, rng: Rng) -> Self {
        let timed = |at: Option<u64>| at.filter(|_| plan.trigger.is_none());
        let mut stable = Fleet::default();
        let mut last_id = 0;
        if plan.start.stable.is_some() {
            for _ in 0..plan.start.instances {
                last_id += 1;
                stable.instances.push(Instance { id: last_id, ..Instance::default() });
            }
        }
        let mut candidate = Fleet::default();
        if plan.start.settings.warm {
            for _ in 0..plan.start.instances {
                last_id += 1;
                candidate.instances.push(Instance { id: last_id, ..Instance::default() });
            }
        }
        Self {
            plan,
            rng,
            now: 0,
            stable,
            candidate,
            router: Router::new(plan),
            counters: Counters::default(),
            moving: None,
            last_id,
            stable_crash: timed(plan.stable_crash),
            candidate_crash: timed(plan.candidate_crash),
            abort: timed(plan.abort),
            losses: Losses::default(),
            candidate_users: 0,
            violations: Vec::new(),
        }
    }

    pub(crate) fn fleet(&self, release: ReleaseId) -> &Fleet {
        if release == STABLE { &self.stable } else { &self.candidate }
    }

    fn fleet_mut(&mut self, release: ReleaseId) -> &mut Fleet {
        if release == STABLE { &mut self.stable } else { &mut self.candidate }
    }

    pub(crate) fn ready(&self, release: ReleaseId) -> u16 {
        let up = |i: &&Instance| i.ready(self.now);
        u16::try_from(self.fleet(release).instances.iter().filter(up).count()).unwrap()
    }

    /// Requests and tunnels open on a release.
    pub(crate) fn open(&self, release: ReleaseId) -> (u64, u64) {
        let all = &self.fleet(release).instances;
        let requests: usize = all.iter().map(|i| i.requests.len()).sum();
        let tunnels: usize = all.iter().map(|i| i.tunnels.len()).sum();
        (requests as u64, tunnels as u64)
    }

    /// Those of a release that should leave, as a controller picks them: of the instances beyond the
    /// ones that stay, first those that are not ready. Once they are named, those that exist.
    pub(crate) fn leaving(&self, wants: &Wants) -> Vec<&Instance> {
        let Some(leave) = &wants.leave else { return Vec::new() };
        let all = &self.fleet(leave.release).instances;
        if leave.state != RunState::Running || !leave.named.is_empty() {
            return all.iter().filter(|one| leave.named.contains(&one.name())).collect();
        }
        let stays = wants.fleet.iter().find(|want| want.release == leave.release).unwrap();
        let mut alive: Vec<_> = all.iter().filter(|one| one.term_at.is_none()).collect();
        alive.sort_by_key(|one| (one.ready(self.now), one.id));
        let surplus = alive.len().saturating_sub(stays.instances.into());
        alive.truncate(surplus.min(leave.instances.into()));
        alive
    }

    /// What the router could still move, if it moves anything of this release.
    pub(crate) fn movable(&self, release: ReleaseId) -> Option<u64> {
        let (_, named) = self.moving.as_ref().filter(|(moving, _)| *moving == release)?;
        let streams = self.plan.endless_tunnels && self.plan.event_streams;
        let all = self.fleet(release).instances.iter();
        let leaving = all.filter(|one| named.is_empty() || named.contains(&one.name()));
        let left = |one: &Instance| {
            let stays = usize::from(streams && one.moved);
            one.tunnels.len().saturating_sub(stays) as u64
        };
        Some(leaving.map(left).sum())
    }

    /// Clients of tunnels leave, but for those that never do.
    fn move_tunnels(&mut self) {
        let Some((release, named)) = self.moving.clone() else { return };
        let (now, endless) = (self.now, self.plan.endless_tunnels);
        let leave_in = self.rng.between(100, 3_000);
        for one in &mut self.fleet_mut(release).instances {
            if one.moved || !(named.is_empty() || named.contains(&one.name())) {
                continue;
            }
            one.moved = true;
            for (n, tunnel) in one.tunnels.iter_mut().enumerate() {
                *tunnel = if endless && n == 0 { ENDLESS } else { now + leave_in };
            }
        }
    }

    /// True when the router carries what it was told and a look at it shows that.
    pub(crate) fn router_settled(&self) -> bool {
        let manned = |(release, weight): &(ReleaseId, u64)| {
            *weight == 0 || self.serving(*release).next().is_some()
        };
        self.router.applied(self.now) && self.router.serving().iter().all(manned)
    }

    /// The controller brings the world towards what is wanted.
    pub(crate) fn settle(&mut self, wants: &Wants) {
        let out = self.leaving(wants).iter().map(|one| one.id).collect();
        if self.router.alive(self.now) {
            let delay = self.rng.between(0, self.plan.router_delay);
            self.router.order((wants.pools.clone(), out), self.now + delay);
            let named = || wants.leave.iter().flat_map(|leave| leave.named.clone()).collect();
            self.moving = wants.hand_over.as_ref().map(|want| (want.release, named()));
        }
        for want in &wants.fleet {
            let now = self.now;
            let leave = wants.leave.clone().filter(|leave| leave.release == want.release);
            let fleet = self.fleet_mut(want.release);
            if want.state == RunState::Gone && fleet.state != Some(RunState::Gone) {
                fleet.gone_at = now;
            }
            let gone = |leave: &LeaveWant| leave.state == RunState::Gone;
            let since = fleet.leave.as_ref().filter(|(leave, _)| gone(leave));
            let since = since.map_or(now, |(_, since)| *since);
            fleet.leave = leave.map(|leave| (leave, since));
            fleet.state = Some(want.state);
            fleet.wanted = want.instances;
        }
    }

    /// Time passes.
    pub(crate) fn step(&mut self) {
        self.now += STEP_MS;
        self.router.step(self.now);
        self.meddle();
        self.crash();
        self.flap();
        self.move_tunnels();
        for release in [STABLE, CANDIDATE] {
            self.run_platform(release);
            self.end_work(release);
        }
        for _ in 0..self.rng.between(0, 2) {
            self.request();
        }
        self.count();
    }

    /// Recreate: never two copies. Rolling: never more instances than usual and the surge, and never fewer that
    /// serve than a batch allows that is so many ahead.
    fn count(&mut self) {
        let both = !self.stable.instances.is_empty() && !self.candidate.instances.is_empty();
        if self.plan.recreates() && both {
            self.violate(format!("two copies run at {}", self.now));
        }
        let Some(batch) = self.plan.batch() else { return };
        let usual = usize::from(self.plan.start.instances);
        let most = usual + usize::from(self.plan.surge());
        let there = self.stable.instances.len() + self.candidate.instances.len();
        let serving = [STABLE, CANDIDATE].map(|release| self.serving(release).count());
        let serving: usize = serving.iter().sum();
        if there > most && !self.plan.crashes() {
            self.violate(format!("{there} instances at {}", self.now));
        }
        let foreign = self.router.foreign;
        if serving + usize::from(batch) < most && !self.plan.crashes() && !foreign {
            self.violate(format!("only {serving} serve at {}", self.now));
        }
    }

    /// The instances of a release that get new requests of users.
    pub(crate) fn serving(&self, release: ReleaseId) -> impl Iterator<Item = &Instance> {
        let carried = self.router.carries(release);
        let all = self.fleet(release).instances.iter();
        all.filter(move |one| carried && one.ready(self.now) && !self.router.out(one.id))
    }

    /// The rollout entered a phase, which may bring the faults of the plan on.
    pub(crate) fn enter(&mut self, phase: Phase) {
        if self.plan.trigger == Some(phase) {
            let rng = &mut self.rng;
            let now = self.now;
            let mut soon = |at: Option<u64>| at.map(|_| now + rng.between(STEP_MS, 800));
            self.stable_crash = soon(self.plan.stable_crash);
            self.candidate_crash = soon(self.plan.candidate_crash);
            self.abort = soon(self.plan.abort);
        }
    }

    /// True when that time came in this step.
    pub(crate) fn due(&self, at: Option<u64>) -> bool {
        at.is_some_and(|at| at > self.now - STEP_MS && at <= self.now)
    }

    fn crash(&mut self) {
        if self.due(self.stable_crash) {
            let all = std::mem::take(&mut self.stable.instances);
            self.lose(all, STABLE);
        }
        let looping = self.plan.candidate_crash_loop && self.rng.chance(5);
        if (self.due(self.candidate_crash) || looping) && !self.candidate.instances.is_empty() {
            let one = self.candidate.instances.remove(0);
            self.lose(vec![one], CANDIDATE);
        }
    }

    /// An instance is not ready for a while.
    fn flap(&mut self) {
        if !self.plan.flaps || !self.rng.chance(4) {
            return;
        }
        let until = self.now + self.rng.between(STEP_MS, 1_500);
        let release = if self.rng.chance(50) { STABLE } else { CANDIDATE };
        let pick = self.rng.next();
        let now = self.now;
        let up = |one: &&mut Instance| one.ready(now);
        let mut ready: Vec<_> = self.fleet_mut(release).instances.iter_mut().filter(up).collect();
        if !ready.is_empty() {
            let place = usize::try_from(pick % ready.len() as u64).unwrap();
            ready[place].ready_at = until;
        }
    }

    fn lose(&mut self, dead: Vec<Instance>, release: ReleaseId) {
        for instance in dead {
            self.losses.crashed += instance.requests.len() as u64;
            if instance.term_at.is_none() {
                self.fleet_mut(release).crashes += 1;
            }
        }
    }

    fn run_platform(&mut self, release: ReleaseId) {
        let fleet = self.fleet(release);
        match fleet.state {
            Some(RunState::Running) => {
                let leaves = fleet.leave.as_ref().map(|(leave, since)| (leave.clone(), *since));
                if let Some((leave, since)) = leaves.filter(|(l, _)| l.state != RunState::Running) {
                    self.terminate(release, |one| leave.named.contains(&one.name()));
                    if leave.state == RunState::Gone && self.now >= since + STOP_TIMEOUT_MS {
                        self.kill(release, |one| leave.named.contains(&one.name()));
                    }
                }
                self.start(release);
            }
            Some(RunState::Terminating) => self.terminate(release, |_| true),
            Some(RunState::Gone) => {
                self.terminate(release, |_| true);
                if self.now >= self.fleet(release).gone_at + STOP_TIMEOUT_MS {
                    self.kill(release, |_| true);
                }
            }
            None => {}
        }
    }

    /// Starts what is missing. What is too much is left alone: it may be in the routes.
    fn start(&mut self, release: ReleaseId) {
        let fleet = self.fleet(release);
        let named = |one: &Instance| {
            fleet.leave.as_ref().is_some_and(|(leave, _)| leave.named.contains(&one.name()))
        };
        let alive: Vec<_> =
            fleet.instances.iter().filter(|one| one.term_at.is_none() && !named(one)).collect();
        let few = alive.len() < usize::from(fleet.wanted);
        let dead = release == STABLE && self.plan.stable_stays_dead && self.stable.crashes > 0;
        let home = self.plan.never_home && fleet.wanted > self.plan.start.instances;
        let never = (release == CANDIDATE && (self.plan.never_ready || home)) || dead;
        if few && self.rng.chance(30) {
            let delay = self.rng.between(0, self.plan.start_delay);
            let ready_at = if never { u64::MAX } else { self.now + delay };
            self.last_id += 1;
            let instance = Instance { id: self.last_id, ready_at, ..Instance::default() };
            self.fleet_mut(release).instances.push(instance);
        }
    }

    fn kill(&mut self, release: ReleaseId, which: impl Fn(&Instance) -> bool) {
        let all = std::mem::take(&mut self.fleet_mut(release).instances);
        let (killed, left): (Vec<_>, Vec<_>) = all.into_iter().partition(which);
        self.fleet_mut(release).instances = left;
        for killed in killed {
            self.losses.ended_by_us += killed.requests.len() as u64;
            self.losses.tunnels_killed += killed.tunnels.len() as u64;
        }
    }

    /// SIGTERM to those that have not had it.
    fn terminate(&mut self, release: ReleaseId, which: impl Fn(&Instance) -> bool) {
        let told = |one: &&Instance| which(one) && one.term_at.is_none();
        let routed = self.serving(release).filter(told).count();
        if routed > 0 && !self.router.foreign {
            let what = format!("{routed} of {release} told to end while routed at {}", self.now);
            self.violate(what);
        }
        let (now, at_once, endless) =
            (self.now, self.plan.exits_at_once, self.plan.endless_tunnels);
        let leave_in = self.rng.between(100, 3_000);
        let mut cut = 0;
        self.fleet_mut(release).instances.retain_mut(|instance| {
            if !which(instance) {
                return true;
            }
            if instance.term_at.is_none() {
                instance.term_at = Some(now);
                for (n, tunnel) in instance.tunnels.iter_mut().enumerate() {
                    *tunnel = if endless && n == 0 { ENDLESS } else { now + leave_in };
                }
            }
            let idle = instance.requests.is_empty() && instance.tunnels.is_empty();
            cut += if at_once { instance.requests.len() as u64 } else { 0 };
            !(idle || at_once)
        });
        self.losses.ended_by_us += cut;
    }

    fn end_work(&mut self, release: ReleaseId) {
        let now = self.now;
        for instance in &mut self.fleet_mut(release).instances {
            instance.requests.retain(|end| *end > now);
            instance.tunnels.retain(|end| *end > now);
        }
    }

    /// Who answers a request sent now: a pool by its weight, else (a replay) a spare one.
    pub(crate) fn answers(&mut self) -> Option<ReleaseId> {
        let pools = self.router.serving();
        let usable: Vec<_> =
            pools.iter().filter(|(release, _)| self.serving(*release).next().is_some()).collect();
        let total: u64 = usable.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            return usable.first().map(|(release, _)| *release);
        }
        let mut drawn = self.rng.between(1, total);
        for (release, weight) in usable {
            if drawn <= *weight {
                return Some(*release);
            }
            drawn -= weight;
        }
        None
    }

    /// Notes what must not be, unless somebody lied.
    pub(crate) fn violate(&mut self, what: String) {
        if !self.plan.lied_by(self.now) {
            self.violations.push(what);
        }
    }

    fn request(&mut self) {
        let pools = self.router.serving();
        if pools.iter().all(|(_, weight)| *weight == 0) {
            return;
        }
        for (release, _) in pools.iter().filter(|(_, weight)| *weight > 0) {
            let state = self.fleet(*release).state;
            let ends = state.is_some_and(|state| state != RunState::Running);
            if ends && !self.router.foreign {
                let what = format!("users of {release} at {} ms while it is {state:?}", self.now);
                self.violate(what);
            }
        }
        let foreign = self.router.foreign;
        let Some(release) = self.answers() else {
            self.losses.refused += u64::from(!foreign);
            self.losses.theirs += u64::from(foreign);
            return;
        };
        self.candidate_users += u64::from(release == CANDIDATE && !foreign);
        let long = self.rng.chance(self.plan.long);
        let mut end = self.now + self.rng.between(50, if long { 7_000 } else { 1_500 });
        if self.plan.endless_requests && self.rng.chance(2) {
            end = ENDLESS;
        }
        let (tunnel, pick) = (self.rng.chance(10), self.rng.next());
        let serving: Vec<_> = self.serving(release).map(|one| one.id).collect();
        let place = usize::try_from(pick % serving.len() as u64).unwrap();
        if !self.router.was_told_of(release, serving[place]) {
            self.losses.theirs += 1;
            return;
        }
        let up = |i: &&mut Instance| serving.contains(&i.id);
        let mut ready: Vec<_> = self.fleet_mut(release).instances.iter_mut().filter(up).collect();
        if tunnel {
            ready[place].tunnels.push(ENDLESS);
        } else {
            ready[place].requests.push(end);
        }
    }
}
