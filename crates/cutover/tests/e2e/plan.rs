//! `cutover plan`: what it says is what a deploy does, and nothing is done for it.
//!
//! What is refused when a router is not fit is in `haproxy` and `nginx`.

use serde_json::Value;

use crate::foretold::came_true;
use crate::traffic::Deploy;
use crate::world::{World, beside, said, sample_config, wait_for};

/// The plan for a version, as a script reads it.
pub(crate) fn plan(world: &World, version: &str) -> Value {
    let output = world.expect(0, &["plan", "demo", version, "--json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Refused with exit code 2 and these words.
fn refused(world: &World, arguments: &[&str], words: &[&str]) {
    let text = said(&world.expect(2, arguments));
    for word in words {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
}

fn phases(plan: &Value) -> Vec<String> {
    let phases = plan["phases"].as_array().unwrap().iter();
    phases.map(|one| one["phase"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_plan_says_what_a_deploy_does_and_changes_nothing() {
    let _turn = beside();
    let rollout = "strategy = \"canary\"\nsteps = [\"25%\"]\nstep_bake = \"1s\"\nbake = \"1500ms\"";
    let mut world = World::new(&sample_config(2).replace("bake = \"1500ms\"", rollout));
    refused(&world, &["plan", "demo", "v1"], &["no server is running", "help: start it with"]);
    world.up();
    let first = plan(&world, "v1");
    assert_eq!((&first["from"], &first["probe"]), (&Value::Null, &Value::Null), "{first}");
    assert_eq!(first["first"]["platform"].as_array().unwrap().len(), 2, "{first}");
    world.expect(0, &["deploy", "demo", "v1"]);
    came_true(&world, &first);
    // At rest the routes of a rollout that ended are published and on record.
    let journal = || std::fs::read(world.state().join("cutover.db-wal")).unwrap();
    let mut before = (world.running(), journal());
    wait_for("nothing is left to be done", 20, || {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let last = std::mem::replace(&mut before, (world.running(), journal()));
        (last == before).then_some(())
    });
    let second = plan(&world, "v2");
    let starts = second["first"]["platform"].to_string();
    assert!(starts.contains("start demo-2-1") && starts.contains("start demo-2-2"), "{second}");
    assert_eq!(second["router"]["drain"], "counted", "{second}");
    assert_eq!(second["degrades"], Value::Array(vec![]), "{second}");
    let judged: Vec<&Value> =
        second["phases"].as_array().unwrap().iter().filter(|one| !one["finds"].is_null()).collect();
    // 133 requests a second beside the sockets; a quarter of them, then all.
    let answers: Vec<_> = judged.iter().map(|one| one["finds"]["answers"].as_u64()).collect();
    assert_eq!(answers, [Some(33), Some(200)], "{second}");
    let text = said(&world.expect(0, &["plan", "demo", "v2"]));
    assert!(text.contains("v1 75.00%, v2 25.00%"), "{text}");
    let after = (world.running(), journal());
    assert_eq!(before.0, after.0, "a plan started or ended something");
    assert!(before.1 == after.1, "a plan wrote into the journal");
    refuses_what_cannot_be(&world);
    // Another release was made in between.
    let second = plan(&world, "v2");
    let deploy = Deploy::start(&world, "demo", "v2");
    let shipped = deploy.end();
    shipped.expect(0, "PASS");
    let went: Vec<String> = shipped.report["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["phase"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(went, phases(&second), "the rollout went another way than was planned");
    came_true(&world, &second);
    let file = world.path().join("cutover.toml");
    let canary = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, canary.replace(rollout, "bake = \"500ms\"")).unwrap();
    world.expect(0, &["reload", "--yes"]);
    let third = plan(&world, "v3");
    world.expect(0, &["deploy", "demo", "v3"]);
    came_true(&world, &third);
}

fn refuses_what_cannot_be(world: &World) {
    refused(world, &["plan", "demos", "v2"], &["no app `demos`", "did you mean `demo`"]);
    refused(world, &["plan", "De mo", "v2"], &["De mo"]);
    refused(world, &["plan", "demo", "v 2"], &["v 2"]);
    let file = world.path().join("cutover.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let line = good.lines().position(|line| line.starts_with("steps")).unwrap() + 1;
    for (steps, reason) in [
        ("[\"25%\", \"5%\"]", "is not more than the step before"),
        ("[\"125%\"]", "is not a share of the traffic"),
    ] {
        std::fs::write(&file, good.replace("[\"25%\"]", steps)).unwrap();
        refused(world, &["plan", "demo", "v2"], &[reason, &format!("cutover.toml:{line}")]);
    }
    std::fs::write(&file, good).unwrap();
    let mut deploy = Deploy::start(world, "demo", "v9");
    deploy.reach("starting");
    refused(world, &["plan", "demo", "v2"], &["is being moved to v9", "cutover abort demo"]);
    world.expect(0, &["abort", "demo"]);
    deploy.end();
}

#[test]
fn without_a_prober_a_plan_names_who_judges_whatever_the_strategy() {
    let _turn = beside();
    let mut world = World::sample(2);
    let file = world.path().join("cutover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (probe, lanes) = ("[app.demo.probe]", "lanes = [");
    assert!(text.contains(probe) && text.contains(lanes) && text.contains("bake = \"1500ms\""));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let off = text.replacen(probe, &format!("{probe}\nenabled = false"), 1);
    let (_, rest) = text.split_once(lanes).unwrap();
    let (asked, _) = rest.split_once(']').unwrap();
    let sockets = text.replacen(&format!("{lanes}{asked}]"), "lanes = [\"websocket\"]", 1);
    for strategy in [
        "strategy = \"blue-green\"",
        "strategy = \"canary\"\nsteps = [\"25%\"]\nstep_bake = \"1s\"",
        "strategy = \"rolling\"",
        "strategy = \"recreate\"",
    ] {
        for (file_text, prober) in
            [(&off, "prober   none: what only clients see"), (&sockets, "/s over websocket")]
        {
            let rollout = format!("{strategy}\nbake = \"1500ms\"");
            std::fs::write(&file, file_text.replace("bake = \"1500ms\"", &rollout)).unwrap();
            world.expect(0, &["reload", "--yes"]);
            let said = said(&world.expect(0, &["plan", "demo", "v2"]));
            let by = "judged by users' requests, health checks";
            let steps = said.matches("\n  baking ").count();
            assert!(steps > 0 && said.matches(by).count() == steps, "{strategy}: {said}");
            for (words, there) in [
                (prober, true),
                ("requests failing ends it", true),
                ("nobody judges", false),
                ("answers of v2", false),
            ] {
                assert_eq!(said.contains(words), there, "{strategy}: {words}: {said}");
            }
        }
    }
}
