//! An app that can run only one copy: its users wait while it is replaced, and lose nothing, also when
//! the new version is no good.
//!
//! Bounds of the waiting are tried in the proxy's own `hold`, not here.

use std::time::Duration;

use drivers::router::proxy::Proxy;
use model::admin::HoldSeen;

use crate::crowd::{Crowd, REQUESTS};
use crate::traffic::{Deploy, Shipped, Users};
use crate::world::{World, patient_config, said, turn};

/// Versions called `crashes…` end at once, those called `lies…` err on every route but that of health
/// checks; all others are good.
const COMMAND: &str = r#"["sh", "-c", "case $1 in crashes*) exit 7;; lies*) lies=--health-lies;; esac; exec CUTOVER app --port $0 --version $1 $lies", "{port}", "{version}"]"#;

fn world() -> World {
    let app = "[\"CUTOVER\", \"app\", \"--port\", \"{port}\", \"--version\", \"{version}\"]";
    let recreate =
        "strategy = \"recreate\"\nhold = \"20s\"\nhold_requests = 2000\nbake = \"500ms\"";
    let config = patient_config(1).replace("bake = \"1500ms\"", recreate).replace(app, COMMAND);
    // Later than anybody may wait.
    let config = config
        .replace(", \"websocket\"]", "]")
        .replace("late_after = \"5s\"", "late_after = \"25s\"\ntimeout = \"30s\"");
    assert!(config.contains("crashes") && config.contains("recreate") && config.contains("25s"));
    let mut world = World::new(&config);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    world
}

fn held(world: &World) -> HoldSeen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let proxy = Proxy::new(&world.state().join("proxy.sock"));
    let seen = runtime.block_on(proxy.seen()).unwrap();
    seen.apps[0].held
}

/// Ships a version under load; nothing fails, and users waited.
fn ship(world: &World, version: &str, phases: &[&str]) -> Shipped {
    let (crowd, users) = (Crowd::of(world, &REQUESTS), Users::held(world));
    let before = held(world);
    let mut deploy = Deploy::start(world, "demo", version);
    for phase in phases {
        deploy.reach(phase);
        let running = world.running();
        assert!(running.len() <= 1, "two copies at {phase}: {running:?}");
    }
    let shipped = deploy.end();
    users.expect_pass();
    crowd.expect_nothing_lost();
    assert_eq!(shipped.report["failed"], 0, "{} {}", shipped.why(), shipped.said);
    let after = held(world);
    assert!(after.total > before.total + 10, "nobody waited: {before:?} {after:?}");
    assert_eq!((after.now, after.refused), (0, 0), "{after:?}");
    let longest = Duration::from_millis(after.longest_ms);
    assert!(longest > Duration::from_millis(50) && longest < Duration::from_secs(20), "{after:?}");
    let told = &shipped.report["router"]["held"];
    assert!(told["total"].as_u64().unwrap() > 10 && told["refused"] == 0, "{told}");
    let status = said(&world.expect(0, &["status"]));
    assert!(status.contains("0 requests wait now") && status.contains("0 refused"), "{status}");
    println!(
        "| recreate {version} | {} waited, the longest {longest:?} |",
        after.total - before.total
    );
    shipped
}

#[test]
fn the_only_copy_is_replaced_and_its_users_only_wait() {
    let _turn = turn();
    let world = world();
    let shipped = ship(&world, "v2", &["draining", "stopping", "starting", "shifting", "baking"]);
    shipped.expect(0, "PASS");
    assert!(world.running().iter().all(|(id, _)| id.starts_with("demo-2-")));
}

#[test]
fn a_new_version_that_is_no_good_costs_the_users_of_the_only_copy_nothing() {
    let _turn = turn();
    let world = world();
    for version in ["crashes", "lies"] {
        let back = ["draining", "stopping", "stopping-candidate", "rolling-back", "aborted"];
        let shipped = ship(&world, version, &back);
        assert_eq!(shipped.code, Some(4), "{} {}", shipped.why(), shipped.said);
        let running = world.running();
        assert!(running.len() == 1 && running[0].0.starts_with("demo-1-"), "{running:?}");
    }
}
