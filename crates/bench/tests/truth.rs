//! The bench of the prober from outside, in its shortest form: what is the same on every machine.
//!
//! Lateness, rates and CPU are the machine's and not tested.

use std::process::Command;

use serde_json::Value;

#[test]
fn every_failure_is_counted_under_its_class_and_a_standstill_is_told() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(["probe", "--json", "--window", "1", "--only", "faults,stopped"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let stories = findings["faults"].as_array().unwrap();
    assert_eq!(stories.len(), 5);
    let mut seen = Vec::new();
    for story in stories {
        for row in story["classes"].as_array().unwrap() {
            assert_eq!(row["played"], row["counted"], "{story:#}");
            seen.push(row["class"].as_str().unwrap().to_owned());
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), model::Class::ALL.len(), "a class is not played: {seen:?}");
    let stopped = &findings["stopped"];
    assert!(stopped["said_ms"].as_f64().unwrap() >= 190.0, "{stopped}");
    assert_eq!(stopped["blamed"], 0, "{stopped}");
    assert!(findings["marks"].as_array().unwrap().iter().all(|mark| mark["met"] == true));
}

#[test]
fn odd_words_are_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let output = command.args(["probe", "--only", "everything"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no part `everything`"));
}
