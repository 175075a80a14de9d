//! Users' traffic and deploys that go on while a test does something else.
//!
//! They are the real commands, run as processes. Nothing is judged here.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::world::{World, signal, wait_for};

/// A `cutover deploy --json` that runs.
pub(crate) struct Deploy {
    child: Ending,
    steps: Receiver<Value>,
    said: Vec<Value>,
    result: Option<JoinHandle<String>>,
}

/// What a deploy came to.
pub(crate) struct Shipped {
    /// Exit code.
    pub(crate) code: Option<i32>,
    /// The report; null when there was none.
    pub(crate) report: Value,
    /// Every step it told, for the message of an assertion.
    pub(crate) said: String,
}

impl Deploy {
    /// Starts `cutover deploy APP VERSION`.
    pub(crate) fn start(world: &World, app: &str, version: &str) -> Self {
        Self::run(world, &["deploy", app, version, "--json"])
    }

    /// Starts a command that follows a rollout with `--json`.
    pub(crate) fn run(world: &World, arguments: &[&str]) -> Self {
        let mut child =
            world.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut stdout = child.stdout.take().unwrap();
        let (sender, steps) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let step = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(step).is_err() {
                    return;
                }
            }
        });
        let result = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        Self { child: Ending(Some(child)), steps, said: Vec::new(), result: Some(result) }
    }

    /// Waits until `phase` is announced.
    pub(crate) fn reach(&mut self, phase: &str) {
        self.until(phase, |step| step["step"] == "phase" && step["phase"] == phase);
    }

    /// Waits until it says these words.
    pub(crate) fn says(&mut self, words: &str) {
        self.until(words, |step| step.to_string().contains(words));
    }

    fn until(&mut self, what: &str, reached: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(step) = self.steps.recv_timeout(left) else {
                panic!("`{what}` was never announced: {}", self.story());
            };
            let reached = reached(&step);
            self.said.push(step);
            if reached {
                return;
            }
        }
    }

    /// Sends the command a signal.
    pub(crate) fn signal(&self, sent: Signal) {
        signal(self.child.0.as_ref().unwrap().id(), sent);
    }

    /// True when the command has ended.
    pub(crate) fn over(&mut self) -> bool {
        self.child.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn end(self) -> Shipped {
        self.end_within(90)
    }

    /// Waits for its end so many seconds.
    pub(crate) fn end_within(mut self, seconds: u64) -> Shipped {
        let child = self.child.0.as_mut().unwrap();
        let waited = wait_for("`cutover deploy` ends", seconds, || child.try_wait().unwrap());
        while let Ok(step) = self.steps.recv_timeout(Duration::from_secs(1)) {
            self.said.push(step);
        }
        let said = self.story();
        let result = self.result.take().unwrap().join().unwrap();
        let report = serde_json::from_str(&result).unwrap_or_default();
        Shipped { code: waited.code(), report, said }
    }

    fn story(&self) -> String {
        let told = self.said.iter().filter(|step| step["step"] != "live");
        told.map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

/// Runs whose missing verdict was excused so far.
static EXCUSED: AtomicU32 = AtomicU32::new(0);

/// True when the machine gave the prober too little time for a verdict, and it says just that: no loss
/// and no other doubt. That a busy machine is no PASS is a promise of its own, tested in `report`; which
/// machine a test runs on is nobody's fault. Whole runs (`CUTOVER_FULL=1`) excuse nothing.
pub(crate) fn starved(report: &Value) -> bool {
    let machine = |reason: &Value| {
        let reason = reason.as_str().unwrap_or_default();
        let unsent = reason.ends_with("could not be sent during the switch");
        unsent
            || reason.contains("stopped or starved")
            || reason.contains("planned requests were sent")
    };
    let reasons = report["reasons"].as_array();
    let only = reasons.is_some_and(|all| !all.is_empty() && all.iter().all(machine));
    // A prober that hardly sends is our own affair, whatever it says.
    let number = |key: &str| report["trust"][key].as_u64().unwrap_or(0);
    let only = only && number("sent") * 10 >= number("planned") * 8 && number("sent") > 0;
    let excused = only
        && report["verdict"] == "INCONCLUSIVE"
        && report["failed"] == 0
        && std::env::var_os("CUTOVER_FULL").is_none();
    if excused {
        let many = EXCUSED.fetch_add(1, Relaxed) + 1;
        assert!(
            many <= 40,
            "{many} runs without a verdict are no accident: {}",
            report["sentence"]
        );
        aside::say(format_args!("no verdict, the machine was too busy: {}", report["sentence"]));
    }
    excused
}

impl Shipped {
    /// Users lost nothing and the prober can say so, unless the machine starved it.
    pub(crate) fn expect(&self, code: i32, verdict: &str) {
        let (report, said) = (&self.report, &self.said);
        if verdict == "PASS" && starved(report) {
            let aborted = code == 4;
            assert_eq!(report["outcome"] == "aborted", aborted, "{} {said}", self.why());
            // Who is back where it was says so before anything else.
            assert_eq!(self.code, Some(if aborted { 4 } else { 3 }), "{} {said}", self.why());
            return;
        }
        assert_eq!(report["verdict"], verdict, "{} {said}", self.why());
        assert_eq!(self.code, Some(code), "{} {said}", self.why());
    }

    /// It was promoted and nothing was lost, whether or not enough was sent for a verdict.
    pub(crate) fn expect_unharmed(&self) {
        let report = &self.report;
        assert_eq!(report["failed"], 0, "{} {}", self.why(), self.said);
        assert_eq!(report["outcome"], "promoted", "{} {}", self.why(), self.said);
    }

    /// What the report says of failures and doubts.
    pub(crate) fn why(&self) -> String {
        let report = &self.report;
        format!("{}\n{}\n{}\n", report["sentence"], report["reasons"], report["failures"])
    }
}

/// A `cutover probe` of a world's entrance: a user who knows nothing of the server.
pub(crate) struct Users {
    child: Ending,
}

/// A process that does not outlive the test that started it, however that ends.
struct Ending(Option<Child>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _killed = child.kill();
            let _waited = child.wait();
        }
    }
}

impl Users {
    /// Asks 60 times a second over kept and fresh connections, until it is ended.
    pub(crate) fn of(world: &World, host: Option<&str>) -> Self {
        let host = host.iter().flat_map(|host| ["--host", host]);
        Self::asking(world, ["--late-after", "5s"].into_iter().chain(host))
    }

    /// The same where requests may be held: nobody waits longer than that.
    pub(crate) fn held(world: &World) -> Self {
        Self::asking(world, ["--late-after", "25s", "--timeout", "30s"])
    }

    fn asking<'a>(world: &World, more: impl IntoIterator<Item = &'a str>) -> Self {
        let url = format!("http://127.0.0.1:{}/datetime", world.port);
        let more: Vec<_> = more.into_iter().collect();
        let mut words = vec!["probe", "--rate", "60", "--duration", "10m", "--json"];
        words.extend(["--out", "users"]);
        words.extend(&more);
        words.push(&url);
        let piped = world.command(&words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        Self { child: Ending(Some(piped.unwrap())) }
    }

    /// Ends it and answers its report.
    pub(crate) fn end(mut self) -> Value {
        let child = self.child.0.take().unwrap();
        signal(child.id(), Signal::INT);
        let output = child.wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout).expect("the probe reports")
    }

    /// Ends it; nothing was lost, whether or not enough was sent for a verdict.
    pub(crate) fn expect_none_lost(self) {
        let report = self.end();
        assert_eq!(report["failed"], 0, "{} {}", report["sentence"], report["failures"]);
        assert!(report["sent"].as_u64() > Some(0), "{}", report["sentence"]);
    }

    /// Ends it; nothing was lost.
    pub(crate) fn expect_pass(self) {
        let report = self.end();
        let failures = &report["failures"];
        assert_eq!(report["failed"], 0, "{} {failures}", report["sentence"]);
        if starved(&report) {
            return;
        }
        assert_eq!(report["verdict"], "PASS", "{} {}", report["sentence"], report["reasons"]);
    }
}

/// One request on a connection of its own: status line and body, or what went wrong.
pub(crate) fn get(port: u16, host: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
