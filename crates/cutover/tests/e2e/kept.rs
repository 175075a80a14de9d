//! The old version runs on when users have left it, and they can be back on it at once.
//!
//! One that dies while it is kept is not tried here, but with the machine (`rollout`).

use serde_json::Value;

use crate::crowd::{Crowd, EVERYONE};
use crate::traffic::Deploy;
use crate::world::{World, beside, patient_config, said, wait_for};

fn app(world: &World) -> Value {
    world.status().map_or(Value::Null, |status| status["apps"][0].clone())
}

/// The release's instances with their pids, once they are all that runs, and settled.
fn only(world: &World, releases: &[&str]) -> Vec<(String, u32)> {
    wait_for(&format!("only {releases:?} run"), 20, || {
        let running = world.running();
        let of = |release: &&str| running.iter().any(|(id, _)| id.starts_with(release));
        let known = |(id, _): &(String, u32)| releases.iter().any(|one| id.starts_with(*one));
        (releases.iter().all(of) && running.iter().all(known)).then_some(running)
    })
}

fn promoted(world: &World, version: &str) {
    // On a machine that is too busy the prober cannot vouch for all of it.
    let output = world.run(&["deploy", "demo", version]);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", said(&output));
    assert_eq!(app(world)["stable"], version);
}

#[test]
fn what_is_kept_survives_up_takes_users_back_and_goes_when_it_is_told_or_replaced() {
    let _turn = beside();
    let keys = "bake = \"300ms\"\nkeep_old = \"1h\"";
    let mut world = World::new(&patient_config(1).replace("bake = \"1500ms\"", keys));
    world.up();
    promoted(&world, "v1");
    let plan = said(&world.expect(0, &["plan", "demo", "v2"]));
    assert!(plan.contains("v1 runs on for 1h without traffic, 1 instance beside"), "{plan}");
    let crowd = Crowd::of(&world, &EVERYONE);
    promoted(&world, "v2");
    let both = only(&world, &["demo-1-", "demo-2-"]);
    world.kill_up();
    world.up();
    let kept = wait_for("it is kept", 10, || app(&world).get("kept").cloned());
    let left = kept["left_ms"].as_u64().unwrap();
    assert!(kept["version"] == "v1" && (3_000_000..3_600_000).contains(&left), "{kept}");
    let status = said(&world.expect(0, &["status"]));
    assert!(status.contains("v1 runs on for "), "{status}");
    assert_eq!(only(&world, &["demo-1-", "demo-2-"]), both, "others run now");

    crowd.mark();
    let shipped = Deploy::run(&world, &["rollback", "demo", "--json"]).end();
    assert!(matches!(shipped.code, Some(0 | 3)), "{}", shipped.said);
    let phases = shipped.report["phases"].as_array().unwrap();
    let second = phases[1]["phase"].as_str().unwrap();
    assert_eq!(second, "shifting", "{}", shipped.said);
    assert_eq!(only(&world, &["demo-1-"]), both[..1], "it was started again");

    promoted(&world, "v3");
    only(&world, &["demo-1-", "demo-3-"]);
    let aborted = said(&world.expect(0, &["abort", "demo"]));
    assert!(aborted.contains("users return to v1, which still runs"), "{aborted}");
    wait_for("users are on v1", 20, || {
        let app = app(&world);
        (app["stable"] == "v1" && app["rollout"].is_null()).then_some(())
    });
    assert_eq!(only(&world, &["demo-1-"]), both[..1], "it was started again");

    promoted(&world, "v4");
    only(&world, &["demo-1-", "demo-4-"]);
    let told = said(&world.expect(0, &["promote", "demo"]));
    assert!(told.contains("v1 is kept no longer"), "{told}");
    only(&world, &["demo-4-"]);
    assert!(app(&world).get("kept").is_none());
    crowd.expect_nothing_lost();
    world.expect(0, &["down"]);
    world.assert_nothing_runs();
}
