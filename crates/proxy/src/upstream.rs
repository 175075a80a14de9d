//! Connections to instances, pooled per thread.
//!
//! A pooled connection is only a guess that the instance still listens to it; who may take that
//! risk is decided by the caller. Nothing here knows HTTP.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::gate::Gate;
use crate::limits;
use crate::wire::{self, Stuck};

/// A connection that carries nothing at the moment.
#[derive(Debug)]
struct Idle {
    stream: TcpStream,
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
    pub(crate) fn take(&self, gate: &Gate) -> Option<TcpStream> {
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
    pub(crate) fn take_sure(&self, gate: &Gate) -> Option<TcpStream> {
        std::iter::from_fn(|| self.take(gate)).find(wire::silent)
    }

    /// Keeps a connection on which an exchange ended cleanly.
    pub(crate) fn keep(&self, gate: &Arc<Gate>, stream: TcpStream) {
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
pub(crate) async fn connect(gate: &Gate, limit: Duration) -> Result<TcpStream, Stuck> {
    let stream = wire::within(limit, TcpStream::connect(gate.address)).await?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    // What runs on this machine does not vanish without a word.
    if !gate.address.ip().is_loopback() {
        wire::keep_alive(&stream);
    }
    Ok(stream)
}
