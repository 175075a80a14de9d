//! `cutover demo`, as the issue that asked for it says: the story and every fault.
//!
//! Ctrl-C in the midst of it is tried in `interrupt`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::traffic::starved;
use crate::world::{CUTOVER, newest_report, said, turn};

/// Requests a second that the issue asks for, at least.
const RATE: u64 = 200;

struct Shown {
    code: Option<i32>,
    output: Output,
    report: Value,
}

/// A demo in a directory of its own, with its reports in the current one.
fn demo(arguments: &[&str]) -> Shown {
    let directory = tempfile::tempdir().unwrap();
    shown(arguments, directory.path(), directory.path())
}

/// A demo run in `current`, whose reports must be in `out` and nowhere else.
fn shown(arguments: &[&str], current: &Path, out: &Path) -> Shown {
    let _turn = turn();
    let began = Instant::now();
    let output =
        Command::new(CUTOVER).arg("demo").args(arguments).current_dir(current).output().unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_mins(1), "{arguments:?} took {took:?}: {}", said(&output));
    let report = newest_report(out);
    expect_as_the_schema_says(&report);
    let shown = Shown { code: output.status.code(), output, report };
    shown.expect_both_files_named(current, out);
    shown
}

/// What a real run wrote is what `cutover report --schema` promises to those who read it.
fn expect_as_the_schema_says(report: &Value) {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut asked = Command::new(CUTOVER);
    let output = asked.args(["report", "--schema"]).current_dir(elsewhere.path()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let schema = serde_json::from_slice(&output.stdout).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = schema.iter_errors(report).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

impl Shown {
    fn expect(&self, code: i32, verdict: &str, outcome: &str) {
        let said = said(&self.output);
        assert_eq!(self.report["late_after_us"], 500_000, "{said}");
        if verdict == "PASS" && starved(&self.report) {
            assert_eq!(self.report["outcome"], outcome, "{said}");
            assert_eq!(self.code, Some(if code == 4 { 4 } else { 3 }), "{said}");
            return;
        }
        assert_eq!(self.report["verdict"], verdict, "{said}");
        assert_eq!(self.report["outcome"], outcome, "{said}");
        assert_eq!(self.code, Some(code), "{said}");
        assert_eq!(self.report["exit_code"], code, "{said}");
        let first = String::from_utf8_lossy(&self.output.stdout);
        assert!(first.starts_with(verdict), "the verdict comes first: {said}");
        self.expect_three_lanes();
    }

    /// The last line names a page and a JSON file, and they are all that lies in `out`.
    fn expect_both_files_named(&self, current: &Path, out: &Path) {
        let run = self.report["run_id"].as_str().unwrap();
        let wanted = ["html", "json"].map(|kind| format!("cutover-{run}.{kind}"));
        let mut lying: Vec<String> = std::fs::read_dir(out)
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        lying.sort();
        assert_eq!(lying, wanted, "{}", said(&self.output));
        let stdout = String::from_utf8_lossy(&self.output.stdout);
        let words: Vec<&str> = stdout.lines().last().unwrap().split_whitespace().collect();
        assert_eq!((words.len(), words[0]), (3, "report"), "{stdout}");
        let canonical = |path: PathBuf| path.canonicalize().unwrap();
        let named = [words[1], words[2]].map(|word| canonical(current.join(word)));
        assert_eq!(named, wanted.map(|name| canonical(out.join(name))), "{stdout}");
    }

    /// All three lanes asked, at the rate that was asked for; every count is on the screen.
    fn expect_three_lanes(&self) {
        let screen = String::from_utf8_lossy(&self.output.stdout);
        assert!(number(&self.report["rate"]) >= RATE, "{}", self.report["rate"]);
        assert_eq!(self.report["lanes_not_run"], Value::Array(Vec::new()));
        let lanes = self.list("lanes");
        let names: Vec<_> = lanes.iter().map(|lane| lane["lane"].as_str().unwrap()).collect();
        assert_eq!(names, ["keep-alive", "fresh", "websocket"]);
        for lane in lanes {
            let (sent, failed) = (number(&lane["sent"]), number(&lane["failed"]));
            assert!(sent >= 100, "it hardly asked: {lane}");
            let mut rows = screen.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let row = [lane["lane"].as_str().unwrap(), &grouped(sent), &grouped(failed)];
            assert!(rows.any(|words| words.starts_with(&row)), "no row {row:?}: {screen}");
        }
        let sum = |name| lanes.iter().map(|lane| number(&lane[name])).sum::<u64>();
        let (sent, failed) = (number(&self.report["sent"]), number(&self.report["failed"]));
        assert_eq!((sum("sent"), sum("failed")), (sent, failed));
        let sentence = format!("{} of {} requests failed", grouped(failed), grouped(sent));
        assert!(screen.contains(&sentence), "no `{sentence}`: {screen}");
        // What was really sent, over the time in which it was: blanks would make it less.
        let lasted_us = self.report["to_us"].as_u64().unwrap() - number(&self.report["from_us"]);
        assert!(sent * 1_000_000 >= RATE * lasted_us, "{sent} in {lasted_us} us");
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

/// With a comma for each thousand, as the screen has it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let with_comma = |(i, digit): (usize, char)| {
        let comma = i > 0 && (digits.len() - i).is_multiple_of(3);
        [comma.then_some(','), Some(digit)].into_iter().flatten()
    };
    digits.chars().enumerate().flat_map(with_comma).collect()
}

/// A number of the report.
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

impl Shown {
    fn list(&self, name: &str) -> &[Value] {
        self.report[name].as_array().unwrap()
    }

    /// Names of the phases, in order.
    fn phases(&self) -> Vec<&str> {
        self.list("phases").iter().map(|phase| phase["phase"].as_str().unwrap()).collect()
    }

    /// When a phase was entered, and why.
    fn entered(&self, phase: &str) -> (i64, &str) {
        let spans = self.list("phases");
        let span = spans.iter().find(|span| span["phase"] == phase);
        let span = span.unwrap_or_else(|| panic!("no {phase}: {}", said(&self.output)));
        (span["from_us"].as_i64().unwrap(), span["why"].as_str().unwrap())
    }

    /// One cause that says `why` explains every failure; all were sent in one of `phases`, the
    /// first of them in the first one. The screen says so too.
    fn expect_one_cause(&self, why: &str, phases: &[&str]) {
        let groups = self.list("groups");
        if self.blamed_on_the_prober() && std::env::var_os("CUTOVER_FULL").is_none() {
            aside::say(format_args!("the machine was too busy: {:?}", self.list("causes")));
            return;
        }
        let [cause] = self.list("causes") else { panic!("{}", said(&self.output)) };
        assert!(cause["why"].as_str().unwrap().contains(why), "{cause}");
        assert!(cause["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{cause}");
        assert_eq!(cause["failures"], self.report["failed"], "{cause}");
        assert_eq!(groups.iter().map(|group| number(&group["count"])).sum::<u64>(), {
            number(&self.report["failed"])
        });
        let phase = |group: &Value| group["phase"].as_str().unwrap_or("none").to_owned();
        let seen: Vec<String> = groups.iter().map(phase).collect();
        assert!(seen.iter().all(|one| phases.contains(&one.as_str())), "{groups:?}");
        assert!(seen.iter().any(|one| one == phases[0]), "{groups:?}");
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let screen = squeezed(&String::from_utf8_lossy(&self.output.stdout));
        let told = squeezed(cause["why"].as_str().unwrap());
        assert!(screen.contains(&told), "no `{told}`: {screen}");
    }

    /// A prober that was starved meanwhile says so, and rightly: that long that most of what it is blamed for
    /// would have been in time. As for a verdict, whole runs excuse nothing (`starved`).
    fn blamed_on_the_prober(&self) -> bool {
        let starved =
            |cause: &&Value| cause["why"].as_str().unwrap().contains("stopped or starved");
        let blamed = self.list("causes").iter().filter(starved);
        let blamed: u64 = blamed.map(|cause| number(&cause["failures"])).sum();
        let windows = self.report["trust"]["blind"].as_array().unwrap();
        let blind_us = |from: u64, to: u64| -> u64 {
            let within = |window: &Value| {
                let (begun, over) = (number(&window["from_us"]), number(&window["to_us"]));
                over.min(to).saturating_sub(begun.max(from))
            };
            windows.iter().map(within).sum()
        };
        let explained = self.list("failures").iter().filter(|row| {
            let (from, took) = (number(&row["intended_us"]), number(&row["ttlb_us"]));
            took <= number(&self.report["late_after_us"]) + blind_us(from, from + took)
        });
        let explained = explained.count() as u64;
        assert!(explained * 10 >= blamed * 9, "{} {windows:?}", self.report["causes"]);
        blamed > 0
    }

    /// It went back from `phase`, because of this.
    fn expect_turned_back(&self, phase: &str, next: &str, why: &str) {
        let phases = self.phases();
        let turned = phases.windows(2).find(|pair| pair[1] == next);
        assert_eq!(turned, Some([phase, next].as_slice()), "{phases:?}");
        assert_eq!(*phases.last().unwrap(), "aborted", "{phases:?}");
        assert!(self.entered(next).1.contains(why), "{:?}", self.entered(next));
        let line = self.report["outcome_line"].as_str().unwrap();
        assert!(line.starts_with("aborted: users are on v1") && line.contains(why), "{line}");
    }

    /// The candidate was found out before the switch: no answer of it came to a user.
    fn expect_never_shown_to_users(&self) {
        for phase in ["arming", "shifting", "baking"] {
            assert!(!self.phases().contains(&phase), "{:?}", self.phases());
        }
        assert_eq!(self.report["proof"]["first_new_us"], Value::Null, "{}", self.report["proof"]);
        assert_eq!(self.report["switch_us"], Value::Null);
        let answers = |role: &str| {
            let versions = self.list("versions");
            number(&versions.iter().find(|version| version["role"] == role).unwrap()["answers"])
        };
        assert_eq!((answers("new"), answers("silent"), answers("rest")), (0, 0, 0));
        assert_eq!(answers("old"), number(&self.report["sent"]));
    }

    /// Requests (no messages of sockets, which stay where they are) sent after the last that v2
    /// answered, and before the routes were seen to send all to v1 again; v1 answered them.
    fn taken_over_by_v1(&self) -> usize {
        let from = self.report["proof"]["last_new_us"].as_i64().unwrap();
        let to = self.entered("draining-candidate").0;
        let old = self.list("versions").iter().position(|version| version["role"] == "old");
        let old = Value::from(old.unwrap());
        let lines = self.report["zoom"]["lines"].as_array().unwrap();
        let taken_over = lines.iter().filter(|line| {
            let intended = line["intended_us"].as_i64().unwrap();
            let request = line["lane"] != "websocket" && line["class"] == "ok";
            request && line["version"] == old && (from < intended && intended < to)
        });
        taken_over.count()
    }

    /// What the outcome is told with has this.
    fn expect_note(&self, words: &str) {
        let notes = self.list("outcome_notes");
        let has = |note: &Value| note.as_str().unwrap().contains(words);
        assert!(notes.iter().any(has), "no `{words}`: {notes:?}");
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

impl Shown {
    /// Numbers of the attempts on which the three sides do not agree in this way, and what it means.
    fn found(&self, finding: &str) -> Vec<(u64, &str)> {
        let rows = self.report["ledger"]["rows"].as_array().unwrap();
        let found = rows.iter().filter(|row| row["finding"] == finding);
        found.map(|row| (number(&row["id"]), row["words"].as_str().unwrap())).collect()
    }

    /// Prober, proxy and instances agree on every request but those, one by one.
    fn expect_accounted_for_but(&self, found: u64) {
        let ledger = &self.report["ledger"];
        let requests = self.list("lanes").iter().filter(|lane| lane["lane"] != "websocket");
        let requests: u64 = requests.map(|lane| number(&lane["sent"])).sum();
        let of = |name: &str| number(&ledger[name]);
        let asked = requests - of("never_asked");
        assert_eq!(
            (of("requests"), of("agreed"), of("unknown")),
            (asked, asked - found, 0),
            "{ledger}"
        );
        assert_eq!(ledger["incomplete"], Value::Array(Vec::new()), "{ledger}");
        assert!(of("sockets") > 0 && of("sockets") == of("sockets_agreed"), "{ledger}");
        let told = format!(
            "{} of {} requests accounted for one by one",
            grouped(asked - found),
            grouped(asked)
        );
        let screen = String::from_utf8_lossy(&self.output.stdout);
        let squeezed = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed.contains(&told), "no `{told}`: {screen}");
    }
}

/// What such a demo shows, asked for up to three times where the machine was too busy for a verdict: of the
/// product's first promise an excuse should be the rarest.
fn asked_again(mut show: impl FnMut() -> Shown) -> Shown {
    let mut shown = show();
    for _ in 1..3 {
        if !starved(&shown.report) {
            break;
        }
        shown = show();
    }
    shown
}

#[test]
fn one_instance_each_passes() {
    let shown = asked_again(|| demo(&[]));
    shown.expect(0, "PASS", "promoted");
    shown.expect_accounted_for_but(0);
    shown.expect_one_version_after_the_other();
    shown.expect_every_socket_moved_without_a_lost_message();
}

#[test]
fn two_instances_each_pass() {
    let mut directory = tempfile::tempdir().unwrap();
    let shown = asked_again(|| {
        directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("reports");
        shown(&["--instances", "2", "--out", "reports"], directory.path(), &out)
    });
    shown.expect(0, "PASS", "promoted");
    shown.expect_one_version_after_the_other();
    shown.expect_every_socket_moved_without_a_lost_message();
    let lying = std::fs::read_dir(&directory).unwrap().count();
    assert_eq!(lying, 1, "with --out nothing is written beside it");
}

#[test]
fn old_instances_killed_before_their_drain_fail_and_users_end_on_v2() {
    let shown = demo(&["--inject", "kill-before-drain"]);
    shown.expect(1, "FAIL", "promoted");
    assert_eq!(shown.classes(), ["ws_dropped"]);
    shown.expect_accounted_for_but(0);
    // Each says on which instance its socket was; a message is called lost as often as the prober lost one.
    let failed: BTreeSet<u64> =
        shown.list("failures").iter().map(|row| number(&row["id"])).collect();
    let (lost, cut) = (shown.found("socket_lost"), shown.found("socket_cut"));
    assert_eq!(lost.len() as u64, number(&shown.report["trust"]["ws_lost"]), "{lost:?}");
    let found: Vec<_> = lost.into_iter().chain(cut).collect();
    assert_eq!(found.len(), failed.len(), "{found:?}");
    assert_eq!(found.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>(), failed);
    assert!(found.iter().all(|(_, words)| words.ends_with("(v1)")), "{found:?}");
    // A message may have been on its way when they were killed, a moment into the baking.
    shown.expect_one_cause(
        "sockets on v1 were cut before they were handed over",
        &["baking", "shifting"],
    );
    assert!(!shown.phases().contains(&"handing-over"), "what was there to hand over?");
}

#[test]
fn a_candidate_with_errors_never_reaches_users() {
    let shown = demo(&["--inject", "candidate-errors"]);
    shown.expect(4, "PASS", "aborted");
    shown.expect_never_shown_to_users();
    let why = "20 of 40 direct requests failed before any user met them";
    shown.expect_turned_back("previewing", "stopping-candidate", why);
    shown.expect_note("answered 500: ");
}

#[test]
fn a_candidate_that_is_never_ready_never_reaches_users() {
    let shown = demo(&["--inject", "candidate-never-ready"]);
    shown.expect(4, "PASS", "aborted");
    shown.expect_never_shown_to_users();
    let why = "v2 was not ready within 8 s: 0 of 1 instances of v2 ready";
    shown.expect_turned_back("starting", "stopping-candidate", why);
    shown.expect_note("/healthz: status 503");
}

#[test]
fn a_candidate_that_dies_after_the_switch_costs_nothing() {
    let shown = demo(&["--inject", "candidate-dies"]);
    shown.expect(4, "PASS", "aborted");
    shown.expect_turned_back("baking", "rolling-back", "an instance of v2 ended by itself 1 time");
    shown.expect_note("was killed (SIGKILL");
    let proof = &shown.report["proof"];
    // It had users, and connections that it had answered were answered by v1 again.
    assert!(proof["first_new_us"].as_i64() < proof["last_new_us"].as_i64(), "{proof}");
    assert!(proof["last_old_us"].as_i64() > proof["last_new_us"].as_i64(), "{proof}");
    assert!(number(&proof["regressions_excused"]) > 0, "{proof}");
    assert_eq!(proof["regressions"], 0, "{proof}");
    assert!(shown.taken_over_by_v1() > 0, "{:?} {proof}", shown.list("phases"));
    shown.expect_accounted_for_but(0);
}

#[test]
fn one_answer_cut_short_is_found() {
    let shown = demo(&["--inject", "truncate"]);
    shown.expect(1, "FAIL", "promoted");
    assert_eq!(shown.report["failed"], 1);
    assert_eq!(shown.classes(), ["truncated"]);
    // One that was sent in the very last moment of the switch may be answered, and cut, in the bake.
    let late = shown.list("groups").iter().all(|group| group["phase"] == "shifting");
    let phases = [if late { "shifting" } else { "baking" }];
    shown.expect_one_cause("an answer was cut short after its head had arrived", &phases);
    let [group] = shown.list("groups") else { panic!("{:?}", shown.list("groups")) };
    assert_eq!((&group["version"], &group["status"]), (&"v2".into(), &200.into()));
    shown.expect_accounted_for_but(1);
    let [(id, words)] = shown.found("cut_short")[..] else { panic!("{}", shown.report["ledger"]) };
    assert_eq!(shown.list("failures")[0]["id"], id);
    assert!(words.contains("(v2) on purpose: a fault was injected"), "{words}");
}

#[test]
fn a_second_of_silence_is_found() {
    let shown = demo(&["--inject", "stall"]);
    if shown.report["verdict"] == "INCONCLUSIVE" && shown.blamed_on_the_prober() {
        assert!(std::env::var_os("CUTOVER_FULL").is_none(), "{}", said(&shown.output));
        aside::say(format_args!("the machine was too busy: {:?}", shown.list("causes")));
        return;
    }
    shown.expect(1, "FAIL", "promoted");
    assert_eq!(shown.classes(), ["late"]);
    // What was late did arrive: no message was lost, and no socket.
    let lost = [shown.found("socket_lost"), shown.found("socket_cut")].concat();
    assert!(lost.is_empty() && shown.report["trust"]["ws_lost"] == 0, "{lost:?}");
    // A request of the very last moment before the switch waits as well.
    shown.expect_one_cause("the path itself (proxy or host) stood still", &["shifting", "arming"]);
    let lane = |group: &Value| group["lane"].as_str().unwrap().to_owned();
    let lanes: BTreeSet<String> = shown.list("groups").iter().map(lane).collect();
    assert_eq!(lanes.len(), 3, "every lane waited: {:?}", shown.list("groups"));
}
