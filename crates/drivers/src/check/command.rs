//! Asking a program whether an instance is well: status 0 in time means that it is.
//!
//! The program leads a process group of its own; when it has ended, or its time is over, the whole group
//! is killed, so that nothing of a check outlives it. It gets no shell and no input. What it is told and
//! how often it is asked is the caller's affair.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::timeout;

use crate::exit;
use crate::words::{clean, span};

/// Bytes of its output that are kept, from the end.
const KEPT: usize = 4096;
/// Lines of them that are shown.
const LINES: usize = 5;
/// Characters of a line that are shown.
const LINE: usize = 200;
/// Bytes that are still read when it has ended.
const REST: usize = 64 * 1024;

/// A program that judges.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file, absolute.
    pub file: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it is started.
    pub directory: PathBuf,
    /// Its whole environment.
    pub environment: BTreeMap<OsString, OsString>,
}

/// What it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// It ended with status 0 in time.
    pub passed: bool,
    /// Its exit status, if it ended by itself in time.
    pub status: Option<i32>,
    /// How it ended, in words for people.
    pub words: String,
    /// The last lines of its output, made fit for a terminal.
    pub tail: Vec<String>,
}

/// Runs a program and waits for its end, at most for `limit`. Whoever does not wait for the answer
/// ends it.
pub async fn run(program: &Program, limit: Duration) -> Judged {
    run_into(program, limit, None).await
}

/// The same; all that it writes until it ends goes into `copy`, too.
pub async fn run_into(program: &Program, limit: Duration, copy: Option<File>) -> Judged {
    let begun = Instant::now();
    let named = program.file.display().to_string();
    let program = program.clone();
    let started = tokio::task::spawn_blocking(move || Running::start(&program));
    let started = started.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let (mut running, output) = match started {
        Ok(started) => started,
        Err(error) => {
            let words = format!("`{named}` could not be started: {error}");
            return Judged { passed: false, status: None, words, tail: Vec::new() };
        }
    };
    let mut tail = Tail { end: Vec::new(), copy };
    let left = limit.saturating_sub(begun.elapsed());
    let ended = timeout(left, running.ended(output, &mut tail)).await;
    let (status, how) = match ended {
        Ok(Ok(status)) => (status.code(), in_words(status)),
        Ok(Err(error)) => (None, format!("could not be waited for: {error}")),
        Err(_late) => {
            let words = format!("did not end within {} and was killed", span(limit));
            return Judged { passed: false, status: None, words, tail: tail.lines() };
        }
    };
    let words = format!("{how} in {}", span(begun.elapsed()));
    Judged { passed: status == Some(0), status, words, tail: tail.lines() }
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// A group of processes; it is killed on drop.
#[derive(Debug)]
struct Running {
    /// The leader; `None` when it was reaped.
    child: Option<Child>,
    group: Pid,
}

impl Running {
    fn start(program: &Program) -> io::Result<(Self, PipeReader)> {
        let (output, input) = io::pipe()?;
        let child = Command::new(&program.file)
            .args(&program.arguments)
            .current_dir(&program.directory)
            .env_clear()
            .envs(&program.environment)
            .stdin(Stdio::null())
            .stdout(input.try_clone()?)
            .stderr(input)
            .process_group(0)
            .spawn()?;
        Ok((Self { group: Pid::from_child(&child), child: Some(child) }, output))
    }

    /// Resolves when the leader has ended; keeps the end of what the group writes until then.
    async fn ended(&mut self, output: PipeReader, tail: &mut Tail) -> io::Result<ExitStatus> {
        let mut output = pipe::Receiver::from_owned_fd(OwnedFd::from(output))?;
        let leader = pidfd_open(self.group, PidfdFlags::NONBLOCK)?;
        tokio::select! {
            ended = exit::ended(leader) => ended?,
            never = tail.follow(&mut output) => match never {},
        }
        // Before the leader is reaped: until then the number of the group is its own.
        self.kill();
        tail.rest(&output);
        let Some(mut child) = self.child.take() else {
            return Err(io::Error::other("it was reaped before"));
        };
        child.wait()
    }

    fn kill(&self) {
        if self.child.is_some() {
            // That nobody is left is what is wanted.
            let _gone = kill_process_group(self.group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if let Some(mut child) = self.child.take()
            && !matches!(child.try_wait(), Ok(Some(_)))
        {
            // It ends at once, unless the kernel holds it; then somebody must wait, but not we.
            std::thread::spawn(move || child.wait());
        }
    }
}

/// The end of what a program writes, and a copy of all of it.
#[derive(Debug)]
struct Tail {
    end: Vec<u8>,
    copy: Option<File>,
}

impl Tail {
    fn keep(&mut self, bytes: &[u8]) {
        self.end.extend_from_slice(bytes);
        self.end.drain(..self.end.len().saturating_sub(KEPT));
        // A disk that is full is no reason to judge otherwise.
        self.copy.take_if(|copy| copy.write_all(bytes).is_err());
    }

    /// Reads for as long as somebody waits.
    async fn follow(&mut self, output: &mut pipe::Receiver) -> std::convert::Infallible {
        let mut bytes = [0; 1024];
        while let Ok(count @ 1..) = output.read(&mut bytes).await {
            self.keep(&bytes[..count]);
        }
        // Nothing more will come; whether it has ended is another question.
        std::future::pending().await
    }

    /// Reads what is there already.
    fn rest(&mut self, output: &pipe::Receiver) {
        let mut bytes = [0; 1024];
        for _ in 0..REST / bytes.len() {
            match output.try_read(&mut bytes) {
                Ok(count @ 1..) => self.keep(&bytes[..count]),
                _ => return,
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let lines = self.end.split(|byte| *byte == b'\n').map(|line| clean(line, LINE));
        let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(LINES)..].to_vec()
    }
}
