//! `cutover demo`, as the issue that asked for it says: the story and every fault.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

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
    let began = Instant::now();
    let output =
        Command::new(CUTOVER).arg("demo").args(arguments).current_dir(&directory).output().unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_mins(1), "{arguments:?} took {took:?}: {}", said(&output));
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

/// A number of the report.
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

impl Shown {
    fn list(&self, name: &str) -> &[Value] {
        self.report[name].as_array().unwrap()
    }

    /// What users saw is v1, then v2, on every connection.
    fn expect_one_version_after_the_other(&self) {
        let versions = self.list("versions");
        let role = |name: &str| versions.iter().find(|version| version["role"] == name).unwrap();
        for name in ["old", "new"] {
            assert!(number(&role(name)["answers"]) >= 100, "{name}: {versions:?}");
        }
        for name in ["rest", "silent"] {
            assert_eq!(role(name)["answers"], 0, "{name}: {versions:?}");
        }
        let proof = &self.report["proof"];
        assert_eq!(proof["regressions"], 0, "{proof}");
        assert_eq!(proof["regressions_excused"], 0, "nothing is to be excused: {proof}");
        assert_eq!(proof["weakest_witness"], "app", "{proof}");
    }

    /// Every socket that stood at the switch was told to reconnect, stands on v2 now, and every
    /// message came back once and in order.
    fn expect_every_socket_moved_without_a_lost_message(&self) {
        let trust = &self.report["trust"];
        for count in ["ws_lost", "ws_doubled", "ws_reordered"] {
            assert_eq!(trust[count], 0, "{count}: {trust}");
        }
        let chains = self.list("sockets");
        assert_eq!((chains.is_empty(), &self.report["sockets_left_out"]), (false, &0.into()));
        let mut messages = 0;
        for chain in chains {
            assert_eq!(chain["failed"], 0, "{chain}");
            let Some([old, new]) = chain["sockets"].as_array().map(Vec::as_slice) else {
                panic!("one socket on v1 and its successor on v2 are expected: {chain}");
            };
            assert!(old["opened_us"].as_i64() < self.report["switch_us"].as_i64(), "{chain}");
            for (socket, role, ending) in [(old, "old", "reconnected"), (new, "new", "by_us")] {
                let version = usize::try_from(number(&socket["version"])).unwrap();
                assert_eq!(self.report["versions"][version]["role"], role, "{chain}");
                assert_eq!(socket["ending"], ending, "{chain}");
                assert!(number(&socket["messages"]) > 0, "{chain}");
                messages += number(&socket["messages"]);
            }
        }
        assert_eq!(number(&trust["ws_reconnects"]), chains.len() as u64, "{trust}");
        let lane = self.list("lanes").iter().find(|lane| lane["lane"] == "websocket").unwrap();
        assert_eq!(number(&lane["sent"]), messages, "a message on no socket: {lane}");
    }
}

#[test]
fn one_instance_each_passes() {
    let shown = demo(&[]);
    shown.expect(0, "PASS", "promoted");
    shown.expect_one_version_after_the_other();
    shown.expect_every_socket_moved_without_a_lost_message();
}

#[test]
fn two_instances_each_pass() {
    let shown = demo(&["--instances", "2"]);
    shown.expect(0, "PASS", "promoted");
    shown.expect_one_version_after_the_other();
    shown.expect_every_socket_moved_without_a_lost_message();
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
