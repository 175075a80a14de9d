//! Connections to instances, pooled per thread.
//!
//! A pooled connection is only a guess that the instance still listens to it; who may take that
//! risk is decided by the caller. Nothing here knows HTTP.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::net::TcpStream;

use crate::gate::Gate;
use crate::life::{Reaching, Shared};
use crate::limits;
use crate::wire;

/// A connection to an instance, and its place among the open files.
#[derive(Debug)]
pub(crate) struct Upstream {
    // Closed before its place is free.
    stream: TcpStream,
    _place: Reaching,
}

impl Deref for Upstream {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl DerefMut for Upstream {
    fn deref_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

/// Why there is no fresh connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreached {
    /// The instance took none.
    Refused,
    /// This process or this machine had no socket left for it: no instance was asked.
    NoSocket,
}

/// A connection that carries nothing at the moment.
#[derive(Debug)]
struct Idle {
    stream: Upstream,
    since: Instant,
}

/// Idle connections of this thread, by instance.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    idle: RefCell<HashMap<u64, Kept>>,
}

#[derive(Debug)]
struct Kept {
    gate: Arc<Gate>,
    idle: Vec<Idle>,
}

impl Kept {
    /// Closes what is old, dead or belongs to an instance that gets no requests.
    fn sweep(&mut self) -> bool {
        if self.gate.is_closed() {
            return false;
        }
        self.idle
            .retain(|one| one.since.elapsed() < limits::POOL_IDLE && wire::silent(&one.stream));
        !self.idle.is_empty()
    }
}

impl Upstreams {
    /// The connection used last that still seems alive.
    pub(crate) fn take(&self, gate: &Gate) -> Option<Upstream> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&gate.serial)?;
        while let Some(one) = kept.idle.pop() {
            if one.since.elapsed() < limits::POOL_IDLE && wire::seems_silent(&one.stream) {
                return Some(one.stream);
            }
        }
        None
    }

    /// The same, for who cannot try again: the kernel is asked, too.
    pub(crate) fn take_sure(&self, gate: &Gate) -> Option<Upstream> {
        std::iter::from_fn(|| self.take(gate)).find(|one| wire::silent(one))
    }

    /// Keeps a connection on which an exchange ended cleanly.
    pub(crate) fn keep(&self, gate: &Arc<Gate>, stream: Upstream) {
        if gate.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let kept = idle
            .entry(gate.serial)
            .or_insert_with(|| Kept { gate: Arc::clone(gate), idle: Vec::new() });
        if kept.idle.len() < limits::POOL_PER_INSTANCE {
            kept.idle.push(Idle { stream, since: Instant::now() });
        }
    }

    /// Looks through all idle connections.
    pub(crate) fn sweep(&self) {
        self.idle.borrow_mut().retain(|_, kept| kept.sweep());
    }
}

/// A fresh connection, within `limit`.
pub(crate) async fn connect(
    shared: &Arc<Shared>,
    gate: &Gate,
    limit: Duration,
) -> Result<Upstream, Unreached> {
    let place = shared.reach().ok_or(Unreached::NoSocket)?;
    let mut why = Unreached::Refused;
    let connecting = async {
        TcpStream::connect(gate.address).await.inspect_err(|error| why = Unreached::of(error))
    };
    let connected = wire::within(limit, connecting).await;
    let Ok(stream) = connected else { return Err(why) };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    // What runs on this machine does not vanish without a word.
    if !gate.address.ip().is_loopback() {
        wire::keep_alive(&stream);
    }
    Ok(Upstream { stream, _place: place })
}

impl Unreached {
    /// What the kernel says before it sends anything is no word of the instance.
    fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(
                Errno::MFILE | Errno::NFILE | Errno::ADDRNOTAVAIL | Errno::NOBUFS | Errno::NOMEM,
            ) => Self::NoSocket,
            _ => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::io::Errno;

    use super::Unreached;

    #[test]
    fn only_what_an_instance_refused_is_its_refusal() {
        let of = |errno: Errno| Unreached::of(&io::Error::from(errno));
        for ours in [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(of(ours), Unreached::NoSocket, "{ours}");
        }
        for theirs in [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::NETUNREACH, Errno::TIMEDOUT] {
            assert_eq!(of(theirs), Unreached::Refused, "{theirs}");
        }
    }
}
