//! What is over: history, logs, reports, and what is removed when.
//!
//! What a report says of its run is not read here.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::traffic::get;
use crate::world::{World, beside, patient_config, said, signal};

fn history(world: &World, more: &[&str]) -> Vec<Value> {
    let output = world.expect(0, &[&["history", "--json"], more].concat());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn texts(runs: &[Value], key: &str) -> Vec<String> {
    runs.iter().map(|run| run[key].as_str().unwrap_or("-").to_owned()).collect()
}

#[test]
fn history_logs_and_reports_are_there_with_and_without_a_server_and_old_runs_go() {
    let _turn = beside();
    let config = patient_config(1).replace("bake = \"1500ms\"", "bake = \"200ms\"");
    let mut world = World::new(&format!("[history]\nruns = 1\n{config}"));
    let output = world.expect(2, &["history"]);
    assert!(said(&output).contains("holds no state of a server"), "{}", said(&output));
    world.up();
    assert!(said(&world.expect(0, &["history"])).contains("no deploy so far"));
    assert!(said(&world.expect(2, &["logs", "demo"])).contains("demo has written no log yet"));
    for version in ["v1", "v2", "v3"] {
        let also = ["--summary", "summary.md", "--junit", "junit.xml"];
        let output = world.run(&[&["deploy", "demo", version], &also[..]].concat());
        // Whether its prober had time for a verdict, beside another test, is not the question here.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{}", said(&output));
    }
    let runs = history(&world, &["demo"]);
    assert_eq!(texts(&runs, "to"), ["v3", "v2", "v1"], "the newest first");
    assert_eq!(texts(&runs, "from"), ["v2", "v1", "-"]);
    assert_eq!(texts(&runs, "outcome"), ["promoted"; 3]);
    // A rollout that ends has a report; the files of the ones before are removed then, soon.
    let [newest, old, _] = &texts(&runs, "run")[..] else { panic!("{runs:?}") };
    let runs_of = world.state().join("runs");
    let folder = |run: &str| runs_of.join(run);
    crate::world::wait_for("the old run's files are gone", 10, || {
        (!folder(old).exists()).then_some(())
    });
    assert!(
        folder(newest).join("report.html").exists()
            && folder(newest).join("samples.ndjson.gz").exists()
    );
    let logs = world.state().join("logs");
    assert!(logs.join(format!("probe-{newest}.log")).exists());
    assert!(!logs.join(format!("probe-{old}.log")).exists());
    let runs = history(&world, &[]);
    assert_eq!(texts(&runs, "verdict")[1..], ["-", "-"], "their reports are gone");
    assert!(["PASS", "FAIL", "INCONCLUSIVE"].contains(&&*texts(&runs, "verdict")[0]));

    let told = said(&world.expect(0, &["logs", "demo"]));
    let line = |text: &str, words: &str| text.lines().any(|line| line.contains(words));
    assert!(line(&told, "demo-1-1 | listening on http://127.0.0.1:"), "{told}");
    assert!(line(&told, "demo-3-1 | listening on http://127.0.0.1:"), "{told}");
    let of_v3 = said(&world.expect(0, &["logs", "demo", "--version", "v3"]));
    assert!(of_v3.contains("demo-3-1 | ") && !of_v3.contains("demo-1-1"), "{of_v3}");
    let other = said(&world.expect(2, &["logs", "demo", "--version", "v9"]));
    assert!(other.contains("there is no log of demo v9"), "{other}");

    let mut follow = world.command(&["logs", "demo", "--follow", "--tail", "1"]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    get(world.port, "x", "/version").unwrap();
    world.expect(0, &["down"]);
    let end = lines.find(|line| line.as_ref().unwrap().contains("demo-3-1 | told to stop"));
    end.expect("it tells what is written").unwrap();
    signal(follow.id(), Signal::INT);
    assert_eq!(follow.wait().unwrap().code(), Some(0));
    assert_eq!(world.ended_up(), Some(0));

    // Without a server the same is read as it lies.
    assert_eq!(history(&world, &[]), runs);
    assert_eq!(history(&world, &["--limit", "1"]).len(), 1);
    let table = said(&world.expect(0, &["history"]));
    assert!(table.contains("v2 -> v3") && table.contains(".cutover/runs/"), "{table}");
    let report = said(&world.expect(0, &["report", newest]));
    assert!(report.contains("report.html"), "{report}");
    forms(&world, newest, &folder(newest));
    let output = world.expect(2, &["report", old]);
    assert!(said(&output).contains("`cutover history` lists runs"), "{}", said(&output));
}

/// The report again in each form: the page byte for byte as it was written, by id and by file.
fn forms(world: &World, run: &str, folder: &Path) {
    let form = |more: &[&str]| {
        let output = world.expect(0, &[&["report"], more].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let file = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let json = folder.join("report.json").display().to_string();
    assert!(form(&[run, "--format", "html"]) == file("report.html"), "another page");
    assert!(form(&[&json, "--format", "html"]) == file("report.html"), "another page of the file");
    assert_eq!(form(&[run, "--json"]), file("report.json"));
    for (name, words) in [("summary.md", "markdown"), ("junit.xml", "junit")] {
        let written = std::fs::read_to_string(world.path().join(name)).unwrap();
        assert_eq!(form(&[run, "--format", words]), written);
    }
    assert!(form(&[run, &json]).contains("  =\n"), "a run beside itself");
    assert!(form(&[run, &json, "--format", "html"]).starts_with("<!DOCTYPE html>"));
    let refused = said(&world.expect(2, &["report", run, &json, "--format", "junit"]));
    assert!(refused.contains("--format markdown"), "{refused}");
    let refused = said(&world.expect(2, &["report", "./nothing.json"]));
    assert!(refused.contains("cannot be read"), "{refused}");
    let refused = said(&world.expect(2, &["report", "cutover.toml"]));
    assert!(refused.contains("not a report of Cutover"), "{refused}");
}

#[test]
fn completions_pages_and_the_schema_are_printed() {
    let world = World::new("");
    for shell in ["bash", "zsh", "fish"] {
        let text = said(&world.expect(0, &["completions", shell]));
        assert!(text.contains("deploy") && text.contains("doctor"), "{shell}: {text}");
    }
    assert!(said(&world.expect(0, &["man"])).contains(".TH cutover 1"));
    world.expect(0, &["man", "--out", "pages"]);
    let page = std::fs::read_to_string(world.path().join("pages/cutover-deploy.1")).unwrap();
    assert!(page.contains("Version to ship"), "{page}");
    let schema: Value =
        serde_json::from_slice(&world.expect(0, &["config", "schema"]).stdout).unwrap();
    assert!(
        schema["properties"]["app"]["additionalProperties"]["properties"]["command"].is_object()
    );
}
