//! The world: a platform that starts slowly and loses instances, a router that applies late, users
//! with requests and tunnels. It moves in steps of [`STEP_MS`] and notes what must not happen.

use model::event::PoolSeen;
use model::{Phase, PoolState, ReleaseId, RunState, Weight};
use rollout::Wants;

use crate::plan::{CANDIDATE, Plan, STABLE};
use crate::rng::Rng;

pub(crate) const STEP_MS: u64 = 100;
const STOP_TIMEOUT_MS: u64 = 1_500;
const ENDLESS: u64 = u64::MAX;

#[derive(Default)]
pub(crate) struct Instance {
    ready_at: u64,
    /// When it was told to end.
    term_at: Option<u64>,
    /// When what is open on it ends.
    requests: Vec<u64>,
    tunnels: Vec<u64>,
}

#[derive(Default)]
pub(crate) struct Fleet {
    pub instances: Vec<Instance>,
    pub crashes: u32,
    state: Option<RunState>,
    wanted: u16,
    gone_at: u64,
}

/// Requests (not tunnels) cut, by what cut them.
#[derive(Default, Debug)]
pub(crate) struct Losses {
    /// Nobody could take it.
    pub refused: u64,
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
    /// What the router carries.
    pub routes: Vec<PoolSeen>,
    ordered: Vec<PoolSeen>,
    apply_at: u64,
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
        let mut routes = Vec::new();
        if plan.start.stable.is_some() {
            stable.instances = (0..plan.start.instances).map(|_| Instance::default()).collect();
            let (weight, state) = (Weight::ALL, PoolState::Serving);
            routes.push(PoolSeen { release: STABLE, weight, state });
        }
        Self {
            plan,
            rng,
            now: 0,
            stable,
            candidate: Fleet::default(),
            ordered: routes.clone(),
            routes,
            apply_at: 0,
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
        let up = |i: &&Instance| i.ready_at <= self.now && i.term_at.is_none();
        u16::try_from(self.fleet(release).instances.iter().filter(up).count()).unwrap()
    }

    /// Requests and tunnels open on a release.
    pub(crate) fn open(&self, release: ReleaseId) -> (u64, u64) {
        let all = &self.fleet(release).instances;
        let requests: usize = all.iter().map(|i| i.requests.len()).sum();
        let tunnels: usize = all.iter().map(|i| i.tunnels.len()).sum();
        (requests as u64, tunnels as u64)
    }

    /// True when the router carries what it was told and a look at it shows that.
    pub(crate) fn router_settled(&self) -> bool {
        let manned = |pool: &PoolSeen| pool.weight == Weight::NONE || self.ready(pool.release) > 0;
        self.router_alive() && self.routes == self.ordered && self.routes.iter().all(manned)
    }

    fn router_alive(&self) -> bool {
        self.plan.router_dead.is_none_or(|at| self.now < at)
    }

    /// The controller brings the world towards what is wanted.
    pub(crate) fn settle(&mut self, wants: &Wants) {
        for want in &wants.fleet {
            let now = self.now;
            let fleet = self.fleet_mut(want.release);
            if want.state == RunState::Gone && fleet.state != Some(RunState::Gone) {
                fleet.gone_at = now;
            }
            fleet.state = Some(want.state);
            fleet.wanted = want.instances;
        }
        if self.router_alive() && wants.pools != self.ordered {
            self.ordered.clone_from(&wants.pools);
            self.apply_at = self.now + self.rng.between(0, self.plan.router_delay);
        }
    }

    /// Time passes.
    pub(crate) fn step(&mut self) {
        self.now += STEP_MS;
        if self.routes != self.ordered && self.now >= self.apply_at && self.router_alive() {
            self.routes.clone_from(&self.ordered);
        }
        self.crash();
        for release in [STABLE, CANDIDATE] {
            self.run_platform(release);
            self.end_work(release);
        }
        for _ in 0..self.rng.between(0, 2) {
            self.request();
        }
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
                let dead = release == STABLE && self.plan.stable_stays_dead;
                let never = (release == CANDIDATE && self.plan.never_ready) || dead;
                if fleet.instances.len() < usize::from(fleet.wanted) && self.rng.chance(30) {
                    let delay = self.rng.between(0, self.plan.start_delay);
                    let ready_at = if never { u64::MAX } else { self.now + delay };
                    let instance = Instance { ready_at, ..Instance::default() };
                    self.fleet_mut(release).instances.push(instance);
                }
            }
            Some(RunState::Terminating) => self.terminate(release),
            Some(RunState::Gone) => {
                self.terminate(release);
                if self.now >= self.fleet(release).gone_at + STOP_TIMEOUT_MS {
                    for killed in std::mem::take(&mut self.fleet_mut(release).instances) {
                        self.losses.ended_by_us += killed.requests.len() as u64;
                        self.losses.tunnels_killed += killed.tunnels.len() as u64;
                    }
                }
            }
            None => {}
        }
    }

    /// SIGTERM to all that have not had it.
    fn terminate(&mut self, release: ReleaseId) {
        let (now, at_once, endless) =
            (self.now, self.plan.exits_at_once, self.plan.endless_tunnels);
        let leave_in = self.rng.between(100, 3_000);
        let mut cut = 0;
        self.fleet_mut(release).instances.retain_mut(|instance| {
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

    /// Who answers a request sent now: the pool with the weight, else (a replay) a spare one.
    pub(crate) fn answers(&self) -> Option<ReleaseId> {
        let mut pools: Vec<_> =
            self.routes.iter().filter(|p| p.state == PoolState::Serving).collect();
        pools.sort_by_key(|pool| u16::MAX - pool.weight.basis_points());
        pools.into_iter().map(|pool| pool.release).find(|release| self.ready(*release) > 0)
    }

    fn request(&mut self) {
        let Some(home) = self.routes.iter().find(|pool| pool.weight == Weight::ALL) else {
            return;
        };
        let state = self.fleet(home.release).state;
        if state.is_some_and(|state| state != RunState::Running) {
            let what =
                format!("users of {} at {} ms while it is {state:?}", home.release, self.now);
            self.violations.push(what);
        }
        let Some(release) = self.answers() else {
            self.losses.refused += 1;
            return;
        };
        self.candidate_users += u64::from(release == CANDIDATE);
        let long = self.rng.chance(2);
        let mut end = self.now + self.rng.between(50, if long { 7_000 } else { 1_500 });
        if self.plan.endless_requests && self.rng.chance(2) {
            end = ENDLESS;
        }
        let (tunnel, pick) = (self.rng.chance(10), self.rng.next());
        let now = self.now;
        let up = |i: &&mut Instance| i.ready_at <= now && i.term_at.is_none();
        let mut ready: Vec<_> = self.fleet_mut(release).instances.iter_mut().filter(up).collect();
        let place = usize::try_from(pick % ready.len() as u64).unwrap();
        if tunnel {
            ready[place].tunnels.push(ENDLESS);
        } else {
            ready[place].requests.push(end);
        }
    }
}
