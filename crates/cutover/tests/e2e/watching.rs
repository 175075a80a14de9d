//! A probe that is watched while it runs: by whoever asks for its metrics, and on what is no terminal.
//!
//! The whole of a terminal is in `full_screen`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::traffic::get;
use crate::world::{
    CUTOVER, World, beside, free_port, newest_report, patient_config, said, signal, wait_for,
};

/// What promtool says of a text; nothing where it is not on the test bed.
fn promtool(text: &str) -> Option<String> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/testbed/prometheus-bookworm/usr/bin/promtool");
    if !program.exists() {
        let words = "no promtool (cargo xtask testbed)";
        assert!(std::env::var("TESTBED").as_deref() != Ok("required"), "{words}");
        aside::say(format_args!("skipped: {words}"));
        return None;
    }
    let mut child = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Some(said(&child.wait_with_output().unwrap()))
}

#[test]
fn metrics_of_a_running_probe_are_there_and_clean_and_no_terminal_gets_plain_lines() {
    let _turn = beside();
    let mut world = World::new(&patient_config(1));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let (port, out) = (free_port(), tempfile::tempdir().unwrap());
    let probe = Command::new(CUTOVER)
        .args(["probe", &format!("http://127.0.0.1:{}/datetime", world.port)])
        .args(["--rate", "50", "--duration", "60s", "--full-screen", "--lanes", "fresh,websocket"])
        .args(["--metrics", &format!("127.0.0.1:{port}"), "--raw", "--assert", "failed<=5%"])
        .current_dir(out.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let counted = "cutover_probe_attempts_total{lane=\"fresh\",class=\"ok\",version=\"v1\"} ";
    let many = |told: &String| {
        let line = told.lines().find_map(|line| line.strip_prefix(counted));
        line.is_some_and(|n| n.trim().parse::<u64>().unwrap() >= 20)
    };
    let told = wait_for("metrics that count", 20, || get(port, "x", "/metrics").ok().filter(many));
    let (head, text) = told.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"));
    assert!(text.contains("cutover_probe_duration_seconds_bucket{lane=\"websocket\",le=\"1.0\"}"));
    assert_eq!(promtool(text).as_deref().map_or("", str::trim), "");
    signal(probe.id(), Signal::INT);
    let output = probe.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(!String::from_utf8_lossy(&output.stderr).contains('\x1b'), "{}", said(&output));
    assert!(get(port, "x", "/metrics").is_err(), "nobody listens any more");
    expect_files(out.path());
}

/// Page, JSON and raw attempts of one run: the page comes from the JSON, and from the raw attempts.
fn expect_files(out: &Path) {
    let entries = std::fs::read_dir(out).unwrap().flatten();
    let mut lying: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    lying.sort();
    let [page, json, raw] = &lying[..] else { panic!("{lying:?}") };
    for (from, form, to) in [(json, "html", page), (raw, "html", page), (raw, "json", json)] {
        let again = Command::new(CUTOVER)
            .args(["report", &format!("./{from}"), "--format", form])
            .current_dir(out)
            .output()
            .unwrap();
        let written = std::fs::read(out.join(to)).unwrap();
        let same = again.stdout.trim_ascii_end() == written.trim_ascii_end();
        assert!(same, "{form} of {from} is another: {}", said(&again));
    }
    let report = newest_report(out);
    let run = probe::samples::read(&out.join(raw)).unwrap();
    assert!(raw.ends_with(".ndjson.gz") && run.footer.is_some(), "{raw}");
    let (sent, not_sent) = (&report["sent"], &report["not_sent"]);
    let all = sent.as_u64().unwrap() + not_sent.as_u64().unwrap();
    assert_eq!(run.attempts.len() as u64, all);
}

#[test]
fn an_address_for_metrics_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(CUTOVER)
        .args(["probe", "http://127.0.0.1:9/", "--metrics", &address])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("cannot listen on {address} for metrics")), "{said}");
}
