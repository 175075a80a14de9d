//! A canary by instances: those of the new version are started when their step comes, beside all of the old one's,
//! and the share follows from how many there are.
//!
//! Deaths and refusals on the way are tried with the machine (`rollout`), not here.

use crate::crowd::{Crowd, EVERYONE};
use crate::traffic::Deploy;
use crate::world::{World, beside, patient_config, said, wait_for};

/// Waits until a person is waited for at that share; how many of the old and of the new version run then.
fn paused_at(world: &World, points: u64) -> (usize, usize) {
    wait_for(&format!("a pause at {points}"), 20, || {
        let app = world.status()?["apps"][0].clone();
        let pools = app["pools"].as_array()?.clone();
        let there = pools.iter().any(|pool| pool["version"] == "v2" && pool["weight"] == points);
        (app["coarse"] == "Paused" && there).then_some(())
    });
    let running = world.running();
    let of = |release: &str| running.iter().filter(|(id, _)| id.starts_with(release)).count();
    (of("demo-1-"), of("demo-2-"))
}

#[test]
fn instances_of_a_canary_come_with_its_shares() {
    let _turn = beside();
    let steps = "steps = [{ instances = 1 }, \"pause\", { instances = 2 }, \"pause\"]";
    let canary = format!("strategy = \"canary\"\n{steps}\nstep_bake = \"500ms\"\nbake = \"500ms\"");
    let mut world = World::new(&patient_config(3).replace("bake = \"1500ms\"", &canary));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let plan = said(&world.expect(0, &["plan", "demo", "v2"]));
    let order = "canary, 1 of 3 instances: 25.00%, pause, 2 of 3 instances: 40.00%, pause then \
                 everything";
    assert!(plan.contains(order), "{plan}");

    let crowd = Crowd::of(&world, &EVERYONE);
    let deploy = Deploy::start(&world, "demo", "v2");
    assert_eq!(paused_at(&world, 2_500), (3, 1));
    crowd.mark();
    let refused = said(&world.expect(2, &["set-weight", "demo", "60%"]));
    assert!(refused.contains("the share follows from the instances"), "{refused}");
    world.expect(0, &["promote", "demo", "--detach"]);
    assert_eq!(paused_at(&world, 4_000), (3, 2));
    crowd.mark();
    world.expect(0, &["promote", "demo", "--detach"]);
    let shipped = deploy.end();
    crowd.expect_nothing_lost();
    let report = &shipped.report;
    let well = report["outcome"] == "promoted" && report["failed"] == 0;
    assert!(well && matches!(shipped.code, Some(0 | 3)), "{}{}", shipped.why(), shipped.said);
    let shares = report["shares"].as_array().unwrap();
    let wanted: Vec<_> = shares.iter().map(|share| share["wanted_bp"].as_u64()).collect();
    assert_eq!(wanted, [Some(2_500), Some(4_000), Some(10_000)], "{}", shipped.said);
    let running = world.running();
    let new = running.iter().filter(|(id, _)| id.starts_with("demo-2-")).count();
    assert_eq!((running.len(), new), (3, 3), "{running:?}");
}
