//! What programs are told: `--json` of every command that asks the server, done and refused.
//!
//! Reports and status have schemas of their own (`api`), and what people read is in `operate` and `reload`.

use serde_json::Value;

use crate::world::{World, beside, said, sample_config, wait_for};

/// Runs it with `--json`: one line of JSON on stdout, and nothing else there.
fn told(world: &World, code: i32, arguments: &[&str]) -> Value {
    let output = world.expect(code, &[arguments, &["--json"]].concat());
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {}", said(&output));
    let told: Value = serde_json::from_str(&text).unwrap();
    // People are told as without it.
    let what = told["fault"]["what"].as_str().unwrap_or_default();
    assert!(String::from_utf8_lossy(&output.stderr).contains(what), "{}", said(&output));
    told
}

/// Refused with exit code 2, this kind and these words.
fn refused(world: &World, arguments: &[&str], (kind, words): (&str, &str)) -> Value {
    let told = told(world, 2, arguments);
    let what = told["fault"]["what"].as_str().unwrap_or_default();
    assert!(told["fault"]["kind"] == kind && what.contains(words), "{arguments:?}: {told}");
    told["fault"].clone()
}

/// Done: what happens now begins with these words.
fn done(world: &World, arguments: &[&str], words: &str) -> Value {
    let told = told(world, 0, arguments);
    let text = told["text"].as_str().unwrap_or_default();
    assert!(text.contains(words) && told["fault"].is_null(), "{arguments:?}: {told}");
    told
}

#[test]
fn a_command_that_comes_to_nothing_tells_programs_why() {
    let _turn = beside();
    let world = World::sample(1);
    let commands: [&[&str]; 14] = [
        &["deploy", "demo", "v1"],
        &["deploy", "demo", "v1", "--detach"],
        &["plan", "demo", "v1"],
        &["abort", "demo"],
        &["pause", "demo"],
        &["resume", "demo"],
        &["promote", "demo"],
        &["set-weight", "demo", "10%"],
        &["retry", "demo"],
        &["rollback", "demo"],
        &["status"],
        &["reload", "--yes"],
        &["down"],
        &["upgrade"],
    ];
    for command in commands {
        let fault = refused(&world, command, ("environment", "no server is running"));
        assert_eq!(fault["help"], "start it with `cutover up` in another terminal", "{command:?}");
    }
    refused(&world, &["history", "no app"], ("usage", "no app"));
}

#[test]
fn each_command_of_operators_answers_programs_in_one_shape() {
    let _turn = beside();
    let config = sample_config(1).replace("bake = \"1500ms\"", "bake = \"60s\"");
    let mut world = World::new(&config);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    for command in ["pause", "resume", "promote"] {
        let words = format!("nothing to {command}");
        refused(&world, &[command, "demo"], ("conflict", &words));
    }
    let began = done(&world, &["deploy", "demo", "v2", "--detach"], "demo: began run ");
    let run = began["run"].as_str().unwrap();
    assert!(began["text"].as_str().unwrap().contains(run), "{began}");
    assert_eq!(done(&world, &["pause", "demo"], "pause")["run"], run);
    assert_eq!(done(&world, &["resume", "demo"], "")["run"], run);
    refused(&world, &["set-weight", "demo", "10%"], ("conflict", ""));
    let file = world.path().join("cutover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("instances = 1", "instances = 1\nhosts = [\"x\"]", 1))
        .unwrap();
    let fault = refused(&world, &["reload", "--yes"], ("conflict", "some of this cannot be done"));
    let notes = fault["notes"].to_string();
    assert!(notes.contains("not possible: app.demo is being moved to v2"), "{fault}");
    done(&world, &["abort", "demo"], "users stay on v1 or return to it");
    wait_for("the rollout is over", 30, || {
        world.status().filter(|status| status["apps"][0]["rollout"].is_null())
    });
    done(&world, &["abort", "demo"], "nothing to abort");
    let change = "app.demo hosts: [] -> [\"x\"]";
    let fault = refused(&world, &["reload"], ("usage", "nobody can be asked here"));
    assert_eq!((&fault["notes"][0], &fault["help"]), (&change.into(), &"add `--yes`".into()));
    let reloaded = done(&world, &["reload", "--yes"], "in effect: 1 change");
    assert_eq!((&reloaded["changes"][0], &reloaded["certificates"]), (&change.into(), &0.into()));
    let again = done(&world, &["reload", "--yes"], "nothing differs from what runs");
    assert_eq!(again["changes"].as_array().map(Vec::len), Some(0), "{again}");
    let down = world.expect(0, &["down", "--json"]);
    let lines = String::from_utf8(down.stderr.clone()).unwrap();
    for line in lines.lines() {
        let step: Value = serde_json::from_str(line).unwrap();
        assert!(step["step"] == "down" && step["text"].is_string(), "{line}");
    }
    let end: Value = serde_json::from_slice(&down.stdout).unwrap();
    assert_eq!((&end["text"], lines.is_empty()), (&"stopped".into(), false), "{}", said(&down));
    world.assert_nothing_runs();
}
