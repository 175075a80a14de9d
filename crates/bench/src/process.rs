//! A proxy under measurement as the kernel accounts for it: its process and those it started.
//!
//! CPU time is that of `/proc/PID/task/*/schedstat` (nanoseconds, user and system); where the kernel does
//! not keep it, `/proc/PID/stat` (ticks). What that comes to per request or per connection is worked out in
//! `measure`.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

use crate::Outcome;
use crate::cores::{Cores, TICK};

/// How long one may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running proxy; ended when dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts it on its core, its output going to a file.
    pub(crate) fn start(command: &mut Command, cores: Cores, output: &Path) -> Outcome<Self> {
        let output = fs::File::create(output)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // Children inherit the core of the thread that starts them.
        Cores::go_to(cores.proxy)?;
        let started = command.spawn();
        Cores::go_to(cores.load)?;
        let program = command.get_program().display().to_string();
        Ok(Self(started.map_err(|error| format!("{program}: {error}"))?))
    }

    /// Starts it wherever there is room.
    pub(crate) fn unpinned(command: &mut Command, output: &Path) -> Outcome<Self> {
        let output = fs::File::create(output)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let program = command.get_program().display().to_string();
        Ok(Self(command.spawn().map_err(|error| format!("{program}: {error}"))?))
    }

    /// False once it has ended by itself.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Outcome<()> {
        let pid = pid(self.0.id()).ok_or("it has no number")?;
        Ok(kill_process(pid, signal)?)
    }

    /// CPU time so far, seconds.
    pub(crate) fn cpu(&self) -> f64 {
        family(self.0.id()).into_iter().map(cpu).sum()
    }

    /// How long its threads that run now have waited for their core while they had something to do, seconds; without
    /// those of its children.
    pub(crate) fn waited(&self) -> f64 {
        waited(self.0.id())
    }

    /// Resident memory without that of its children, bytes: nothing but one file is read for it.
    pub(crate) fn own_memory(&self) -> u64 {
        memory(self.0.id())
    }

    /// Resident memory, bytes.
    pub(crate) fn memory(&self) -> u64 {
        family(self.0.id()).into_iter().map(memory).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let family = family(self.0.id());
        if let Some(pid) = pid(self.0.id()) {
            // It may have ended already.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while self.runs() {
            if Instant::now() > deadline {
                for member in family.iter().filter_map(|member| pid(*member)) {
                    let _ = kill_process(member, Signal::KILL);
                }
                let _ = self.0.wait();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// CPU time of this process so far, seconds, with that of threads that have ended: each run has some of its own, and
/// what is missing here is taken for that of others on the machine.
pub(crate) fn own_cpu() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// CPU time of this process's children that have ended, seconds.
pub(crate) fn ended_cpu() -> f64 {
    let ticks = |place| field(std::process::id(), place).and_then(|ticks| ticks.parse().ok());
    (ticks(13).unwrap_or(0.0) + ticks(14).unwrap_or(0.0)) * TICK
}

/// A process and those it started, and so on.
fn family(first: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let number = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((number, field(number, 1)?.parse().ok()?))
        })
        .collect();
    let mut family = vec![first];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    family
}

/// A field of `/proc/PID/stat`, counted from 0 behind the name.
fn field(pid: u32, place: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(place).map(str::to_owned)
}

fn cpu(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let nanoseconds: Option<f64> = threads
        .map(|thread| {
            let schedstat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            schedstat.split_ascii_whitespace().next()?.parse::<f64>().ok()
        })
        .sum();
    let ticks = |place| field(pid, place).and_then(|ticks| ticks.parse::<f64>().ok());
    match nanoseconds {
        Some(nanoseconds) if nanoseconds > 0.0 => nanoseconds / 1e9,
        _ => (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) * TICK,
    }
}

/// The second figure of a thread's `schedstat`: time in which it could have run and did not, seconds.
pub(crate) fn waited(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let schedstat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        schedstat.split_ascii_whitespace().nth(1)?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::{ClockId, Process, clock_gettime, own_cpu};
    use crate::cores::Cores;

    fn thread_cpu() -> f64 {
        let used = clock_gettime(ClockId::ThreadCPUTime);
        used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
    }

    #[test]
    fn threads_that_have_ended_count() {
        let before = own_cpu();
        let burnt = std::thread::spawn(|| {
            let mut rounds = 0_u64;
            while thread_cpu() < 0.1 {
                rounds += 1;
            }
            rounds
        });
        assert!(burnt.join().unwrap() > 0);
        let used = own_cpu() - before;
        assert!(used >= 0.1, "{used} s");
    }

    /// Two that want the same core: each waits for the other.
    #[test]
    fn who_shares_a_core_waits_for_it() {
        let cores = Cores::choose().unwrap();
        let spinning = || {
            let file = tempfile::NamedTempFile::new().unwrap();
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]);
            Process::start(&mut command, cores, file.path()).unwrap()
        };
        let two = [spinning(), spinning()];
        let deadline = Instant::now() + Duration::from_secs(20);
        while two.iter().any(|process| process.waited() < 0.05) {
            assert!(Instant::now() < deadline, "{} s of waiting were seen", two[0].waited());
            std::thread::yield_now();
        }
    }

    /// A shell and its child: both count, and both are gone afterwards.
    #[test]
    fn what_a_process_and_its_children_use_is_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'while :; do :; done' & trap 'kill $!; exit' TERM; wait"]);
        let process = Process::start(&mut command, Cores::choose().unwrap(), file.path()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while process.cpu() < 0.1 {
            assert!(Instant::now() < deadline, "{} s of CPU were seen", process.cpu());
            std::thread::yield_now();
        }
        assert!(process.memory() > 100_000, "{} bytes", process.memory());
        assert_eq!(super::family(process.0.id()).len(), 2);
    }
}
