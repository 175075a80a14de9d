//! Where the subject and the tools beside it are started: on the first core, one at a time.
//!
//! What they are asked for is said in `subject` and in `tools`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::subject::{Account, Order};
use crate::Outcome;
use crate::cores::Cores;
use crate::process::Process;

/// What ends by itself must have ended this long after its time.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often somebody looks whether it has; each look takes the server's core from it for a moment.
const LOOK: Duration = Duration::from_millis(50);

/// A folder, and who runs where.
#[derive(Debug)]
pub(crate) struct Place {
    folder: tempfile::TempDir,
    /// Files in it.
    files: AtomicU32,
    pub(crate) cores: Cores,
    /// Where `cargo xtask testbed` puts the tools.
    pub(crate) testbed: PathBuf,
}

/// One run of the prober that is under way.
#[derive(Debug)]
pub(crate) struct Subject {
    process: Process,
    output: PathBuf,
    until: Instant,
    /// How long it had waited for its core when somebody looked last, seconds.
    waited_s: f64,
}

impl Place {
    /// One for the whole bench.
    pub(crate) fn new(testbed: PathBuf) -> Outcome<Self> {
        Ok(Self {
            folder: tempfile::tempdir()?,
            files: AtomicU32::new(0),
            cores: Cores::choose()?,
            testbed,
        })
    }

    /// A file for what somebody says.
    fn output(&self) -> PathBuf {
        self.folder.path().join(self.files.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Starts a run of the prober.
    pub(crate) fn probe(&self, order: &Order) -> Outcome<Subject> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("subject").arg(serde_json::to_string(order)?);
        let output = self.output();
        let process = Process::start(&mut command, self.cores, &output)?;
        let seconds = order.count / u64::from(order.rate.max(1)) + order.timeout_ms / 1_000;
        let until = Instant::now() + Duration::from_secs(seconds) + PATIENCE;
        Ok(Subject { process, output, until, waited_s: 0.0 })
    }

    /// Runs a tool to its end; what it said.
    pub(crate) fn tool(&self, command: &mut Command, lasts: Duration) -> Outcome<String> {
        let output = self.output();
        let process = Process::start(command, self.cores, &output)?;
        let until = Instant::now() + lasts + PATIENCE;
        Subject { process, output, until, waited_s: 0.0 }.said()
    }
}

impl Subject {
    /// Its resident memory now, bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.process.own_memory()
    }

    /// How long it had something to do and others had its core, seconds, as far as it was looked at.
    pub(crate) const fn waited_s(&self) -> f64 {
        self.waited_s
    }

    /// Stops it, or lets it go on.
    pub(crate) fn signal(&self, signal: Signal) -> Outcome<()> {
        self.process.signal(signal)
    }

    /// Lets it go on until the condition holds; an error when it ends before that.
    pub(crate) fn until(&mut self, condition: impl Fn() -> bool) -> Outcome<()> {
        while !condition() {
            if !self.goes_on()? {
                return Err("the prober ended before its time".into());
            }
        }
        Ok(())
    }

    /// Waits a moment; false once it has ended.
    pub(crate) fn goes_on(&mut self) -> Outcome<bool> {
        if !self.process.runs() {
            return Ok(false);
        }
        if Instant::now() > self.until {
            return Err("it did not end in time".into());
        }
        // What a thread had is gone with it.
        self.waited_s = self.waited_s.max(self.process.waited());
        std::thread::sleep(LOOK);
        Ok(true)
    }

    /// Waits for its end and reads the account.
    pub(crate) fn account(self) -> Outcome<Account> {
        let said = self.said()?;
        let last = said.lines().next_back().unwrap_or_default();
        serde_json::from_str(last).map_err(|_| format!("the prober said: {last:.300}").into())
    }

    fn said(mut self) -> Outcome<String> {
        while self.goes_on()? {}
        Ok(String::from_utf8_lossy(&std::fs::read(&self.output)?).into_owned())
    }
}
