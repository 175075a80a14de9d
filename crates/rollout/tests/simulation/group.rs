//! Two to four rollouts that go together under one server, each in a small world of its own where much goes
//! wrong: all end on the new version, or all on the old one. The server dies between any two of their
//! records, and all controllers with it, or it is stopped; one is taken back, one is over long before the
//! others.
//!
//! One rollout that goes by itself is in `main`.

use std::collections::BTreeMap;

use model::{AppName, Barrier, Outcome, Phase, Version};
use rollout::{Other, Stage, Strategy, Together};

use crate::asked;
use crate::controller::Controller;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::suffering::Suffering;
use crate::world::STEP_MS;

/// `CUTOVER_SIM_GROUPS=n` runs n of them, `CUTOVER_SIM_GROUP=s` that one, and prints its story.
const SEEDS: u64 = 400;

/// Longer than any of them takes.
const WAIT_MS: u64 = 4_000_000;

const NAMES: [&str; 4] = ["cart", "credit", "message", "shop"];

/// What becomes of a group, drawn before it begins.
#[derive(Debug)]
struct Fate {
    members: Vec<Plan>,
    /// How long the others are waited for, ms.
    wait_ms: u64,
    /// When the server is stopped.
    stopped: Option<u64>,
    /// It is stopped as soon as one of them is bound, when the others may not be yet.
    stopped_when_bound: bool,
}

/// A server with the controllers of a group.
struct Server<'a> {
    fate: &'a Fate,
    members: Vec<Controller<'a>>,
    rng: Rng,
    /// What they have said since it began.
    said: BTreeMap<usize, Stage>,
    /// Where a stop has ended them.
    halted: BTreeMap<usize, Outcome>,
}

impl<'a> Server<'a> {
    fn new(fate: &'a Fate, mut rng: Rng) -> Self {
        let controller = |plan| Controller::new(plan, Rng::new(rng.between(0, 1 << 40)));
        let members = fate.members.iter().map(controller).collect();
        Self { fate, members, rng, said: BTreeMap::new(), halted: BTreeMap::new() }
    }

    fn now(&self) -> u64 {
        self.members.iter().map(|one| one.world.now).max().unwrap()
    }

    fn outcome(&self, one: usize) -> Option<Outcome> {
        self.halted.get(&one).copied().or_else(|| self.members[one].machine.outcome())
    }

    fn over(&self) -> bool {
        (0..self.members.len()).all(|one| self.outcome(one).is_some())
    }

    fn alive(&self, one: usize) -> bool {
        let controller = &self.members[one];
        controller.down_until == 0 && !self.halted.contains_key(&one)
    }

    /// One step of each, in any order.
    fn step(&mut self) {
        let first = self.rng.between(0, self.members.len() as u64 - 1);
        let first = usize::try_from(first).unwrap();
        for n in 0..self.members.len() {
            let one = (first + n) % self.members.len();
            if !self.halted.contains_key(&one) {
                self.members[one].step();
                self.heed(one);
            }
            self.stop(one);
            if let Some(until) = self.dead(one) {
                return self.fall(until);
            }
        }
    }

    /// It died, and nobody else did yet.
    fn dead(&self, one: usize) -> Option<u64> {
        let until = self.members[one].down_until;
        let new = until > self.members[one].world.now;
        (new && self.members.iter().any(|other| other.down_until != until)).then_some(until)
    }

    /// All die with it. Those that come back say how far they are before any of them begins.
    fn fall(&mut self, until: u64) {
        self.said.clear();
        let members = 0..self.members.len();
        for one in members.filter(|one| !self.halted.contains_key(one)) {
            let whole = self.rng.chance(10);
            let controller = &mut self.members[one];
            if controller.down_until != until {
                controller.die(until, whole);
            }
            if self.outcome(one).is_none() {
                self.said.insert(one, self.members[one].machine.stage());
            }
        }
    }

    /// Says how far it is, and hears of the others.
    fn heed(&mut self, one: usize) {
        while self.alive(one) {
            let stage = self.members[one].machine.stage();
            self.said.insert(one, stage);
            let others = self.others(one);
            let Some(event) = self.members[one].machine.ruling(&others) else { return };
            self.members[one].tell(event);
            self.members[one].dies();
        }
    }

    /// The others, as a controller finds them: what they said, or else how they ended.
    fn others(&self, me: usize) -> Vec<Stage> {
        let past = |one: usize| {
            let ended = |outcome| self.members[one].machine.stage().ended(outcome);
            self.outcome(one).map_or_else(Stage::default, ended)
        };
        let others = (0..self.members.len()).filter(|one| *one != me);
        others.map(|one| self.said.get(&one).cloned().unwrap_or_else(|| past(one))).collect()
    }

    /// Once the server is told to stop each controller ends what it has where it stands, one of them sooner.
    fn stop(&mut self, one: usize) {
        let bound = |one: &Controller<'_>| one.machine.stage().reached == Some(Barrier::Final);
        let told = self.fate.stopped.is_some_and(|at| self.now() >= at)
            || self.fate.stopped_when_bound && self.members.iter().any(bound);
        if !told || !self.alive(one) || self.outcome(one).is_some() || self.rng.chance(50) {
            return;
        }
        let machine = &self.members[one].machine;
        let own = machine.stage();
        let stands = machine.promotion_is_final() || own.is_final_with(&self.others(one));
        if !stands {
            self.said.insert(one, own.halted());
        }
        self.halted.insert(one, if stands { Outcome::Promoted } else { Outcome::Aborted });
    }
}

fn draw(seed: u64) -> Fate {
    let mut rng = Rng::new(seed ^ 0x0067_726f_7570);
    let names = &NAMES[..usize::try_from(rng.between(2, 4)).unwrap()];
    // Where each of four has many faults, hardly any group would ever be promoted.
    let (calm, aborted) = (rng.chance(55), rng.chance(15));
    let wait_ms = if rng.chance(5) { rng.between(500, 5_000) } else { WAIT_MS };
    let (mut members, deaths) = (Vec::new(), rng.chance(60));
    for (n, name) in (0..).zip(names) {
        let mut plan = Plan::draw(&mut rng);
        plan.surges(&mut Rng::new(seed ^ (n << 32) ^ 0x7375_7267));
        if calm || rng.chance(50) {
            settle(&mut plan);
        } else {
            let seed = seed ^ (n << 32);
            plan.operate(&mut Rng::new(seed ^ 0x6f70_6572));
            plan.hook(&mut Rng::new(seed ^ 0x686f_6f6b));
            plan.suffering =
                Suffering::draw(&mut plan.start.settings, &mut Rng::new(seed ^ 0x7375));
        }
        plan.deaths = if deaths { rng.between(1, 20) } else { 0 };
        if aborted && n == 0 {
            plan.abort = Some(rng.between(0, 20_000));
        }
        let others = names.iter().filter(|other| *other != name).map(|other| Other {
            app: AppName::new(*other).unwrap(),
            version: Version::new("v2").unwrap(),
            run: (*other).to_owned(),
        });
        plan.start.settings.together = Some(Together {
            name: AppName::new("all").unwrap(),
            others: others.collect(),
            wait_ms,
        });
        members.push(plan);
    }
    let stopped = rng.maybe(25, 0, 40_000);
    Fate { members, wait_ms, stopped, stopped_when_bound: rng.chance(10) }
}

/// Nothing goes wrong but that the server dies, and the router is slow.
fn settle(plan: &mut Plan) {
    (plan.never_ready, plan.never_home, plan.flaps) = (false, false, false);
    (plan.candidate_crash, plan.candidate_crash_loop) = (None, false);
    (plan.stable_crash, plan.router_dead, plan.abort) = (None, None, None);
    (plan.preview_errors, plan.candidate_errors) = (0, 0);
}

/// How a group ended.
fn run(seed: u64, tell: bool) -> Vec<Option<Outcome>> {
    let fate = draw(seed);
    let mut server = Server::new(&fate, Rng::new(seed ^ 0x7365_7276));
    let each: u64 = fate.members.iter().map(Plan::bound_ms).sum();
    let bound = |server: &Server<'_>| {
        let each_death =
            |one: &Controller<'_>| u64::from(one.deaths) * (one.world.plan.down + 5_000 + STEP_MS);
        each + server.members.iter().map(each_death).sum::<u64>()
    };
    while !server.over() && server.now() < bound(&server) {
        server.step();
    }
    for _ in 0..20 {
        server.step();
    }
    let violations = server.members.iter_mut().map(|one| std::mem::take(&mut one.world.violations));
    let mut wrong: Vec<String> = violations.flatten().collect();
    wrong.extend(judge(&server));
    if tell || !wrong.is_empty() {
        println!("{:#?}", fate.stopped);
        for (plan, one) in fate.members.iter().zip(&server.members) {
            println!("{plan:#?}\n{:#?}\n{:?}", one.machine.entered(), one.machine.notes());
        }
    }
    wrong.truncate(5);
    assert!(wrong.is_empty(), "replay with CUTOVER_SIM_GROUP={seed}: {wrong:#?}");
    (0..server.members.len()).map(|one| server.outcome(one)).collect()
}

/// What must be true of all when they are over.
fn judge(server: &Server<'_>) -> Vec<String> {
    let (plans, members) = (&server.fate.members, &server.members);
    let outcomes: Vec<_> = (0..members.len()).map(|one| server.outcome(one)).collect();
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{what} (ended {outcomes:?} at {} ms)", server.now()));
        }
    };
    must(outcomes.iter().all(Option::is_some), "they did not end in time");
    let ended = |outcome| outcomes.contains(&Some(outcome));
    must(!(ended(Outcome::Promoted) && ended(Outcome::Aborted)), "one on each side");
    must(members.iter().all(|one| one.replayed() == one.machine), "the journal makes another one");
    let beside = |plan: &Plan| (plan.batch().is_none() || plan.surge() > 0) && !plan.recreates();
    if plans.iter().any(|plan| plan.never_ready && beside(plan)) {
        let users = members.iter().any(|one| one.world.candidate_users > 0);
        must(!users, "users on a candidate whose other was never ready");
    }
    let patient = server.fate.wait_ms == WAIT_MS;
    if plans.iter().all(good) && patient && server.halted.is_empty() {
        let all = outcomes.iter().all(|one| *one == Some(Outcome::Promoted));
        must(all, "good candidates were not promoted");
    }
    let stuck =
        plans.iter().any(|plan| plan.router_dead.is_some() || plan.crashes() || plan.rolls_back());
    must(!ended(Outcome::Stuck) || stuck || !patient, "stuck without a cause");
    for one in members {
        let (entered, plan) = (one.machine.entered(), one.world.plan);
        let users = entered.iter().any(|entered| entered.phase == Phase::Shifting);
        must(one.world.losses.refused == 0 || plan.crashes(), "requests refused");
        must(users || one.world.candidate_users == 0, "users before the switch");
        let back = entered.iter().find(|entered| entered.phase == Phase::RollingBack);
        let late = back.is_some_and(|back| back.why.contains("did not come to"));
        must(!(plan.rolls_back() && users && late), "a rollback was rolled back");
    }
    wrong
}

/// Nothing that may happen to it turns it back.
fn good(plan: &Plan) -> bool {
    let alone = matches!(plan.start.settings.strategy, Strategy::BlueGreen);
    let stable = alone || plan.stable_crash.is_none();
    let left = plan.left_alone() && plan.abort.is_none() && plan.router_dead.is_none();
    plan.candidate_is_good() && stable && left && !plan.recreates()
}

#[test]
fn all_end_on_the_same_side() {
    if let Some(seed) = asked("CUTOVER_SIM_GROUP") {
        println!("{:?}", run(seed, true));
        return;
    }
    let seeds = asked("CUTOVER_SIM_GROUPS").unwrap_or(SEEDS);
    let ends: Vec<_> = (0..seeds).map(|seed| run(seed, false)).collect();
    for outcome in [Outcome::Promoted, Outcome::Aborted] {
        let all = ends.iter().filter(|end| end.iter().all(|one| *one == Some(outcome))).count();
        println!("{outcome:?}: {all} of {}", ends.len());
        assert!(all * 6 >= ends.len(), "the worlds no longer end in every way");
    }
}
