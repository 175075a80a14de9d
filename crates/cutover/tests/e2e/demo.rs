//! `cutover demo`, as the issue that asked for it says: the story and every fault.

use std::process::{Command, Output};

use serde_json::Value;

use crate::world::{CUTOVER, newest_report, said, turn};

struct Shown {
    code: Option<i32>,
    output: Output,
    report: Value,
}

fn demo(arguments: &[&str]) -> Shown {
    let _turn = turn();
    let directory = tempfile::tempdir().unwrap();
    let output =
        Command::new(CUTOVER).arg("demo").args(arguments).current_dir(&directory).output().unwrap();
    let report = newest_report(directory.path());
    let html = std::fs::read_dir(directory.path())
        .unwrap()
        .flatten()
        .any(|entry| entry.path().extension().is_some_and(|extension| extension == "html"));
    assert!(html, "no page was written: {}", said(&output));
    Shown { code: output.status.code(), output, report }
}

impl Shown {
    fn expect(&self, code: i32, verdict: &str, outcome: &str) {
        let said = said(&self.output);
        assert_eq!(self.report["verdict"], verdict, "{said}");
        assert_eq!(self.report["outcome"], outcome, "{said}");
        assert_eq!(self.code, Some(code), "{said}");
        assert_eq!(self.report["exit_code"], code, "{said}");
        let first = String::from_utf8_lossy(&self.output.stdout);
        assert!(first.starts_with(verdict), "the verdict comes first: {said}");
    }

    /// Classes of all failures.
    fn classes(&self) -> Vec<String> {
        let rows = self.report["failures"].as_array().cloned().unwrap_or_default();
        let mut classes: Vec<String> =
            rows.iter().filter_map(|row| row["class"].as_str().map(str::to_owned)).collect();
        classes.sort();
        classes.dedup();
        classes
    }
}

#[test]
fn one_instance_each_passes() {
    let shown = demo(&[]);
    shown.expect(0, "PASS", "promoted");
}

#[test]
fn two_instances_each_pass() {
    let shown = demo(&["--instances", "2"]);
    shown.expect(0, "PASS", "promoted");
}

#[test]
fn old_instances_killed_before_their_drain_fail_and_users_end_on_v2() {
    let shown = demo(&["--inject", "kill-before-drain"]);
    shown.expect(1, "FAIL", "promoted");
    assert!(shown.classes().contains(&"ws_dropped".to_owned()), "{:?}", shown.classes());
}

#[test]
fn a_candidate_with_errors_never_reaches_users() {
    demo(&["--inject", "candidate-errors"]).expect(4, "PASS", "aborted");
}

#[test]
fn a_candidate_that_is_never_ready_never_reaches_users() {
    demo(&["--inject", "candidate-never-ready"]).expect(4, "PASS", "aborted");
}

#[test]
fn a_candidate_that_dies_after_the_switch_costs_nothing() {
    demo(&["--inject", "candidate-dies"]).expect(4, "PASS", "aborted");
}

#[test]
fn one_answer_cut_short_is_found() {
    let shown = demo(&["--inject", "truncate"]);
    shown.expect(1, "FAIL", "promoted");
    assert_eq!(shown.report["failed"], 1);
    assert_eq!(shown.classes(), ["truncated"]);
}

#[test]
fn a_second_of_silence_is_found() {
    let shown = demo(&["--inject", "stall"]);
    shown.expect(1, "FAIL", "promoted");
    assert_eq!(shown.classes(), ["late"]);
}
