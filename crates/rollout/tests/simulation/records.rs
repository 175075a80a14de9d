//! The controller killed right after each record of its journal, between it and its effect, in worlds where nothing
//! else goes wrong: on every ground, on the way forward and on the way back from a bake. It comes back soon, or
//! when the time of every phase is over.
//!
//! By default after every seventh record; `CUTOVER_FULL=1` takes all of them, and both
//! times. Deaths that chance draws are `dying`'s.

use model::{Outcome, Phase};
use rollout::{Inconclusive, Start};

use crate::asked;
use crate::controller::Controller;
use crate::grounds::grounds;
use crate::plan::{Fate, Plan};
use crate::rng::Rng;
use crate::suffering::Suffering;
use crate::{judge, to_its_end};

/// Longest time for which it stays dead, ms: longer than any phase may last.
const DOWN_MS: u64 = 20_000;

/// A death: after which record, and for how long, ms.
type Death = (usize, u64);

/// Nothing goes wrong; somebody aborts it in its first bake, or nobody does.
fn calm(mut start: Start, aborted: bool) -> Plan {
    let settings = &mut start.settings;
    (settings.ready_deadline_ms, settings.preview_deadline_ms) = (8_000, 6_000);
    (settings.arm_deadline_ms, settings.shift_deadline_ms) = (1_500, 6_000);
    (settings.bake_ms, settings.pause_deadline_ms) = (1_000, 3_000);
    // Longer than any request.
    (settings.drain_deadline_ms, settings.handover_deadline_ms) = (10_000, 5_000);
    (settings.stop_deadline_ms, settings.rollback_deadline_ms) = (5_000, 8_000);
    if let Some(analysis) = &mut settings.analysis {
        analysis.inconclusive = Inconclusive::Promote;
    }
    let fates = settings.hooks.iter().map(|_| Fate::Passes(200)).collect();
    Plan {
        start,
        start_delay: 300,
        never_ready: false,
        never_home: false,
        candidate_crash: None,
        candidate_crash_loop: false,
        flaps: false,
        stable_crash: None,
        stable_stays_dead: false,
        router_delay: 300,
        replies_lost: 0,
        router_dead: None,
        long: 20,
        endless_requests: false,
        endless_tunnels: false,
        event_streams: false,
        exits_at_once: true,
        preview_errors: 0,
        candidate_errors: 0,
        never_arms: false,
        prober_lost: None,
        abort: aborted.then_some(0),
        presses: Vec::new(),
        fates,
        suffering: Suffering::default(),
        meddling: Vec::new(),
        lies: None,
        others_come: true,
        trigger: Some(Phase::Baking),
        deaths: 0,
        down: DOWN_MS,
    }
}

/// The world with that death, judged; answers how many records there are.
fn run(ground: &str, plan: &Plan, death: Option<Death>) -> usize {
    let mut controller = Controller::new(plan, Rng::new(ground.len() as u64));
    controller.death = death;
    to_its_end(&mut controller);
    let mut wrong = std::mem::take(&mut controller.world.violations);
    wrong.extend(judge(plan, &controller));
    let losses = &controller.world.losses;
    if losses.refused + losses.crashed + losses.ended_by_us > 0 {
        wrong.push(format!("lost: {losses:?}"));
    }
    let ends = [Some(Outcome::Promoted), Some(Outcome::Aborted)];
    if !ends.contains(&controller.machine.outcome()) {
        wrong.push(format!("ended {:?}", controller.machine.outcome()));
    }
    let entered = controller.machine.entered();
    wrong.truncate(5);
    assert!(wrong.is_empty(), "{ground}, {death:?} {:?}: {wrong:#?} {entered:#?}", plan.abort);
    controller.journal.len()
}

/// A death after so many records of a world.
fn die_after_each(ground: &str, plan: &Plan, (first, every): (usize, usize)) -> usize {
    let records = run(ground, plan, None);
    let mut rng = Rng::new(records as u64);
    for record in (first..=records).step_by(every) {
        let downs = [rng.between(100, 1_500), rng.between(10_000, DOWN_MS)];
        // One of them is enough where the others have their day.
        let chosen = if every == 1 { &downs[..] } else { &downs[record / every % 2..][..1] };
        for down in chosen {
            run(ground, plan, Some((record, *down)));
        }
    }
    records.saturating_sub(first) / every + 1
}

#[test]
fn a_death_after_any_record_costs_nothing() {
    let which = if asked("CUTOVER_FULL").is_some() { (1, 1) } else { (4, 7) };
    let mut records = 0;
    for (ground, _, start) in grounds() {
        for aborted in [false, true] {
            records += die_after_each(ground, &calm(start.clone(), aborted), which);
        }
    }
    println!("a death after each of {records} records");
}
