//! Signals to instances, and the status of those that ended.
//!
//! Nothing is signalled that was not recognised just before. A leader and what it started get a
//! signal once, through their group; a second SIGTERM would tell many servers to give up at once.

use std::os::fd::AsFd;

use model::Fault;
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, pidfd_open,
    pidfd_send_signal, waitid,
};

use super::procfs::{Identity, Mark, marked_in_group};

/// Sends a signal to an instance's group. That nobody is there any more is no fault.
pub(super) fn to_group(identity: &Identity, mark: &Mark, signal: Signal) -> Result<(), Fault> {
    let Some(pid) = pid(identity.pid) else {
        return Ok(());
    };
    // Held while the process is recognised: what the descriptor speaks of cannot change.
    let leader = pidfd_open(pid, PidfdFlags::empty());
    let sent = match (leader, identity.stat()) {
        (Ok(leader), Some(stat)) if identity.alive() && stat.group != identity.pid => {
            pidfd_send_signal(leader.as_fd(), signal)
        }
        (Ok(_leader), Some(_)) if identity.alive() => kill_process_group(pid, signal),
        _ if !marked_in_group(identity.pid, mark).is_empty() => kill_process_group(pid, signal),
        _ => Ok(()),
    };
    match sent {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => {
            Err(Fault::environment(format!("pid {} cannot be signalled: {error}", identity.pid))
                .help("does it run as another user?"))
        }
    }
}

/// Reaps a child of ours that ended; says how, in words. `None` when it is not our child, has not
/// ended, or was reaped before.
pub(super) fn reap(identity: &Identity) -> Option<String> {
    let pid = pid(identity.pid)?;
    identity.stat()?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = waitid(WaitId::Pid(pid), options).ok().flatten()?;
    Some(in_words(&status))
}

/// How a process ended that says itself that all went well.
pub(super) const DONE: &str = "exited with status 0";

/// Signals that end a process, as people know them.
const NAMES: [(Signal, &str); 16] = [
    (Signal::HUP, "SIGHUP"),
    (Signal::INT, "SIGINT"),
    (Signal::QUIT, "SIGQUIT"),
    (Signal::ILL, "SIGILL (not made for this processor?)"),
    (Signal::TRAP, "SIGTRAP"),
    (Signal::ABORT, "SIGABRT"),
    (Signal::BUS, "SIGBUS"),
    (Signal::FPE, "SIGFPE"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::USR1, "SIGUSR1"),
    (Signal::USR2, "SIGUSR2"),
    (Signal::PIPE, "SIGPIPE"),
    (Signal::ALARM, "SIGALRM"),
    (Signal::TERM, "SIGTERM"),
    (Signal::XCPU, "SIGXCPU"),
    (Signal::SYS, "SIGSYS"),
];

fn in_words(status: &WaitIdStatus) -> String {
    if let Some(code) = status.exit_status() {
        return format!("exited with status {code}");
    }
    match status.terminating_signal() {
        Some(9) => "was killed (SIGKILL; out of memory?)".to_owned(),
        Some(number) => match NAMES.iter().find(|(signal, _)| signal.as_raw() == number) {
            Some((_, name)) => format!("was ended by {name}"),
            None => format!("was ended by signal {number}"),
        },
        None => "ended".to_owned(),
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// A descriptor that becomes readable when this very process ends; `None` when it has.
pub(super) fn exit_descriptor(identity: &Identity) -> Option<std::os::fd::OwnedFd> {
    let descriptor = pidfd_open(pid(identity.pid)?, PidfdFlags::NONBLOCK).ok()?;
    identity.alive().then_some(descriptor)
}

#[cfg(test)]
mod tests {
    use super::to_group;
    use crate::platform::process::procfs::{Identity, Mark};
    use rustix::process::Signal;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    /// A child that waits for its input, as the leader of its own group.
    fn child() -> std::process::Child {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).process_group(0).spawn().unwrap()
    }

    #[test]
    fn only_the_very_process_is_signalled() {
        let mark = Mark::new("demo-1-1", std::path::Path::new("/nowhere"));
        let mut child = child();
        let real = Identity::of(child.id()).unwrap();
        let other_start = Identity { started: real.started + 1, ..real.clone() };
        let other_boot = Identity { boot: "before".into(), ..real.clone() };
        for stranger in [other_start, other_boot] {
            to_group(&stranger, &mark, Signal::KILL).unwrap();
        }
        assert!(real.alive(), "a stranger was killed");
        to_group(&real, &mark, Signal::KILL).unwrap();
        assert!(!child.wait().unwrap().success());
        to_group(&real, &mark, Signal::KILL).unwrap();
    }
}
