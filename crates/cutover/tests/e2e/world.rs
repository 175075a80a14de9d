//! A directory with a configuration, a `cutover up` in it, and everything it started.
//!
//! Whatever a test does, what it started is gone when its world is dropped: by pid, never by name.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

/// The binary under test.
pub(crate) const CUTOVER: &str = env!("CARGO_BIN_EXE_cutover");

/// Waits for the turn of a test that judges what users met, also among several test runs on one
/// machine: two of them at once would starve each other's probers.
pub(crate) fn turn() -> File {
    only_one_at("cutover-tests-take-turns")
}

/// Waits for the turn of a test that hardly needs the machine (it waits for ends, refusals and states,
/// and its traffic is a trickle or is not judged by the clock): two of them run beside the others. Each
/// waits at the desk it comes to: nobody can wait at two.
pub(crate) fn beside() -> File {
    static CAME: AtomicUsize = AtomicUsize::new(0);
    let desks = ["cutover-tests-beside", "cutover-tests-beside-too"];
    only_one_at(desks[CAME.fetch_add(1, Ordering::Relaxed) % desks.len()])
}

fn only_one_at(desk: &str) -> File {
    let path = std::env::temp_dir().join(desk);
    let file = File::options().create(true).truncate(false).write(true).open(path).unwrap();
    file.lock().unwrap();
    file
}

/// Waits until `condition` gives something, `seconds` at most.
pub(crate) fn wait_for<T>(what: &str, seconds: u64, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends a signal to a process that the test knows by pid.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may have ended by itself meanwhile.
    let _sent = kill_process(pid, signal);
}

/// A world of its own.
pub(crate) struct World {
    directory: tempfile::TempDir,
    /// The port of users' requests.
    pub(crate) port: u16,
    server: Option<Child>,
    served: bool,
}

impl World {
    /// Writes `config`, in which `PORT` stands for the port of users' requests and `CUTOVER` for
    /// the binary.
    pub(crate) fn new(config: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
        let port = free_port();
        let text = config.replace("PORT", &port.to_string()).replace("CUTOVER", CUTOVER);
        std::fs::write(directory.path().join("cutover.toml"), text).unwrap();
        Self { directory, port, server: None, served: false }
    }

    /// [`World::sample`] for tests that ask whether anything is lost, not how fast it is: a machine
    /// that compiles beside them makes answers late, and the demo's tests ask about that.
    pub(crate) fn patient(instances: u16) -> Self {
        Self::new(&patient_config(instances))
    }

    /// The sample app behind the proxy, probed over three lanes.
    pub(crate) fn sample(instances: u16) -> Self {
        Self::new(&sample_config(instances))
    }

    /// Where everything lies.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.path().join(".cutover")
    }

    /// A command of the binary under test, run in this world.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CUTOVER);
        command.current_dir(self.path()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, which must come within two minutes.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let (sender, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        let Ok(output) = ended.recv_timeout(Duration::from_mins(2)) else {
            signal(pid, Signal::KILL);
            panic!("{arguments:?} did not end");
        };
        output.unwrap()
    }

    /// Runs a command that must end with `code`.
    pub(crate) fn expect(&self, code: i32, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        output
    }

    /// Starts `cutover up` and waits until it answers.
    pub(crate) fn up(&mut self) -> u32 {
        let pid = self.launch();
        wait_for("`cutover up` answers", 20, || {
            let status = self.status();
            status.is_some_and(|status| status["pid"] == pid).then_some(())
        });
        pid
    }

    /// Starts `cutover up` and waits for nothing.
    pub(crate) fn launch(&mut self) -> u32 {
        let log = File::options().create(true).append(true).open(self.path().join("up.log"));
        let log = log.unwrap();
        let child = self
            .command(&["up"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let pid = child.id();
        self.server = Some(child);
        self.served = true;
        pid
    }

    /// What `status --json` says, if a server answers.
    pub(crate) fn status(&self) -> Option<Value> {
        let output = self.run(&["status", "--json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// An empty directory, for a test that writes its configuration itself.
    pub(crate) fn empty() -> Self {
        let world = Self::new("");
        std::fs::remove_file(world.path().join("cutover.toml")).unwrap();
        world
    }

    /// Takes a server that a test started in this world by itself, in a process group of its own.
    pub(crate) fn take(&mut self, server: Child) {
        self.server = Some(server);
        self.served = true;
    }

    /// Waits until the server has ended by itself and answers its exit code.
    pub(crate) fn ended_up(&mut self) -> Option<i32> {
        let mut server = self.server.take().expect("it runs");
        wait_for("`cutover up` ends", 30, || server.try_wait().unwrap()).code()
    }

    /// True when the server has ended by itself.
    pub(crate) fn is_gone(&mut self) -> bool {
        let server = self.server.as_mut();
        server.is_none_or(|server| server.try_wait().unwrap().is_some())
    }

    /// The server, which the test has just killed, is gone; another one may be there.
    pub(crate) fn bury(&mut self, pid: u32) {
        if let Some(mut server) = self.server.take_if(|server| server.id() == pid) {
            server.wait().unwrap();
        }
    }

    /// Every living instance of this world, as /proc knows it: its id and its pid.
    pub(crate) fn running(&self) -> Vec<(String, u32)> {
        let mut running = Vec::new();
        for pid in self.left_over() {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&environment).into_owned();
            let id =
                environment.split('\0').find_map(|text| text.strip_prefix("CUTOVER_INSTANCE="));
            running.extend(id.map(|id| (id.to_owned(), pid)));
        }
        running.sort();
        running
    }

    /// Pids of Cutover's own other processes of this world: `proxy` or `probe`.
    pub(crate) fn parts(&self, command: &str) -> Vec<u32> {
        let is_one = |pid: &u32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).split('\0').nth(1) == Some(command)
        };
        self.left_over().into_iter().filter(is_one).collect()
    }

    /// What the server has said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.path().join("up.log")).unwrap_or_default()
    }

    /// Kills the server as a crash would.
    pub(crate) fn kill_up(&mut self) {
        let mut server = self.server.take().expect("it runs");
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// The newest report in the world's directory.
    pub(crate) fn report(&self) -> Value {
        newest_report(self.path())
    }

    /// Everything that says that it belongs to this world's state directory.
    pub(crate) fn left_over(&self) -> Vec<u32> {
        let state = self.state().canonicalize().unwrap_or_else(|_| self.state());
        let marks =
            [format!("CUTOVER_STATE={}", state.display()), format!("{}/", self.state().display())];
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
            let environment = String::from_utf8_lossy(&read("environ")).into_owned();
            let command = String::from_utf8_lossy(&read("cmdline")).into_owned();
            if environment.split('\0').any(|text| text == marks[0]) || command.contains(&marks[1]) {
                found.push(pid);
            }
        }
        found
    }

    /// Asserts that nothing that belongs to this world runs any more.
    pub(crate) fn assert_nothing_runs(&self) {
        wait_for("nothing of this world runs", 10, || self.left_over().is_empty().then_some(()));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // The test is over, whatever it was about.
            let group = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
            let _killed = kill_process_group(group, Signal::KILL);
            let _waited = server.wait();
        }
        if self.served {
            for pid in self.left_over() {
                signal(pid, Signal::KILL);
            }
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path().join("up.log")).unwrap_or_default();
            eprintln!("--- up.log ---\n{log}");
        }
    }
}

/// Both outputs, for the message of an assertion.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The newest JSON report in a directory.
pub(crate) fn newest_report(directory: &Path) -> Value {
    let mut reports: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    reports.sort_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap());
    let newest = reports.last().expect("a report was written");
    serde_json::from_slice(&std::fs::read(newest).unwrap()).unwrap()
}

/// The configuration of [`World::patient`].
pub(crate) fn patient_config(instances: u16) -> String {
    let config = sample_config(instances).replace("rate = 200", "rate = 100");
    config.replace("late_after = \"500ms\"", "late_after = \"5s\"")
}

/// The configuration of [`World::patient`] with an app that exits the moment it is told to end, so
/// that whoever is not drained before is cut. It has no sockets that could be handed over.
pub(crate) fn abrupt_config(instances: u16) -> String {
    let config = patient_config(instances).replace(", \"websocket\"]", "]");
    config.replace("\"{version}\"]", "\"{version}\", \"--exit-on-sigterm\"]")
}

/// The configuration of [`World::sample`].
pub(crate) fn sample_config(instances: u16) -> String {
    format!(
        r#"
[proxy]
listen = ["127.0.0.1:PORT"]
drain_timeout = "5s"

[app.demo]
command = ["CUTOVER", "app", "--port", "{{port}}", "--version", "{{version}}"]
instances = {instances}

[app.demo.health]
path = "/healthz"
interval = "50ms"
rise = 2
deadline = "25s"

[app.demo.rollout]
bake = "1500ms"
preview_requests = 10

[app.demo.probe]
rate = 200
path = "/datetime"
lanes = ["keep-alive", "fresh", "websocket"]
late_after = "500ms"
"#
    )
}
