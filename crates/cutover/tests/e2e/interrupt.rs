//! Ctrl-C and SIGTERM, in every phase of a deploy, while probing, and at any instant of the demo.
//!
//! Signals to `up` itself are in `stop`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::sample;
use crate::traffic::{Deploy, Shipped, Users, get};
use crate::world::{CUTOVER, World, beside, newest_report, said, sample_config, signal, wait_for};

/// A world that serves v1.
fn live() -> World {
    let mut world = World::sample(1);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    world
}

/// Interrupted, told so, and with a report of what users saw until then.
fn interrupted(world: &World, shipped: &Shipped, when: &str) {
    let Shipped { code, report, said } = shipped;
    assert_eq!(*code, Some(130), "{when}: {said}");
    assert_eq!(report["interrupted"], true, "{when}: {said}");
    assert_eq!(report["exit_code"], 130, "{when}: {said}");
    assert_eq!(report["failed"], 0, "{when}: {} {said}", shipped.why());
    assert!(!said.contains("panicked"), "{when}: {said}");
    let file = world.path().join(format!("cutover-{}.html", report["run_id"].as_str().unwrap()));
    assert!(file.exists(), "{when}: no page was written");
}

/// Users get this version, and nothing else of the app runs.
fn serves(world: &World, version: &str, when: &str) {
    let answer = get(world.port, "x", "/version").unwrap();
    assert!(answer.contains(version), "{when}: {answer}");
    wait_for("one release runs", 10, || (world.running().len() == 1).then_some(()));
    let status = world.status().unwrap();
    assert_eq!(status["apps"][0]["stable"], version, "{when}: {status}");
}

#[test]
fn ctrl_c_before_the_promotion_is_final_leaves_users_on_the_old_version() {
    let _turn = beside();
    let world = live();
    let users = Users::of(&world, None);
    let phases = ["starting", "previewing", "arming", "shifting", "baking"];
    for (number, phase) in sample::of(phases, 3).into_iter().enumerate() {
        let mut deploy = Deploy::start(&world, "demo", &format!("new-{number}"));
        deploy.reach(phase);
        // A deploy in a script gets SIGTERM, one at a terminal SIGINT.
        deploy.signal(if phase == "baking" { Signal::TERM } else { Signal::INT });
        let shipped = deploy.end();
        interrupted(&world, &shipped, phase);
        assert_eq!(shipped.report["outcome"], "aborted", "{phase}: {}", shipped.said);
        serves(&world, "v1", phase);
    }
    users.expect_pass();
}

#[test]
fn ctrl_c_after_the_promotion_is_final_leaves_users_on_the_new_version() {
    let _turn = beside();
    let world = live();
    let users = Users::of(&world, None);
    for phase in sample::of(["draining", "handing-over", "stopping", "promoted"], 2) {
        let version = format!("new-{phase}");
        let mut deploy = Deploy::start(&world, "demo", &version);
        deploy.reach(phase);
        deploy.signal(Signal::INT);
        let shipped = deploy.end();
        interrupted(&world, &shipped, phase);
        assert_eq!(shipped.report["outcome"], "promoted", "{phase}: {}", shipped.said);
        serves(&world, &version, phase);
    }
    users.expect_pass();
}

/// A stream of events from `version` that stays open until it is dropped.
fn open_stream(world: &World, version: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let (mut said, mut some) = (String::new(), [0; 1024]);
    while !said.contains("\r\n\r\n") {
        let read = stream.read(&mut some).unwrap();
        assert!(read > 0, "it ended: {said}");
        said.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    assert!(said.contains(&format!("x-app-version: {version}\r\n")), "{said}");
    stream
}

/// How often the journal's last rollout was told to abort.
fn aborts_asked(world: &World) -> u32 {
    let database = rusqlite::Connection::open(world.state().join("cutover.db")).unwrap();
    let sql = "SELECT count(*) FROM event WHERE body LIKE '%abort_asked%'
        AND rollout = (SELECT max(id) FROM rollout)";
    database.query_row(sql, (), |row| row.get(0)).unwrap()
}

/// The phase that a deploy had told last when it said that it was interrupted.
fn phase_of_the_interruption(said: &str) -> String {
    let steps = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut phase = Value::Null;
    for step in steps {
        if step["step"] == "phase" {
            phase = step["phase"].clone();
        } else if step.to_string().contains("Ctrl-C again") {
            break;
        }
    }
    phase.as_str().unwrap_or("none").to_owned()
}

#[test]
fn ctrl_c_on_the_way_back_leaves_users_on_the_old_version() {
    let _turn = beside();
    // An instance that takes no notice makes its stopping last.
    let config = sample_config(1)
        .replace("\"{version}\"]", "\"{version}\", \"--ignore-sigterm\"]")
        .replace("instances = 1", "instances = 1\nstop_timeout = \"1500ms\"");
    let mut world = World::new(&config);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let users = Users::of(&world, None);
    for phase in ["rolling-back", "draining-candidate", "stopping-candidate"] {
        let version = format!("new-{phase}");
        let mut deploy = Deploy::start(&world, "demo", &version);
        deploy.reach("baking");
        // An open request makes the draining last.
        let mut open = Some(open_stream(&world, &version));
        world.expect(0, &["abort", "demo"]);
        if phase == "stopping-candidate" {
            drop(open.take());
        }
        deploy.reach(phase);
        deploy.signal(Signal::INT);
        wait_for("the server hears of it", 5, || (aborts_asked(&world) == 2).then_some(()));
        drop(open.take());
        let shipped = deploy.end();
        interrupted(&world, &shipped, phase);
        assert_eq!(shipped.report["outcome"], "aborted", "{phase}: {}", shipped.said);
        let when = phase_of_the_interruption(&shipped.said);
        // Going back to where all is ready takes milliseconds: it may be over when it is asked.
        let next = if phase == "rolling-back" { "draining-candidate" } else { phase };
        assert!([phase, next].contains(&when.as_str()), "{phase}: {when}: {}", shipped.said);
        serves(&world, "v1", phase);
    }
    users.expect_pass();
}

#[test]
fn a_second_ctrl_c_leaves_the_rollout_to_the_server() {
    let _turn = beside();
    let world = live();
    let users = Users::of(&world, None);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    deploy.reach("baking");
    deploy.signal(Signal::INT);
    deploy.reach("rolling-back");
    deploy.signal(Signal::INT);
    let shipped = deploy.end();
    assert_eq!(shipped.code, Some(130), "{}", shipped.said);
    assert!(shipped.said.contains("the rollout goes on in the server"), "{}", shipped.said);
    wait_for("the rollout is over", 20, || {
        world.status().unwrap()["apps"][0]["rollout"].is_null().then_some(())
    });
    serves(&world, "v1", "after two");
    users.expect_pass();
}

#[test]
fn a_first_deploy_that_is_interrupted_leaves_nothing() {
    let _turn = beside();
    let mut world = World::sample(1);
    world.up();
    let mut deploy = Deploy::start(&world, "demo", "v1");
    deploy.reach("starting");
    deploy.signal(Signal::INT);
    let shipped = deploy.end();
    assert_eq!(shipped.code, Some(130), "{}", shipped.said);
    wait_for("no instance runs", 10, || world.running().is_empty().then_some(()));
    world.expect(0, &["deploy", "demo", "v1"]);
}

#[test]
fn a_probe_that_is_interrupted_judges_what_it_saw() {
    let _turn = beside();
    let world = live();
    let users = Users::of(&world, None);
    // Ten were asked before users came.
    wait_for("the probe asks", 10, || {
        let metrics = get(world.port, "x", "/metrics").unwrap();
        let count = metrics.split("route=\"/datetime\",status=\"200\"} ").nth(1)?.lines().next()?;
        count.parse::<u32>().ok().filter(|count| *count > 10)
    });
    let report = users.end();
    assert_eq!(report["interrupted"], true);
    assert_eq!(report["exit_code"], 130);
    assert!(newest_report(&world.path().join("users"))["sent"].as_u64() > Some(0));
}

/// A service that takes requests and never answers holds up nobody who wants to go.
#[test]
fn a_second_ctrl_c_of_a_probe_does_not_wait_for_what_is_in_flight() {
    let _turn = beside();
    let world = World::new("");
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", mute.local_addr().unwrap());
    let words = ["probe", &url, "--lanes", "fresh", "--timeout", "5m", "--duration", "5m"];
    let stderr = std::fs::File::create(world.path().join("said")).unwrap();
    let mut probe = world.command(&words).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
    let told = |text: &str| {
        let said = std::fs::read_to_string(world.path().join("said")).unwrap();
        said.contains(text).then_some(())
    };
    mute.set_nonblocking(true).unwrap();
    let asked = |_| wait_for("the probe asks", 10, || mute.accept().ok());
    let _asked: Vec<_> = (0..3).map(asked).collect();
    signal(probe.id(), Signal::INT);
    wait_for("it says what it waits for", 10, || told("help=\"Ctrl-C again"));
    assert!(probe.try_wait().unwrap().is_none(), "it did not wait");
    signal(probe.id(), Signal::INT);
    wait_for("the probe ends", 20, || probe.try_wait().unwrap());
    let output = probe.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    let report = newest_report(world.path());
    assert_eq!((&report["interrupted"], &report["failed"]), (&true.into(), &0.into()));
    let why = report["reasons"].to_string();
    assert!(why.contains(" that the prober sent"), "{why}");
    assert!(!why.contains("no request was sent"), "{why}");
}

/// A demo in a directory of its own, which is also its TMPDIR.
struct Demo {
    directory: tempfile::TempDir,
    child: Child,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        Self::telling(Stdio::piped(), arguments)
    }

    fn telling(stdout: Stdio, arguments: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
        for name in ["stage", "out"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let child = Command::new(CUTOVER)
            .args(["demo", "--out", "out"])
            .args(arguments)
            .current_dir(&directory)
            .env("TMPDIR", directory.path().join("stage"))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::from(std::fs::File::create(directory.path().join("said")).unwrap()))
            .spawn()
            .unwrap();
        Self { directory, child }
    }

    fn stage(&self) -> std::path::PathBuf {
        self.directory.path().join("stage")
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("said")).unwrap()
    }

    /// Waits until it has said this.
    fn says(&self, text: &str) {
        wait_for(text, 30, || self.said().contains(text).then_some(()));
    }

    /// A request that stays open for half a minute.
    fn slow_request(&self) -> TcpStream {
        let said = self.said();
        let address = said.split("live on http://").nth(1).unwrap().split('/').next().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /slow?ms=30000 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        stream
    }

    /// Waits for its end and answers its exit code; nothing of it is left.
    fn end(mut self) -> (Option<i32>, String, usize) {
        let ended = wait_for("the demo ends", 60, || self.child.try_wait().unwrap());
        let said = self.said();
        let left = processes_in(&self.stage());
        assert!(left.is_empty(), "left running: {left:?}\n{said}");
        let files: Vec<_> = std::fs::read_dir(self.stage()).unwrap().flatten().collect();
        assert!(files.is_empty(), "left behind: {files:?}\n{said}");
        let reports = std::fs::read_dir(self.directory.path().join("out")).unwrap().count();
        (ended.code(), said, reports)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Only a test that fails has anything left to end.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
        for (pid, _) in processes_in(&self.stage()) {
            signal(pid, Signal::KILL);
        }
    }
}

/// Every process whose command line or environment names the directory.
fn processes_in(directory: &Path) -> Vec<(u32, String)> {
    let needle = format!("{}/", directory.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let read = |name: &str| {
            let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let command = read("cmdline");
        if command.contains(&needle) || read("environ").contains(&needle) {
            found.push((pid, command));
        }
    }
    found
}

#[test]
fn the_demo_ends_clean_at_any_instant() {
    let _turn = beside();
    // Words it says, or how long after its start; what is sent then; whether a report is due.
    let instants: [(Result<&str, u64>, Signal, bool); 7] = [
        (Err(30), Signal::INT, false),
        (Err(150), Signal::TERM, false),
        (Ok("starting v1"), Signal::INT, false),
        (Ok(" starting "), Signal::INT, true),
        (Ok(" baking "), Signal::TERM, true),
        (Ok(" draining "), Signal::INT, true),
        (Ok(" baking "), Signal::HUP, true),
    ];
    for (when, sent, report) in sample::of(instants, 3) {
        if sent == Signal::HUP && ignores_hangup() {
            aside::say(
                "skipped: SIGHUP is ignored here (nohup), and who ignores it wants to go on",
            );
            continue;
        }
        let demo = Demo::start(&[]);
        match when {
            Ok(words) => demo.says(words),
            Err(ms) => {
                // The instant itself is the input.
                let until = Instant::now() + Duration::from_millis(ms);
                wait_for("the instant", 1, || (Instant::now() >= until).then_some(()));
            }
        }
        // Before it has taken the signals over nothing has been started.
        wait_for("it hears signals", 10, || hears(demo.child.id(), sent).then_some(()));
        signal(demo.child.id(), sent);
        let (code, said, reports) = demo.end();
        assert_eq!(code, Some(130), "{when:?}: {said}");
        assert_eq!(reports, if report { 2 } else { 0 }, "{when:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("error:"), "{when:?}: {said}");
    }
}

#[test]
fn a_demo_whose_result_nobody_takes_leaves_nothing_behind() {
    let _turn = beside();
    // As a terminal that was closed, or a disk that is full.
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let demo = Demo::telling(Stdio::from(full), &[]);
    demo.says(" starting ");
    signal(demo.child.id(), Signal::INT);
    let (code, said, reports) = demo.end();
    assert_eq!((code, reports), (Some(130), 2), "{said}");
    assert!(
        said.contains("could not be written to stdout") && !said.contains("panicked"),
        "{said}"
    );
}

/// Whether what this test starts is born with SIGHUP ignored.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0) & 1 == 1
}

/// Whether a process catches a signal.
fn hears(pid: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    caught >> (signal.as_raw() - 1) & 1 == 1
}

#[test]
fn a_second_ctrl_c_leaves_the_rollout_and_a_third_one_hurries_the_demo() {
    let _turn = beside();
    let demo = Demo::start(&[]);
    demo.says(" baking ");
    let _open = demo.slow_request();
    signal(demo.child.id(), Signal::INT);
    demo.says("Ctrl-C again leaves it");
    signal(demo.child.id(), Signal::INT);
    demo.says("left; the rollout goes on");
    let left = Instant::now();
    signal(demo.child.id(), Signal::INT);
    let (code, said, _) = demo.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(left.elapsed() < Duration::from_millis(4_900), "it waited for a request: {said}");
}

/// Taken back before the phase in which its fault strikes, it has shown nothing.
#[test]
fn a_demo_whose_fault_did_not_strike_has_no_result() {
    let _turn = beside();
    let demo = Demo::start(&["--inject", "truncate"]);
    demo.says(" starting ");
    let stage = std::fs::read_dir(demo.stage()).unwrap().flatten().next().unwrap().path();
    let mut abort = Command::new(CUTOVER);
    abort.args(["abort", "demo", "--config"]).arg(stage.join("cutover.toml"));
    let aborted = abort.output().unwrap();
    assert!(aborted.status.success(), "{}", said(&aborted));
    let (code, said, reports) = demo.end();
    assert_eq!((code, reports), (Some(5), 2), "{said}");
    let why = "the fault `truncate` could not be injected: the rollout never came to baking";
    assert!(said.contains(why), "{said}");
}

#[test]
fn two_demos_run_at_the_same_time() {
    let _turn = beside();
    let demos = [(); 2].map(|()| Demo::start(&["--rate", "40"]));
    for demo in demos {
        let (code, said, reports) = demo.end();
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(reports, 2, "{said}");
    }
}

#[test]
fn a_demo_without_a_place_to_work_says_so() {
    let _turn = beside();
    for (stage, help) in [("/proc", "set TMPDIR"), (&"/tmp/x".repeat(20), "a shorter path")] {
        let output = Command::new(CUTOVER).arg("demo").env("TMPDIR", stage).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(help), "{}", said(&output));
    }
    let output = Command::new(CUTOVER).args(["demo", "--out", "/proc/x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--out"), "{}", said(&output));
}
