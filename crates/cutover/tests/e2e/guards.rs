//! What pauses a rollout, or ends it, beside the prober: an incident that hits both versions, a step in
//! which nothing was shown, and metrics with limits (of programs; `prometheus` has the others). And that a controller that was killed judges on.
//!
//! No prober runs here, and instances stay healthy.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::judging::Users;
use crate::world::{World, beside, patient_config, said, wait_for};

const BEAT: Duration = Duration::from_millis(300);
/// The proxy gives such a request up, whoever was to answer it.
const SLOW: &str = "/slow?ms=900";

/// A canary without a prober, with these lines in its rollout section and after it.
fn canary(rollout: &str, more: &str) -> String {
    let own = format!("strategy = \"canary\"\npreview_requests = 0\nbake = \"500ms\"\n{rollout}");
    let config = patient_config(1).replace("bake = \"1500ms\"\npreview_requests = 10", &own);
    config.replace("rate = 100", "enabled = false") + more
}

fn app(world: &World) -> Value {
    world.status().map_or(Value::Null, |status| status["apps"][0].clone())
}

/// Waits until the rollout is paused; answers why.
fn paused(world: &World) -> String {
    wait_for("a pause", 30, || {
        let app = app(world);
        (app["coarse"] == "Paused").then(|| app["paused"].as_str().unwrap_or_default().to_owned())
    })
}

fn deploy(world: &World, version: &str) -> Child {
    let mut command = world.command(&["deploy", "demo", version]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end of a deploy.
fn ended(deploy: Child, code: i32) -> String {
    let output = deploy.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    said(&output)
}

#[test]
fn an_incident_that_hits_both_pauses_and_a_person_goes_on() {
    let _turn = beside();
    let limits = "\n[app.demo.limits]\nanswer_begins = \"300ms\"\n";
    let mut world = World::new(&canary("steps = [\"40%\"]\nstep_bake = \"60s\"", limits));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let users = Users::of(world.port, 40, BEAT, SLOW);
    users.suffer(true);
    let rollout = deploy(&world, "v2");
    let why = paused(&world);
    assert!(why.starts_with("both suffer: "), "{why}");
    let text = said(&world.expect(0, &["status"]));
    assert!(text.contains("paused: both suffer: "), "{text}");
    users.suffer(false);
    world.expect(0, &["promote", "demo"]);
    let told = ended(rollout, 0);
    assert!(told.contains("paused: both suffer: "), "{told}");
    assert_eq!(world.status().unwrap()["apps"][0]["stable"], "v2");
}

#[test]
fn a_step_in_which_nothing_was_shown_waits_for_a_person() {
    let _turn = beside();
    let inconclusive = "\n[app.demo.rollout.analysis]\ninconclusive = \"pause\"\n";
    let mut world = World::new(&canary("steps = [\"40%\"]\nstep_bake = \"300ms\"", inconclusive));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let rollout = deploy(&world, "v2");
    let why = paused(&world);
    assert!(why.contains("it is not shown that v2 is no worse"), "{why}");
    world.expect(0, &["resume", "demo"]);
    ended(rollout, 0);
}

#[test]
fn a_program_has_the_say() {
    let _turn = beside();
    let metric = "\n[[app.demo.rollout.metrics]]\nname = \"queue\"\nmax = 100\ninterval = \"100ms\"\n\
                  failures = 2\ncommand = [\"cat\", \"queue-{version}\"]\n";
    let mut world = World::new(&canary("steps = [\"40%\"]\nstep_bake = \"300ms\"", metric));
    let queue = |version: &str, length: &str| {
        std::fs::write(world.path().join(format!("queue-{version}")), length).unwrap();
    };
    queue("v2", "3");
    queue("v3", "140");
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let plan = said(&world.expect(0, &["plan", "demo", "v2"]));
    assert!(plan.contains("queue (cat): at most 100, at every step, every 100ms"), "{plan}");
    let told = said(&world.expect(0, &["deploy", "demo", "v2"]));
    assert!(told.contains("queue is 3, at most 100"), "{told}");
    let told = said(&world.expect(4, &["deploy", "demo", "v3"]));
    assert!(told.contains("queue is beyond its limit (2 times in a row)"), "{told}");
    // There is no file for v4: `cat` fails, which is no value, and a person is asked.
    let rollout = deploy(&world, "v4");
    let why = paused(&world);
    assert!(why.starts_with("queue could not be measured (2 times in a row)"), "{why}");
    world.expect(0, &["abort", "demo", "--reason", "nobody knows the queue"]);
    let told = ended(rollout, 4);
    assert!(told.contains("nobody knows the queue"), "{told}");
    assert_eq!(world.status().unwrap()["apps"][0]["stable"], "v2");
}

/// What the journal has of the comparison: units of the candidate, and the last tick.
fn compared(world: &World) -> Option<(u64, u64)> {
    let database = rusqlite::Connection::open(world.state().join("cutover.db")).unwrap();
    let facts = "json_extract(body, '$.state.facts.comparison.candidate.units'), \
                 json_extract(body, '$.state.facts.compared_s')";
    let sql = format!("SELECT {facts} FROM frozen ORDER BY rollout DESC LIMIT 1");
    database.query_row(&sql, (), |row| Ok((row.get(0)?, row.get(1)?))).ok()
}

#[test]
fn killed_in_the_middle_of_a_step_it_judges_on() {
    let _turn = beside();
    let mut world = World::new(&canary("steps = [\"40%\"]\nstep_bake = \"60s\"", ""));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let _users = Users::of(world.port, 40, BEAT, "/");
    let rollout = deploy(&world, "v2");
    let before = wait_for("some evidence", 30, || compared(&world).filter(|it| it.0 >= 20));
    world.kill_up();
    let kept = compared(&world).unwrap();
    assert!(kept.0 >= before.0, "{kept:?} after {before:?}");
    world.up();
    // The machine that came back was kept again at once.
    let back = compared(&world);
    assert!(back.is_some_and(|back| back.0 >= kept.0), "forgotten: {back:?} after {kept:?}");
    let after = wait_for("more evidence", 30, || compared(&world).filter(|it| it.1 > kept.1 + 2));
    assert!(after.0 > kept.0, "counted anew: {after:?} after {kept:?}");
    world.expect(0, &["abort", "demo"]);
    ended(rollout, 4);
}

/// The latencies that the journal has of the comparison, us.
fn thresholds(world: &World) -> Vec<u64> {
    let database = rusqlite::Connection::open(world.state().join("cutover.db")).unwrap();
    let sql = "SELECT json_extract(body, '$.state.facts.comparison.slow') FROM frozen \
               ORDER BY rollout DESC LIMIT 1";
    let slow: Option<String> = database.query_row(sql, (), |row| row.get(0)).ok().flatten();
    let slow: Value = slow.map_or(Value::Null, |slow| serde_json::from_str(&slow).unwrap());
    let all = slow.as_array().cloned().unwrap_or_default();
    all.iter().map(|one| one["threshold"]["us"].as_u64().unwrap()).collect()
}

/// They are stable's of the time before; whoever comes back finds another stable, and does not ask it.
#[test]
fn killed_in_the_middle_of_a_step_it_compares_by_the_latencies_of_before() {
    let _turn = beside();
    let mut world = World::new(&canary("steps = [\"pause\", \"40%\"]\nstep_bake = \"60s\"", ""));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let users = Users::of(world.port, 80, Duration::from_millis(100), "/slow?ms=250");
    let rollout = deploy(&world, "v2");
    // Some thousand requests must be known.
    let known = || Some(thresholds(&world)).filter(|found| !found.is_empty());
    wait_for("latencies of stable", 90, known);
    world.expect(0, &["resume", "demo"]);
    wait_for("some evidence", 30, || compared(&world).filter(|it| it.0 >= 20));
    let before = thresholds(&world);
    assert!(!before.is_empty() && before[0] < 100_000, "{before:?}");
    world.kill_up();
    users.suffer(true);
    world.up();
    let back = compared(&world).unwrap();
    wait_for("more evidence", 30, || compared(&world).filter(|it| it.1 > back.1 + 3));
    assert_eq!(thresholds(&world), before);
    world.run(&["abort", "demo"]);
    ended(rollout, 4);
}

/// For real: 1 % of errors where the old version has 0.1 %, at 100 requests a second and 10 % of them.
/// `CUTOVER_FULL=1`: it lasts about a minute.
#[test]
fn one_percent_of_errors_is_found_in_about_a_minute() {
    if std::env::var_os("CUTOVER_FULL").is_none() {
        aside::say("skipped: it lasts as long as the evidence takes (CUTOVER_FULL=1)");
        return;
    }
    let _turn = beside();
    let app = "command = [\"sh\", \"-c\", \"errors=0.001; test $1 != v2 || errors=0.01; exec CUTOVER app \
               --port $0 --version $1 --error-share $errors\", \"{port}\", \"{version}\"]";
    let own =
        "command = [\"CUTOVER\", \"app\", \"--port\", \"{port}\", \"--version\", \"{version}\"]";
    let config = canary("steps = [\"10%\"]\nstep_bake = \"10m\"", "").replace(own, app);
    let mut world = World::new(&config);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let _users = Users::of(world.port, 100, Duration::from_secs(1), "/");
    let rollout = deploy(&world, "v2");
    wait_for("10 % of users on v2", 30, || (app_phase(&world) == "baking").then_some(()));
    let begun = Instant::now();
    let why =
        wait_for("the way back", 300, || (app_phase(&world) != "baking").then(|| begun.elapsed()));
    let told = ended(rollout, 4);
    println!("found after {why:?}: {told}");
    assert!(told.contains("v2 is worse: more errors than stable at the same time"), "{told}");
    assert!(why < Duration::from_mins(3), "{why:?}");
}

fn app_phase(world: &World) -> String {
    app(world)["rollout"][2].as_str().unwrap_or_default().to_owned()
}
