//! The master of an nginx and its workers, as /proc shows them, and its reload.
//!
//! A pid file is believed only as far as the process is a master of nginx. Which configuration a worker
//! runs is not known here.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use model::{Fault, Kind};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

/// How the title of a master begins, and that of a worker.
const MASTER: &str = "nginx: master process";
const WORKER: &str = "nginx: worker process";
/// Longest that a reload of somebody else is waited for, and how often it is looked at.
const LIMIT: Duration = Duration::from_secs(10);
const PACE: Duration = Duration::from_millis(2);

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
    if text.is_empty() {
        return Err(away(format!(
            "nginx does not run yet: it has not written the pid file `{at}`"
        )));
    }
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
        // It writes its pid before it calls itself a master.
        Some(title) if is_nginx(&title) => {
            let what = format!("nginx, which `{at}` names by pid {pid}, is no master yet");
            Err(Fault::environment(what).help("wait for it; it needs `master_process on`"))
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

    /// Waits until it waits itself: no reload of it is under way or asked for, so whoever it starts from here
    /// on reads what is written now.
    pub(super) async fn at_rest(&self) -> Result<(), Fault> {
        let status = || fs::read_to_string(format!("/proc/{}/status", self.pid));
        let rests = async {
            while status().is_ok_and(|text| reloads(&text)) {
                tokio::time::sleep(PACE).await;
            }
        };
        timeout(LIMIT, rests).await.map_err(|_late| {
            let what = format!("nginx (pid {}) has been at a reload for 10 s", self.pid);
            Fault::environment(what)
                .help("does it wait for a name server or a disk? look at its log")
        })
    }

    /// Has it read its configuration again.
    pub(super) fn reload(&self) -> Result<(), Fault> {
        pidfd_send_signal(self.descriptor.as_fd(), Signal::HUP).map_err(|error| {
            Fault::environment(format!("nginx (pid {}) cannot be reloaded: {error}", self.pid))
                .help("run Cutover as the user whose nginx it is, or as root")
        })
    }
}

/// True of a master that works, by its `/proc/PID/status`: all its signals are blocked but while it waits for
/// one, and of those it has one is to come that tells it to reload.
pub(super) fn reloads(status: &str) -> bool {
    let masks = ["SigPnd:", "ShdPnd:", "SigBlk:"];
    let own = status.lines().filter_map(|line| line.split_once('\t'));
    let set = own.filter(|(name, _)| masks.contains(name));
    // SIGHUP is the first of all signals.
    let hup = |mask: &str| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1);
    set.fold(false, |reloads, (_, mask)| reloads | hup(mask))
}

/// Its command line as `ps` shows it; empty for one that has ended and was not waited for.
fn title(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_owned())
}

/// A command line that starts an nginx, rather than what one calls itself later.
fn is_nginx(title: &str) -> bool {
    let program = title.split(' ').next().unwrap_or_default();
    Path::new(program).file_name().is_some_and(|name| name == "nginx")
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
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use super::{find, parse_stat, reloads};
    use model::Kind;

    #[test]
    fn a_pid_file_that_lies_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        assert_eq!(find(&file).unwrap_err().kind, Kind::Environment);
        let own = std::process::id().to_string();
        for lie in [own.as_str(), "x", "0", "-1", "99999999999", "1 2"] {
            std::fs::write(&file, lie).unwrap();
            let fault = find(&file).unwrap_err();
            assert_eq!(fault.kind, Kind::Config, "{lie}: {fault:?}");
            assert!(fault.what.contains(file.to_str().unwrap()), "{fault:?}");
        }
        let mut gone = Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        std::fs::write(&file, format!("{}\n", gone.id())).unwrap();
        assert_eq!(find(&file).unwrap_err().kind, Kind::Environment);
    }

    #[test]
    fn one_that_is_starting_is_no_lie() {
        let folder = tempfile::tempdir().unwrap();
        let (file, program) = (folder.path().join("pid"), folder.path().join("nginx"));
        std::fs::write(&file, "").unwrap();
        let fault = find(&file).unwrap_err();
        assert!(fault.kind == Kind::Environment && fault.what.contains("not written"), "{fault:?}");

        let mut early = Command::new("sh");
        let mut early =
            early.arg0(&program).args(["-c", "read _"]).stdin(Stdio::piped()).spawn().unwrap();
        // The instant in which a process becomes another program, and has no command line, is over.
        while super::title(early.id()).is_some_and(|title| !title.contains("nginx")) {
            std::thread::yield_now();
        }
        std::fs::write(&file, format!("{}\n", early.id())).unwrap();
        let fault = find(&file).unwrap_err();
        early.kill().unwrap();
        early.wait().unwrap();
        assert!(fault.kind == Kind::Environment && fault.what.contains("yet"), "{fault:?}");
    }

    #[test]
    fn a_master_that_blocks_a_reload_or_has_one_to_come_is_at_one() {
        let of = |pending: &str, blocked: &str| {
            reloads(&format!(
                "Name:\tnginx\nSigPnd:\t0\nShdPnd:\t{pending}\nSigBlk:\t{blocked}\nSigIgn:\t1\n"
            ))
        };
        assert!(!of("0000000000000000", "0000000000000000"));
        assert!(of("0000000000000000", "0000000018016a07"), "it works");
        assert!(of("0000000000000001", "0000000000000000"), "it was told");
        assert!(!of("0000000000010000", "0000000000010000"), "another signal");
        assert!(!reloads("") && !reloads("SigBlk:\tx"));
    }

    #[test]
    fn parent_and_start_are_found_behind_any_name() {
        let text = "7 (a) b (c) S 3 7 7 0 -1 4 5 6 7 8 9 10 11 12 13 14 15 16 4242 99 1";
        assert_eq!(parse_stat(text), Some((3, 4242)));
        assert_eq!(parse_stat("7 (nginx) S 3"), None);
    }
}
