//! Starts this same binary again as one of Cutover's other processes.
//!
//! They get their own process group (a Ctrl-C in a terminal is not for them) and write to their own
//! log files. Nobody dies with anybody: a child goes on when its parent is gone.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use model::Fault;
use tokio::process::{Child, Command};

/// How our other processes are started: with our environment, but for the secrets of apps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Children {
    without: Arc<[String]>,
}

impl Children {
    /// Children that do not inherit these variables.
    pub(crate) fn without(variables: impl IntoIterator<Item = String>) -> Self {
        Self { without: variables.into_iter().collect() }
    }

    /// Starts `cutover ARGUMENTS…` with its output appended to `log`.
    pub(crate) fn spawn(&self, arguments: &[String], log: &Path) -> Result<Child, Fault> {
        // The link is opened in the child, so this is the running binary even if its file was replaced.
        self.spawn_program(Path::new("/proc/self/exe"), arguments, log)
    }

    /// The same with another binary.
    pub(crate) fn spawn_program(
        &self,
        program: &Path,
        arguments: &[String],
        log: &Path,
    ) -> Result<Child, Fault> {
        let refused = |e: std::io::Error| {
            Fault::environment(format!("`cutover {}` cannot be started: {e}", arguments.join(" ")))
        };
        let out =
            OpenOptions::new().create(true).append(true).mode(0o600).open(log).map_err(refused)?;
        let err = out.try_clone().map_err(refused)?;
        let mut command = Command::new(program);
        for name in self.without.iter() {
            command.env_remove(name);
        }
        command
            .arg0("cutover")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .kill_on_drop(false)
            .spawn()
            .map_err(refused)
    }
}

/// When the process of that number was started, ticks since boot, while it runs (a zombie does not).
/// A number alone may be another process's by now.
pub(crate) fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; state is the first field behind it, start the 20th.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let lives = !matches!(*fields.first()?, "Z" | "X" | "x");
    fields.get(19).filter(|_| lives)?.parse().ok()
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(log: &Path, lines: usize) -> Vec<String> {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all.iter().skip(all.len().saturating_sub(lines)).map(|line| (*line).to_owned()).collect()
}
