//! The master of an nginx and its workers, as /proc shows them, and its reload.
//!
//! A pid file is believed only as far as the process is a master of nginx. Which configuration a worker
//! runs is not known here.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use model::{Fault, Kind};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// How the title of a master begins, and that of a worker.
const MASTER: &str = "nginx: master process";
const WORKER: &str = "nginx: worker process";
/// How that of a worker goes on which takes no new connections.
const ENDING: &str = "is shutting down";

/// A process, also when its pid has been given to another one since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Clock ticks since boot.
    pub(super) started: u64,
}

/// A worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worker {
    pub(super) process: Process,
    /// It takes no new connections.
    pub(super) ending: bool,
}

/// A master that lives.
#[derive(Debug)]
pub(super) struct Master {
    pub(super) pid: u32,
    descriptor: OwnedFd,
}

/// The master that a pid file names. Of kind `Environment` when nginx is away and may come.
pub(super) fn find(file: &Path) -> Result<Master, Fault> {
    let at = file.display();
    let away = |what: String| Fault::environment(what).help("start nginx");
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(away(format!("nginx does not run: there is no pid file `{at}`")));
        }
        Err(error) => {
            let what = format!("cannot read the pid file `{at}`: {error}");
            return Err(Fault::new(Kind::Config, what).help("let Cutover read it"));
        }
    };
    let number = text.trim_end().parse::<i32>().ok().filter(|pid| *pid > 0);
    let Some(pid) = number.and_then(Pid::from_raw) else {
        return Err(lies(file, "holds no pid"));
    };
    let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Err(away(format!("nginx does not run: `{at}` names pid {pid}, which is gone")));
    };
    // Looked at after it is held: it cannot become another one in between.
    let number = pid.as_raw_nonzero().get().unsigned_abs();
    match title(number) {
        Some(title) if title.starts_with(MASTER) => Ok(Master { pid: number, descriptor }),
        Some(title) if title.is_empty() => {
            Err(away(format!("nginx does not run: `{at}` names pid {pid}, which has ended")))
        }
        Some(_) => Err(lies(file, &format!("names pid {pid}, which is no master of nginx"))),
        None => Err(away(format!("nginx does not run: `{at}` names pid {pid}, which is gone"))),
    }
}

fn lies(file: &Path, how: &str) -> Fault {
    let what = format!("the pid file `{}` {how}", file.display());
    Fault::new(Kind::Config, what)
        .note("nothing was touched")
        .help("write under [router] as `pid` what nginx has as `pid`, with `master_process on`")
}

impl Master {
    /// Its workers, those that end too.
    pub(super) fn workers(&self) -> Vec<Worker> {
        let worker = |pid: u32| {
            let title = title(pid).filter(|title| title.starts_with(WORKER))?;
            let (_, started) = stat(pid)?;
            let process = Process { pid, started };
            Some(Worker { process, ending: title.contains(ENDING) })
        };
        self.children().into_iter().filter_map(worker).collect()
    }

    fn children(&self) -> Vec<u32> {
        let own = format!("/proc/{0}/task/{0}/children", self.pid);
        if let Ok(text) = fs::read_to_string(own) {
            return text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        }
        // Not every kernel has that file.
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| stat(*pid).is_some_and(|(parent, _)| parent == self.pid)).collect()
    }

    /// Has it read its configuration again.
    pub(super) fn reload(&self) -> Result<(), Fault> {
        pidfd_send_signal(self.descriptor.as_fd(), Signal::HUP).map_err(|error| {
            Fault::environment(format!("nginx (pid {}) cannot be reloaded: {error}", self.pid))
                .help("run Cutover as the user whose nginx it is, or as root")
        })
    }
}

/// Its command line as `ps` shows it; empty for one that has ended and was not waited for.
fn title(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_owned())
}

/// Parent and start of a process.
fn stat(pid: u32) -> Option<(u32, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields are counted after the last `)`: the name of a program may hold anything.
pub(super) fn parse_stat(text: &str) -> Option<(u32, u64)> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    Some((parent, fields.nth(17)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{find, parse_stat};
    use model::Kind;

    #[test]
    fn a_pid_file_that_lies_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        assert_eq!(find(&file).unwrap_err().kind, Kind::Environment);
        let own = std::process::id().to_string();
        for lie in [own.as_str(), "", "x", "0", "-1", "99999999999", "1 2"] {
            std::fs::write(&file, lie).unwrap();
            let fault = find(&file).unwrap_err();
            assert_eq!(fault.kind, Kind::Config, "{lie}: {fault:?}");
            assert!(fault.what.contains(file.to_str().unwrap()), "{fault:?}");
        }
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        std::fs::write(&file, format!("{}\n", gone.id())).unwrap();
        assert_eq!(find(&file).unwrap_err().kind, Kind::Environment);
    }

    #[test]
    fn parent_and_start_are_found_behind_any_name() {
        let text = "7 (a) b (c) S 3 7 7 0 -1 4 5 6 7 8 9 10 11 12 13 14 15 16 4242 99 1";
        assert_eq!(parse_stat(text), Some((3, 4242)));
        assert_eq!(parse_stat("7 (nginx) S 3"), None);
    }
}
