//! The scripts of an example, run as its readers run them: in an empty directory, with free ports.
//!
//! What is left of them when they have ended is an error; what they should say is the tests' affair.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::world::{CUTOVER, free_port, newest_report, signal, wait_for};

/// A script of an example that runs, with everything it makes in a directory of its own.
pub(crate) struct Script {
    directory: tempfile::TempDir,
    /// Where its users come in.
    pub(crate) port: u16,
    pub(crate) child: Child,
}

impl Script {
    /// `server` is the variable that names the server which the script needs, and its program.
    pub(crate) fn start(
        words: &[&str],
        example: &Path,
        server: (&str, &Path),
        cutover: &Path,
    ) -> Self {
        let directory = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
        let log = File::create(directory.path().join("said")).unwrap();
        let mut command = Command::new(example.join(words[0]));
        command.args(&words[1..]).current_dir(directory.path());
        command.env(server.0, server.1).env("CUTOVER", cutover).env("TMPDIR", directory.path());
        let port = free_port();
        command.env("PORT", port.to_string());
        // A script that lets its reader press Enter waits for that.
        command.env("WAIT", "yes");
        for name in ["API", "BLUE", "GREEN", "CONTROL", "OLD", "NEW"] {
            command.env(name, free_port().to_string());
        }
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.process_group(0).spawn().unwrap();
        Self { directory, port, child }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Presses Enter.
    pub(crate) fn enter(&mut self) {
        self.child.stdin.take().expect("nobody pressed it before").write_all(b"\n").unwrap();
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.path().join("said")).unwrap()
    }

    /// Waits for its end; nothing of it is left, neither a process nor a file but its report.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let status = wait_for("the script ends", 120, || self.child.try_wait().unwrap());
        assert_eq!(self.left_over(), Vec::<String>::new(), "{}", self.said());
        let names = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        let kept = |name: &String| !name.starts_with("cutover-example.");
        assert!(names.iter().all(kept), "{names:?} {}", self.said());
        status
    }

    /// The command lines of everything that was started from the script.
    pub(crate) fn left_over(&self) -> Vec<String> {
        let mark = format!("TMPDIR={}", self.path().display());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
            let environment = String::from_utf8_lossy(&read("environ")).into_owned();
            let own = self.child.id().to_string().as_str() == entry.file_name();
            if !own && environment.split('\0').any(|text| text == mark) {
                found.push(String::from_utf8_lossy(&read("cmdline")).replace('\0', " "));
            }
        }
        found
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            // Asked, it ends what it started.
            signal(self.child.id(), Signal::TERM);
            wait_for("the script hears", 60, || self.child.try_wait().unwrap());
        }
        // A script that forgot something must not leave it to the machine.
        let _gone = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        if std::thread::panicking() {
            eprintln!("--- the script ---\n{}", self.said());
        }
    }
}

/// Runs a script to its end: exit code, report, and what it said.
pub(crate) fn run(
    words: &[&str],
    example: &Path,
    server: (&str, &Path),
) -> (Option<i32>, Value, String) {
    let mut script = Script::start(words, example, server, Path::new(CUTOVER));
    let code = script.end().code();
    (code, newest_report(script.path()), script.said())
}
