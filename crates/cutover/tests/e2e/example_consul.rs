//! The example with Consul, as a user would run it: one of four, phase by phase, and by a header; and what
//! the same by hand costs.
//!
//! Strategies behind a Consul are tried in `strategies`, its death in `consul`.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::consul_bed::program;
use crate::haproxy_bed::programs;
use crate::sample::whole;
use crate::world::{CUTOVER, free_port, newest_report, turn, wait_for};

/// Runs a script of the example to its end: its exit code, the newest report, and what it said.
fn run(script: &str) -> Option<(Option<i32>, Value, String)> {
    let (consul, haproxy) = program().zip(programs().pop())?;
    let folder = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/consul-canary");
    let log = File::create(path("said")).unwrap();
    let mut command = Command::new(example.join(script));
    command.current_dir(folder.path()).env("TMPDIR", folder.path()).env("CUTOVER", CUTOVER);
    command.env("HAPROXY", haproxy).env("CONSUL", consul).env("RATE", "100");
    // Whether anything is lost is asked here; how fast a busy machine is, is not.
    command.env("LATE", "5s");
    for name in ["PORT", "AGENT", "DNS", "SERF", "SERVER"] {
        command.env(name, free_port().to_string());
    }
    // Eight in a row, below those that the kernel gives away.
    command.env("REPLICAS", (20_000 + std::process::id() % 1_000 * 8).to_string());
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
    let mut child = command.spawn().unwrap();
    let group = Pid::from_child(&child);
    let said = || std::fs::read_to_string(path("said")).unwrap();
    let begun = std::time::Instant::now();
    let status = wait_for("the script ends", 230, || {
        if begun.elapsed().as_secs() > 220 {
            let _gone = kill_process_group(group, Signal::KILL);
            panic!("it does not end:\n{}", said());
        }
        child.try_wait().unwrap()
    });
    let _gone = kill_process_group(group, Signal::KILL);
    let shipped = status.code() != Some(2) && has_report(folder.path());
    assert!(shipped, "{:?} {}", status.code(), said());
    Some((status.code(), newest_report(folder.path()), said()))
}

/// True when a deploy came to its end.
fn has_report(folder: &Path) -> bool {
    let mut entries = std::fs::read_dir(folder).unwrap().flatten();
    entries.any(|entry| entry.path().extension().is_some_and(|it| it == "json"))
}

/// A busy machine starved the prober, which says just that.
fn nobody_can_say((code, _, said): &(Option<i32>, Value, String)) -> bool {
    let busy = said.contains("stopped or starved") || said.contains("planned requests were sent");
    *code == Some(3) && busy && !said.contains("FAIL")
}

#[test]
fn one_of_four_then_all_of_them_then_by_a_header_and_nothing_is_lost() {
    let _turn = turn();
    let Some(mut ran) = run("run.sh") else { return };
    if nobody_can_say(&ran) {
        aside::say("no verdict, the machine was too busy: it is asked again");
        ran = run("run.sh").unwrap();
    }
    let (code, report, said) = ran;
    // A machine that is too busy twice is nobody's fault, but whole runs excuse nothing.
    let excused = nobody_can_say(&(code, report.clone(), said.clone())) && !whole();
    assert!(code == Some(0) || excused, "{code:?} {said}");
    assert_eq!((&report["failed"], &report["outcome"]), (&0.into(), &"promoted".into()), "{said}");
    assert!(!said.contains("FAIL"), "{said}");
    for words in [
        "lacks nothing",
        "as demanded: share(v2)=0%±0",
        "as demanded: share(v2)=100%±0",
        "all answered by credit v1",
        "all answered by credit v2",
        "no old replica is left",
    ] {
        assert!(said.contains(words), "`{words}` is missing: {said}");
    }
    // The new endpoint: one of four has it, the others say that they have not.
    let told = said.lines().find(|line| line.contains("by status: ")).expect(&said);
    let new = told.split(" · ").find_map(|one| one.split_once("200 of v2 ")).expect(told).1;
    let new: u32 = new.split(' ').next().unwrap().parse().unwrap();
    assert!((60..=140).contains(&new) && told.contains("404 of v1 "), "{told}");
    assert!(!told.contains("200 of v1") && !told.contains("404 of v2"), "{told}");
    // One of four of message, and a quarter of credit.
    assert_eq!(said.matches("as demanded: share(v2)=25%±10").count(), 2, "{said}");
    let lanes = report["lanes"].as_array().unwrap();
    let sockets = lanes.iter().find(|lane| lane["lane"] == "websocket");
    assert!(sockets.is_some_and(|lane| lane["sent"].as_u64() > Some(50)), "{lanes:?}");
    assert_eq!(report["lanes_not_run"], Value::Array(vec![]), "{said}");
    // Every replica was reached, before and after.
    for n in 1..=4 {
        for version in 1..=2 {
            assert!(
                said.contains(&format!("message-{version}-{n} ")),
                "message-{version}-{n}: {said}"
            );
        }
    }
}

#[test]
fn the_same_by_hand_is_caught() {
    let _turn = turn();
    let Some((code, report, said)) = run("naive/naive.sh") else { return };
    assert_eq!((code, &report["verdict"]), (Some(1), &"FAIL".into()), "{said}");
    assert!(said.contains(" s  done") && report["failed"].as_u64() > Some(20), "{said}");
    // Of the four old ones two were never asked: they share an address, and nothing said so.
    let asked = (0..4).filter(|n| said.contains(&format!("message-{n} "))).count();
    assert_eq!(asked, 2, "{said}");
}
