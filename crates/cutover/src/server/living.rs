//! One very process, whoever started it: whether it lives, its end, and signals to it.
//!
//! It is held by a descriptor and not by its number, so what has the same number later is never
//! taken for it. It knows nothing of what the process does, but who serves a socket.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

/// A process that lived when it was found.
#[derive(Debug)]
pub(crate) struct Living {
    pid: u32,
    /// Readable once the process has ended, reaped or not.
    descriptor: AsyncFd<OwnedFd>,
}

/// Who serves a unix socket.
#[derive(Debug)]
pub(crate) enum Server {
    /// Nobody: there is no socket, or it was left by a process that has ended.
    Nobody,
    /// This process.
    Found(Living),
    /// Somebody whom the kernel does not name, because too many wait for him already.
    Unknown,
}

/// Forgets every child of ours that has ended. Whoever becomes this program leaves children behind, and
/// one of them may end in the moment in which nobody looks. Only for a program that has started nobody
/// yet and knows how its instances ended: that can be asked for once.
pub(super) fn bury() {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    while let Ok(Some(_)) = waitid(WaitId::All, options) {}
}

impl Living {
    /// The process of that number; `None` when there is none, or it has ended.
    pub(crate) fn find(pid: u32) -> io::Result<Option<Self>> {
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let descriptor = match pidfd_open(number, PidfdFlags::NONBLOCK) {
            Ok(descriptor) => descriptor,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let found = Self { pid, descriptor: watched(descriptor)? };
        Ok(found.lives().then_some(found))
    }

    /// Its number.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// True while it runs; one that has ended and was not reaped does not.
    pub(crate) fn lives(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut ended = [PollFd::new(self.descriptor.get_ref(), PollFlags::IN)];
        // It is a question to the kernel that waits for nothing; were it interrupted, nothing is known.
        !matches!(poll(&mut ended, Some(&at_once)), Ok(1..))
    }

    /// Resolves when it has ended.
    pub(crate) async fn ended(&self) {
        // An error means that the runtime is about to end.
        drop(self.descriptor.readable().await);
    }

    /// Forgets it as a child of ours, if it is one and has ended: whoever started it may have become
    /// this program meanwhile. Says how it ended.
    pub(crate) fn reap(&self) -> Option<String> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        // An error means that it is nobody's child here, or was reaped before.
        let status = waitid(WaitId::PidFd(self.descriptor.get_ref().as_fd()), options).ok()??;
        let code = status.exit_status().map(|code| format!("exit status: {code}"));
        code.or_else(|| status.terminating_signal().map(|number| format!("signal: {number}")))
    }

    /// Sends it a signal; nothing happens if it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(self.descriptor.get_ref(), signal)
            && error != Errno::SRCH
        {
            tracing::error!("pid {} cannot be signalled: {error}", self.pid);
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is an unsafe function, and unsafe code is forbidden here; what it asks \
              for, a descriptor that stays open and the same, an OwnedFd is"
)]
fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

/// Says who serves a socket, also when he does not answer.
///
/// # Errors
///
/// When that cannot be known.
pub(crate) async fn server(socket: &Path) -> io::Result<Server> {
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => Ok(Server::Nobody),
                ErrorKind::WouldBlock => Ok(Server::Unknown),
                _ => Err(error),
            };
        }
    };
    // A process that our pid namespace cannot see has number 0.
    let pid = stream.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok());
    let Some(pid) = pid.filter(|pid| *pid > 0) else { return Ok(Server::Unknown) };
    let Some(found) = Living::find(pid)? else { return Ok(Server::Nobody) };
    // The connection holds: whoever took it lived when his number was looked up, so it is he.
    let mut byte = [0; 1];
    match rustix::net::recv(stream.as_fd(), &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Err(Errno::WOULDBLOCK) => Ok(Server::Found(found)),
        _ => Ok(Server::Nobody),
    }
}
