//! `cutover probe`, a process of its own, on servers that never end: heads, bodies where there is none, chunks, events,
//! frames of WebSockets and of HTTP/2, and a new name in every answer. What it keeps in memory has a bound.
//!
//! The servers are in `endless_server`. Which class each of these gets is said by tests of the prober.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

use rustix::process::Signal;
use serde_json::Value;

use crate::endless_server::{Lies, Server};
use crate::world::{CUTOVER, beside, newest_report, signal, wait_for};

/// How much more it may have, at its most, than when it had its first answers. Of each kind a single one that is kept
/// is more.
const MORE_KIB: u64 = 8 * 1024;
/// How often each kind of endless answer is met.
const TIMES: u64 = 2;
/// Answers that each have names of their own, and what may be kept of all of them.
const NAMES: u64 = 6_000;
const NAMES_KIB: u64 = 6 * 1024;

/// A probe that goes on until it is told to end, or dropped.
struct Probe(Child);

impl Probe {
    fn start(server: &Server, folder: &Path, words: &str) -> Self {
        let mut command = Command::new(CUTOVER);
        command.args(["probe", &format!("http://{}/", server.address), "--duration", "600s"]);
        command.args(words.split(' ')).current_dir(folder).stdin(Stdio::null());
        let log = std::fs::File::create(folder.join("log")).unwrap();
        Self(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// A line of what the kernel says of it, KiB.
    fn memory_kib(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|one| one.strip_prefix(line)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Ends it as a person does; its report.
    fn end(mut self, folder: &Path) -> Value {
        signal(self.0.id(), Signal::INT);
        let status = wait_for("the probe ends", 60, || self.0.try_wait().unwrap());
        let log = std::fs::read_to_string(folder.join("log")).unwrap();
        assert_eq!(status.code(), Some(130), "{log}");
        newest_report(folder)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _waited = self.0.wait();
    }
}

#[test]
fn whatever_never_ends_is_kept_only_so_far() {
    let _turn = beside();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Lies::Endless);
    let lanes = "keep-alive,fresh,idle,http2,websocket,upload,download,events,orders";
    let words = format!(
        "--rate 40 --lanes {lanes} --sockets 3 --idle-most 200ms --slowness 100ms --timeout 500ms --late-after 400ms"
    );
    let probe = Probe::start(&server, folder.path(), &words);
    wait_for("the first answers", 60, || (server.right() >= 5).then_some(()));
    let before = probe.memory_kib("VmRSS:");
    let mut rest = Vec::new();
    wait_for("each kind of what never ends, often", 240, || {
        let most = probe.memory_kib("VmHWM:");
        assert!(most <= before + MORE_KIB, "{before} KiB at first, {most} KiB at most");
        let now = server.missing(TIMES);
        if now != rest {
            println!("still to come: {now:?}");
            rest = now;
        }
        rest.is_empty().then_some(())
    });
    let most = probe.memory_kib("VmHWM:");
    println!("{before} KiB at first, {most} KiB at most");
    let report = probe.end(folder.path());
    assert_eq!(report["lanes_not_run"], Value::Array(Vec::new()), "{}", report["lanes_not_run"]);
    assert!(report["failed"].as_u64().unwrap() > TIMES, "{report}");
}

#[test]
fn a_new_name_in_every_answer_is_kept_only_so_often() {
    let _turn = beside();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Lies::Names);
    let words = "--rate 400 --lanes keep-alive,fresh --clients 16 --timeout 5s --late-after 4s";
    let probe = Probe::start(&server, folder.path(), words);
    let answered = |wanted: u64| (server.answers.load(Ordering::SeqCst) >= wanted).then_some(());
    wait_for("the first answers", 60, || answered(NAMES / 4));
    let before = probe.memory_kib("VmRSS:");
    wait_for("names in every answer", 240, || answered(NAMES + NAMES / 4));
    let after = probe.memory_kib("VmRSS:");
    println!("{before} KiB, {after} KiB");
    assert!(after <= before + NAMES_KIB, "{before} KiB, and after {NAMES} answers {after} KiB");
    let report = probe.end(folder.path());
    assert!(report["versions"].as_array().unwrap().len() <= 20, "{}", report["versions"]);
}
