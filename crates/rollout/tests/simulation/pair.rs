//! Two rollouts that go together, each in a small world of its own where much goes wrong: both end on the
//! new version, or both on the old one. Each controller dies for itself.

use model::{AppName, Outcome, Phase, Version};
use rollout::{Other, Stage, Strategy, Together};

use crate::asked;
use crate::controller::Controller;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::suffering::Suffering;
use crate::world::STEP_MS;

/// Two worlds take longer than one; `CUTOVER_SIM_PAIRS=n` runs n of them.
const SEEDS: u64 = 60;

/// Longer than any of them takes.
const WAIT_MS: u64 = 2_000_000;

impl Controller<'_> {
    /// Hears of the other one.
    fn rule(&mut self, other: &Stage) {
        if self.world.now < self.down_until || self.down_until > 0 {
            return;
        }
        while let Some(event) = self.machine.ruling(std::slice::from_ref(other)) {
            self.tell(event);
            if self.dies() {
                return;
            }
        }
    }
}

#[test]
fn both_end_on_the_same_side() {
    if let Some(seed) = asked("CUTOVER_SIM_PAIR") {
        println!("{:?}", run(seed, true));
        return;
    }
    let ends: Vec<_> =
        (0..asked("CUTOVER_SIM_PAIRS").unwrap_or(SEEDS)).map(|seed| run(seed, false)).collect();
    for outcome in [Outcome::Promoted, Outcome::Aborted] {
        let both = ends.iter().filter(|end| **end == [Some(outcome); 2]).count();
        println!("{outcome:?}: {both} of {}", ends.len());
        assert!(both * 6 >= ends.len(), "the worlds no longer end in every way");
    }
}

fn draw(rng: &mut Rng, seed: u64, other: &str) -> Plan {
    let mut plan = Plan::draw(rng);
    plan.surges(&mut Rng::new(seed ^ 0x7375_7267));
    // Where each of two has so many faults, hardly any pair would ever be promoted.
    if rng.chance(65) {
        calm(&mut plan);
    } else {
        plan.operate(&mut Rng::new(seed ^ 0x6f70_6572));
        plan.hook(&mut Rng::new(seed ^ 0x686f_6f6b));
        plan.suffering = Suffering::draw(&mut plan.start.settings, &mut Rng::new(seed ^ 0x7375));
    }
    let app = AppName::new(other).unwrap();
    let other = Other { app, version: Version::new("v2").unwrap(), run: other.to_owned() };
    plan.start.settings.together = Some(Together {
        name: AppName::new("both").unwrap(),
        others: vec![other],
        wait_ms: WAIT_MS,
    });
    plan
}

/// Nothing goes wrong but that the controller dies, and the router is slow.
fn calm(plan: &mut Plan) {
    (plan.never_ready, plan.never_home, plan.flaps) = (false, false, false);
    (plan.candidate_crash, plan.candidate_crash_loop) = (None, false);
    (plan.stable_crash, plan.router_dead, plan.abort) = (None, None, None);
    (plan.preview_errors, plan.candidate_errors) = (0, 0);
}

fn run(seed: u64, tell: bool) -> [Option<Outcome>; 2] {
    let mut rng = Rng::new(seed ^ 0x7061_6972);
    let plans = [draw(&mut rng, seed, "credit"), draw(&mut rng, seed ^ 0xff00, "message")];
    let mut pair =
        plans.each_ref().map(|plan| Controller::new(plan, Rng::new(rng.between(0, 1 << 40))));
    let bound = |pair: &[Controller<'_>; 2]| {
        let each = |c: &Controller<'_>| {
            let plan = c.world.plan;
            plan.bound_ms() + u64::from(c.deaths) * (plan.down + 5_000 + STEP_MS)
        };
        pair.iter().map(each).sum::<u64>()
    };
    while pair.iter().any(|one| one.machine.outcome().is_none()) && pair[0].world.now < bound(&pair)
    {
        step(&mut pair);
    }
    for _ in 0..20 {
        step(&mut pair);
    }
    let mut wrong: Vec<String> =
        pair.iter_mut().flat_map(|one| std::mem::take(&mut one.world.violations)).collect();
    wrong.extend(judge(&plans, &pair));
    if tell || !wrong.is_empty() {
        for (plan, one) in plans.iter().zip(&pair) {
            println!("{plan:#?}\n{:#?}\n{:?}", one.machine.entered(), one.machine.notes());
        }
    }
    wrong.truncate(5);
    assert!(wrong.is_empty(), "replay with CUTOVER_SIM_PAIR={seed}: {wrong:#?}");
    pair.each_ref().map(|one| one.machine.outcome())
}

fn step(pair: &mut [Controller<'_>; 2]) {
    for (me, other) in [(0, 1), (1, 0)] {
        pair[me].step();
        let stage = pair[other].machine.stage();
        pair[me].rule(&stage);
    }
}

/// What must be true of both when they are over.
fn judge(plans: &[Plan; 2], pair: &[Controller<'_>; 2]) -> Vec<String> {
    let outcomes = pair.each_ref().map(|one| one.machine.outcome());
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{what} (ended {outcomes:?} at {} ms)", pair[0].world.now));
        }
    };
    must(outcomes.iter().all(Option::is_some), "they did not end in time");
    let ended = |outcome| outcomes.contains(&Some(outcome));
    must(!(ended(Outcome::Promoted) && ended(Outcome::Aborted)), "one on each side");
    must(pair.iter().all(|one| one.replayed() == one.machine), "the journal makes another machine");
    let beside = |plan: &Plan| (plan.batch().is_none() || plan.surge() > 0) && !plan.recreates();
    if plans.iter().any(|plan| plan.never_ready && beside(plan)) {
        let users = pair.iter().any(|one| one.world.candidate_users > 0);
        must(!users, "users on a candidate whose other was never ready");
    }
    let good = |plan: &Plan| {
        let stable = matches!(plan.start.settings.strategy, Strategy::BlueGreen);
        let stable = stable || plan.stable_crash.is_none();
        let left = plan.left_alone() && plan.abort.is_none() && plan.router_dead.is_none();
        plan.candidate_is_good() && stable && left && !plan.recreates()
    };
    if plans.iter().all(good) {
        must(outcomes == [Some(Outcome::Promoted); 2], "two good candidates were not promoted");
    }
    let stuck =
        plans.iter().any(|plan| plan.router_dead.is_some() || plan.crashes() || plan.rolls_back());
    must(!ended(Outcome::Stuck) || stuck, "stuck without a cause");
    for one in pair {
        let users = one.machine.entered().iter().any(|entered| entered.phase == Phase::Shifting);
        must(one.world.losses.refused == 0 || one.world.plan.crashes(), "requests refused");
        must(users || one.world.candidate_users == 0, "users before the switch");
    }
    wrong
}
