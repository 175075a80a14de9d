//! Limits of a new version that its users' requests break, in blue-green, rolling and recreate: found by what the
//! proxy counts. No prober runs here, instances stay healthy, and nothing fails before the switch.
//!
//! Canaries are in `judging`; how sure it is, and when, is simulated in `rollout`.

use std::time::Duration;

use crate::judging::{Users, ask};
use crate::world::{World, beside, patient_config, said};

/// Clients, each with an address of its own: one unit a second each.
const CLIENTS: u8 = 40;
const BEAT: Duration = Duration::from_millis(300);
/// Direct requests before the switch, fewer than the first that fails.
const PREVIEW: &str = "preview_requests = 5";
/// Versions called `bad…` fail every tenth request, `slow…` answer after 400 ms.
const COMMAND: &str = r#"["sh", "-c", "case $1 in bad*) fault='--error-share 0.1';; slow*) fault='--latency 400ms';; esac; exec CUTOVER app --port $0 --version $1 $fault", "{port}", "{version}"]"#;

/// A world with these lines in its rollout section, v1 and its users.
fn world(instances: u16, rollout: &str) -> (World, Users) {
    baking(instances, ("40s", rollout))
}

fn baking(instances: u16, (bake, rollout): (&str, &str)) -> (World, Users) {
    let app = "[\"CUTOVER\", \"app\", \"--port\", \"{port}\", \"--version\", \"{version}\"]";
    let own = format!("{PREVIEW}\nbake = \"{bake}\"\n{rollout}");
    let config =
        patient_config(instances).replace("bake = \"1500ms\"\npreview_requests = 10", &own);
    let config = config.replace(app, COMMAND).replace("rate = 100", "enabled = false");
    assert!(config.contains("bad*") && config.contains(PREVIEW), "{config}");
    let mut world = World::new(&config);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let users = Users::of(world.port, CLIENTS, BEAT, "/?preview");
    (world, users)
}

/// Ships a version that is given up for what its users met; what was said of it.
fn given_up(world: &World, version: &str) -> String {
    let told = said(&world.expect(4, &["deploy", "demo", version]));
    let status = world.status().unwrap();
    assert_eq!(status["apps"][0]["stable"], "v1", "{status}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for client in 101..=110 {
        let answer = runtime.block_on(ask(world.port, client, "/"));
        assert_eq!(answer, Some(("v1".to_owned(), 200)));
    }
    told
}

const FAILING: &str = "is over a limit: more than 1 % of its users' requests fail";

#[test]
fn blue_green_goes_back_from_its_bake_for_errors_and_for_slow_answers() {
    let _turn = beside();
    let (world, _users) = world(1, "analysis = { p99 = \"200ms\" }");
    let plan = said(&world.expect(0, &["plan", "demo", "bad"]));
    assert!(plan.contains("more than 1 % of bad's requests failing ends it"), "{plan}");
    assert!(plan.contains("more than 1 % of its answers taking over 200 ms ends it"), "{plan}");
    let told = given_up(&world, "bad");
    assert!(told.contains(&format!("bad {FAILING}")), "{told}");
    let told = given_up(&world, "slow");
    let slow = "slow is over a limit: more than 1 % of its answers take over 200 ms";
    assert!(told.contains(slow), "{told}");
}

/// What is counted is told when it is some seconds old: later than this bake lasts.
#[test]
fn a_bake_is_not_over_before_what_was_counted_in_it_is_told() {
    let _turn = beside();
    let (world, _users) = baking(1, ("1500ms", ""));
    let told = given_up(&world, "bad");
    assert!(told.contains(&format!("bad {FAILING}")), "{told}");
    let told = said(&world.expect(0, &["deploy", "demo", "v2"]));
    assert!(told.contains(" of its users' requests 0 of "), "{told}");
}

#[test]
fn a_preview_ends_for_whom_it_is_shown_to() {
    let _turn = beside();
    let preview = "preview = \"60s\"\ntarget = { query = \"preview\", present = true }";
    let (world, users) = world(1, preview);
    users.suffer(true);
    let told = given_up(&world, "bad");
    assert!(told.contains("bad is ") && !told.contains("100 % of requests"), "{told}");
}

#[test]
fn a_rolling_replacement_stops_at_the_batch_that_fails() {
    let _turn = beside();
    let (world, _users) = world(2, "strategy = \"rolling\"");
    let told = given_up(&world, "bad");
    // Beside the old version it is worse, too: either may be sure first.
    let limit = told.contains(&format!("bad {FAILING}"));
    let worse = told.contains("bad is worse: more errors than stable at the same time");
    assert!(limit || worse, "{told}");
    assert!(told.contains("1 of 2 instances") && !told.contains("2 of 2 instances: "), "{told}");
}

#[test]
fn the_only_copy_is_put_back() {
    let _turn = beside();
    let (world, _users) = world(1, "strategy = \"recreate\"\nhold = \"20s\"");
    let told = given_up(&world, "bad");
    assert!(told.contains(&format!("bad {FAILING}")), "{told}");
}
