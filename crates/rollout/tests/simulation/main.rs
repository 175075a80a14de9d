//! The machine in a small world where much goes wrong, drawn from a seed.
//!
//! `CUTOVER_SIM_SEEDS=n` runs n seeds; `CUTOVER_SIM_SEED=s` runs that one and prints its story. What
//! happens next is in `world`, who acts in `controller`; here it is only run and judged.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod calls;
mod controller;
mod dying;
mod grounds;
mod group;
mod hearable;
mod liar;
mod limited;
mod meddling;
mod plan;
mod quiet;
mod records;
mod rng;
mod router;
mod sequences;
mod suffering;
mod ways;
mod world;

use std::collections::BTreeSet;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

use model::{Outcome, Phase};
use rollout::Strategy;

use calls::Calls;
use controller::Controller;
use plan::{CANDIDATE, Plan};
use rng::Rng;
use suffering::Suffering;
use ways::Way;
use world::{Instance, STEP_MS};

const SEEDS: u64 = 2_400;

/// Deaths of the controller in one world; one that has not ended by then would never end.
const MOST_DEATHS: u32 = 2_000;

#[expect(clippy::disallowed_methods, reason = "the test is told its seeds by the environment")]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn every_world_ends_well() {
    if let Some(seed) = asked("CUTOVER_SIM_SEED") {
        return run(seed, true, &mut BTreeSet::new());
    }
    let seeds = asked("CUTOVER_SIM_SEEDS").unwrap_or(SEEDS);
    let mut ways = all(seeds);
    ways.extend(sequences::ways_of_one_event());
    ways::expect_known(&ways);
    if seeds >= SEEDS {
        ways::expect_all(&ways);
    }
}

/// All of them, on every core.
fn all(seeds: u64) -> BTreeSet<Way> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let part = |first: usize| {
        let mut ways = BTreeSet::new();
        (0..seeds).skip(first).step_by(threads).for_each(|seed| run(seed, false, &mut ways));
        ways
    };
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(move || part(first))).collect();
        let ways =
            |part: ScopedJoinHandle<'_, _>| part.join().unwrap_or_else(|why| resume_unwind(why));
        parts.into_iter().flat_map(ways).collect()
    })
}

fn run(seed: u64, tell: bool, ways: &mut BTreeSet<Way>) {
    let mut rng = Rng::new(seed);
    let mut plan = Plan::draw(&mut rng);
    // From a stream of its own, so that the worlds without operators stay what they were.
    plan.operate(&mut Rng::new(seed ^ 0x6f70_6572_6174_6f72));
    plan.keep(&mut Rng::new(seed ^ 0x6b65_6570));
    plan.hook(&mut Rng::new(seed ^ 0x686f_6f6b));
    plan.surges(&mut Rng::new(seed ^ 0x7375_7267));
    plan.count(&mut Rng::new(seed ^ 0x636f_756e_7400));
    plan.hook_steps(&mut Rng::new(seed ^ 0x7374_6570_7300));
    plan.meddle(&mut Rng::new(seed ^ 0x6d65_6464_6c65));
    plan.lie(&mut Rng::new(seed ^ 0x006c_6965_7300));
    plan.suffering = Suffering::draw(&mut plan.start.settings, &mut Rng::new(seed ^ 0x7375_6666));
    limited::draw(&mut plan, &mut Rng::new(seed ^ 0x6c69_6d69_7400));
    let mut controller = Controller::new(&plan, rng);
    to_its_end(&mut controller);
    let mut wrong = std::mem::take(&mut controller.world.violations);
    wrong.extend(judge(&plan, &controller));
    if tell || !wrong.is_empty() {
        println!("{plan:#?}\n{:#?}\n{:?}", controller.machine.entered(), controller.world.losses);
        println!("notes {:?}, deaths {}", controller.machine.notes(), controller.deaths);
    }
    wrong.truncate(5);
    assert!(wrong.is_empty(), "replay with CUTOVER_SIM_SEED={seed}: {wrong:#?}");
    ways.extend(ways::of(plan.kind(), &controller.machine));
}

/// Until it is over, or ought to be, and a little longer.
fn to_its_end(controller: &mut Controller<'_>) {
    let plan = controller.world.plan;
    // Each death may cost its down time and the time to look again.
    let bound =
        |c: &Controller<'_>| plan.bound_ms() + u64::from(c.deaths) * (plan.down + 5_000 + STEP_MS);
    while controller.machine.outcome().is_none()
        && controller.world.now < bound(controller)
        && controller.deaths < MOST_DEATHS
    {
        controller.step();
    }
    for _ in 0..20 {
        controller.step();
    }
}

/// What must be true of a world that is over.
fn judge(plan: &Plan, controller: &Controller<'_>) -> Vec<String> {
    let (machine, world) = (&controller.machine, &controller.world);
    let said = |words: &str| machine.entered().iter().any(|entered| entered.why.contains(words));
    let outcome = machine.outcome();
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{what} (ended {outcome:?} at {} ms)", world.now));
        }
    };
    must(outcome.is_some(), "it did not end in time");
    must(controller.replayed() == *machine, "the journal makes another machine");
    must(is_steered_back(controller), "what somebody else set is still there");
    if plan.lies.is_some() {
        return wrong;
    }

    let router_lives = plan.router_dead.is_none();
    // A share, and a batch, need stable.
    let alone = matches!(plan.start.settings.strategy, Strategy::BlueGreen);
    let stable_lives = alone || plan.stable_crash.is_none();
    // What does not finish in time is not cut.
    let drains = !plan.recreates() || !said("nothing was ended");
    // A hook that no controller outlived has failed.
    let drains = drains && !said("the controller ended while it was called");
    let good = plan.candidate_is_good() && plan.abort.is_none() && plan.left_alone();
    if good && router_lives && stable_lives && drains {
        must(outcome == Some(Outcome::Promoted), "a good candidate was not promoted");
    }
    if plan.never_ready {
        let stuck = outcome == Some(Outcome::Stuck) && (plan.batch().is_some() || plan.recreates());
        let excused = stuck && (!plan.is_honest() || plan.stable_crash.is_some() || !router_lives);
        must(outcome == Some(Outcome::Aborted) || excused, "a candidate that is never ready");
        must(world.candidate_users == 0, "users on a candidate that was never ready");
    }
    home(plan, controller, &mut must);
    kept(plan, controller, &mut must);
    Calls::judge(plan, (&controller.journal, world.candidate_users), &mut must);
    Calls::judge_steps((plan, machine), &controller.journal, &mut must);
    must(!blamed(plan, controller), "what hit both was held against the candidate");
    limited::judge(plan, controller, &mut must);
    // A rolling replacement gets back from a candidate that dies; stable must live for that.
    let dies = if plan.batch().is_some() {
        plan.flaps || plan.stable_crash.is_some()
    } else {
        plan.crashes()
    };
    let excuse = !router_lives || dies || plan.rolls_back() || !plan.is_honest();
    must(outcome != Some(Outcome::Stuck) || excuse, "stuck without a cause");
    must(world.losses.refused == 0 || plan.crashes(), "requests refused without a crash");
    must(world.losses.ended_by_us == 0 || said("still open"), "requests cut and not said");
    must(world.losses.tunnels_killed == 0 || said("they are cut"), "tunnels cut and not said");
    if outcome == Some(Outcome::Aborted) {
        let gone = world.fleet(CANDIDATE).instances.is_empty() || said("warning");
        must(gone, "aborted with candidate instances left");
    }
    wrong
}

/// Nobody's routes but those that are wanted, once there was time for that.
fn is_steered_back(controller: &Controller<'_>) -> bool {
    let (world, plan) = (&controller.world, controller.world.plan);
    let time = world.now > plan.left_ms() + plan.router_delay + 2 * STEP_MS;
    let could = time && controller.deaths == 0 && world.router.alive(world.now);
    !could || !world.router.foreign
}

/// What is kept is all there and was told nothing; what was kept has its users back without a preview.
fn kept(plan: &Plan, controller: &Controller<'_>, must: &mut impl FnMut(bool, &str)) {
    let (machine, world) = (&controller.machine, &controller.world);
    let entered = |phase: Phase| machine.entered().iter().any(|entered| entered.phase == phase);
    if plan.keeps() {
        let told = world.stable.instances.iter().any(Instance::told_to_end);
        let all = world.stable.instances.len() == usize::from(plan.start.instances);
        must(!told && (all || plan.crashes()), "what is kept did not stay");
        must(!entered(Phase::Stopping), "what is kept was to end");
    }
    if plan.start.settings.warm && !plan.crashes() {
        must(!entered(Phase::Previewing) && !entered(Phase::Arming), "a warm release had to wait");
    }
}

/// An incident that hits both, where each of them answers enough to be seen, undoes nothing by a limit.
fn blamed(plan: &Plan, controller: &Controller<'_>) -> bool {
    let machine = &controller.machine;
    let turned = machine.entered().iter().find(|entered| entered.phase == Phase::RollingBack);
    // Of a stable that is dead nothing is seen.
    let good = plan.candidate_is_good() && plan.deaths == 0 && !plan.crashes() && plan.is_honest();
    let Some(turned) = turned.filter(|_| good && plan.suffering.incident.is_some()) else {
        return false;
    };
    // Nor of one that has left the routes whole, as where a surge replaces all at once.
    if plan.batch().is_some_and(|batch| batch >= plan.start.instances) {
        return false;
    }
    let share = machine.shares().iter().rfind(|share| share.at_ms < turned.at_ms);
    let few = share.is_some_and(|share| share.share.basis_points() <= 6_000);
    let limit = turned.why.contains("failed since") || turned.why.contains("over a limit");
    few && limit
}

/// What is true of the way home, and of a world without one.
fn home(plan: &Plan, controller: &Controller<'_>, must: &mut impl FnMut(bool, &str)) {
    let (machine, world) = (&controller.machine, &controller.world);
    let entered = machine.entered();
    // More may be started for each share.
    let mut later = entered.iter().skip_while(|entered| entered.phase != Phase::Stopping);
    let begun = later.any(|entered| entered.phase == Phase::Starting);
    if plan.batch().is_some() || plan.recreates() {
        return;
    }
    must(!begun || plan.returns_home(), "a way home that nobody asked for");
    if machine.outcome() != Some(Outcome::Promoted) {
        return must(!begun, "the way home ended otherwise");
    }
    let warned = entered.iter().any(|entered| entered.why.contains("warning"));
    must(begun || warned || !plan.returns_home(), "no way home");
    if !begun || warned || plan.crashes() || world.router.foreign {
        return;
    }
    let all = &world.candidate.instances;
    let out = all.iter().filter(|one| world.router.out(one.id)).count();
    let usual = usize::from(plan.start.instances);
    must((all.len(), out) == (2 * usual, usual), "there is no spare");
    must(!plan.never_home, "a spare of those that were never ready");
}
