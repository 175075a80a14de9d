//! Canary and rolling behind Cutover's own proxy: nothing lost, shares kept, never one instance more
//! than usual.

use crate::crowd::{Crowd, EVERYONE};
use crate::traffic::Deploy;
use crate::world::{World, patient_config, turn};

/// A patient world, twice as eager, with another strategy.
fn world(instances: u16, rollout: &str) -> World {
    let config = patient_config(instances).replace("bake = \"1500ms\"", rollout);
    World::new(&config.replace("rate = 100", "rate = 200"))
}

#[test]
fn a_canary_gets_its_share_and_then_everything() {
    let _turn = turn();
    let rollout = "strategy = \"canary\"\nsteps = [\"25%\"]\nstep_bake = \"4s\"\nbake = \"1s\"";
    let mut world = world(2, rollout);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let crowd = Crowd::of(&world, &EVERYONE);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    deploy.reach("shifting");
    crowd.mark();
    deploy.reach("baking");
    deploy.reach("shifting");
    crowd.mark();
    let shipped = deploy.end();
    crowd.expect_nothing_lost();
    shipped.expect(0, "PASS");
    let shares = shipped.report["shares"].as_array().unwrap();
    let wanted: Vec<_> = shares.iter().map(|share| share["wanted_bp"].as_u64().unwrap()).collect();
    assert_eq!(wanted, [2_500, 10_000]);
    assert!(shares[0]["answers"].as_u64().unwrap() > 300, "{shares:?}");
    for share in shares {
        assert_eq!(share["finding"], "as_wanted", "{shares:?}");
    }
    assert_eq!(shipped.report["proof"]["regressions"], 0);
}

#[test]
fn a_canary_that_is_aborted_takes_its_users_back() {
    let _turn = turn();
    let rollout = "strategy = \"canary\"\nsteps = [\"25%\", \"50%\"]\nstep_bake = \"20s\"";
    let mut world = world(2, rollout);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let crowd = Crowd::of(&world, &EVERYONE);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    deploy.reach("baking");
    crowd.mark();
    world.expect(0, &["abort", "demo"]);
    let shipped = deploy.end();
    crowd.expect_nothing_lost();
    shipped.expect(4, "PASS");
    let running = world.running();
    assert!(running.len() == 2 && running.iter().all(|(id, _)| id.starts_with("demo-1-")));
}

#[test]
fn a_rolling_replacement_never_runs_one_more_than_usual() {
    let _turn = turn();
    let mut world = world(4, "strategy = \"rolling\"\nbatch = 2\nbake = \"500ms\"");
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let crowd = Crowd::of(&world, &EVERYONE);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    let mut most = 0;
    for phase in ["draining", "stopping", "shifting", "draining", "stopping", "shifting"] {
        deploy.reach(phase);
        crowd.mark();
        most = most.max(world.running().len());
    }
    let shipped = deploy.end();
    crowd.expect_nothing_lost();
    shipped.expect(0, "PASS");
    assert!(most <= 4, "{most} instances of 4 ran at once: {}", shipped.said);
    let running = world.running();
    assert!(running.len() == 4 && running.iter().all(|(id, _)| id.starts_with("demo-2-")));
    assert_eq!(shipped.report["proof"]["regressions"], 0);
}
