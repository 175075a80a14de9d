//! The gate of one instance: claim, then send.
//!
//! A request enters before its first byte is sent and leaves when the last byte of its answer is
//! out. Whether the gate is closed and how many are inside is one word, so nobody can enter after
//! the closing was seen. A gate does not know routes; who closes it, and when, is the ledger's
//! affair.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::admin::InstanceSeen;
use model::{Instance, InstanceId, ReleaseId, Version};

use crate::counters::Counters;
use crate::ejection::Ejection;
use crate::limits;

const CLOSED: u64 = 1 << 63;
const TUNNEL: u64 = 1 << 32;
const REQUESTS: u64 = TUNNEL - 1;
const TUNNELS: u64 = CLOSED - TUNNEL;

/// One instance as the data path knows it; shared by all generations of routes that name it.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Its id.
    pub(crate) id: InstanceId,
    /// Its release.
    pub(crate) release: ReleaseId,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Number that no other gate of this process has.
    pub(crate) serial: u64,
    /// Header lines that say who answered.
    pub(crate) stamp: Box<[u8]>,
    /// Counters of its release.
    pub(crate) counters: Arc<Counters>,
    /// Bit 63: closed; bits 32 to 62: tunnels; bits 0 to 31: requests.
    word: AtomicU64,
    /// Tunnels that are WebSockets whose frames are followed.
    sockets: AtomicU64,
    /// Whether it is left out because it fails.
    pub(crate) ejection: Ejection,
    /// Time of the last refused connection, ms since `born`, plus one; 0 for never.
    refused: AtomicU64,
    /// When it was first given a share since it last was closed, ms since `born`, plus one; 0 for never.
    shares: AtomicU64,
    born: Instant,
}

/// What is inside a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    /// Requests.
    pub(crate) requests: u64,
    /// Tunnels.
    pub(crate) tunnels: u64,
}

impl Gate {
    /// A gate, closed, with nothing inside.
    pub(crate) fn new(
        instance: &Instance,
        release: ReleaseId,
        version: &Version,
        counters: Arc<Counters>,
    ) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let stamp =
            format!("x-cutover-version: {version}\r\nx-cutover-instance: {}\r\n", instance.id);
        Self {
            id: instance.id.clone(),
            release,
            address: instance.address,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            stamp: stamp.into_bytes().into_boxed_slice(),
            counters,
            word: AtomicU64::new(CLOSED),
            sockets: AtomicU64::new(0),
            ejection: Ejection::default(),
            refused: AtomicU64::new(0),
            shares: AtomicU64::new(0),
            born: Instant::now(),
        }
    }

    /// Lets requests in.
    pub(crate) fn open(&self) {
        self.word.fetch_and(!CLOSED, Ordering::SeqCst);
    }

    /// Lets nobody in from now on; who is inside stays. True when it was open and somebody is.
    pub(crate) fn close(&self) -> bool {
        let before = self.word.fetch_or(CLOSED, Ordering::SeqCst);
        self.shares.store(0, Ordering::Relaxed);
        before & CLOSED == 0 && before != 0
    }

    /// True when nobody can enter.
    pub(crate) fn is_closed(&self) -> bool {
        self.word.load(Ordering::SeqCst) & CLOSED != 0
    }

    /// What is inside now.
    pub(crate) fn inside(&self) -> Open {
        let word = self.word.load(Ordering::SeqCst);
        Open { requests: word & REQUESTS, tunnels: (word & TUNNELS) / TUNNEL }
    }

    /// True when something is inside.
    pub(crate) fn is_used(&self) -> bool {
        self.word.load(Ordering::SeqCst) & !CLOSED != 0
    }

    /// What the admin socket says of it.
    pub(crate) fn seen(&self) -> InstanceSeen {
        let open = self.inside();
        InstanceSeen {
            id: self.id.clone(),
            release: self.release,
            requests: open.requests,
            tunnels: open.tunnels,
            sockets: self.sockets.load(Ordering::SeqCst).min(open.tunnels),
            ejected_ms: self.ejected_ms(),
            ejections: self.ejection.count(),
        }
    }

    /// Remembers that a connection was refused just now.
    pub(crate) fn note_refused(&self) {
        self.refused.store(self.age_ms().saturating_add(1), Ordering::Relaxed);
    }

    /// Since when it has had a share of the traffic: from now on, if it had none. For the admin thread
    /// alone.
    pub(crate) fn shares(&self) -> Instant {
        if self.shares.load(Ordering::Relaxed) == 0 {
            self.shares.store(self.age_ms().saturating_add(1), Ordering::Relaxed);
        }
        let since = self.shares.load(Ordering::Relaxed).saturating_sub(1);
        self.born.checked_add(Duration::from_millis(since)).unwrap_or(self.born)
    }

    /// For how long it is still left out because it failed, ms.
    pub(crate) fn ejected_ms(&self) -> u64 {
        if self.ejection.is_none() { 0 } else { self.ejection.left(self.age_ms()) }
    }

    /// How old it is, ms: the clock of its ejections.
    pub(crate) fn age_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// True when a connection was refused a moment ago.
    pub(crate) fn avoided(&self) -> bool {
        let at = self.refused.load(Ordering::Relaxed);
        at != 0 && self.born.elapsed() < Duration::from_millis(at) + limits::AVOID
    }
}

/// A WebSocket inside a gate that could be moved, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Movable(Arc<Gate>);

impl Movable {
    /// One more.
    pub(crate) fn of(gate: &Arc<Gate>) -> Self {
        gate.sockets.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(gate))
    }
}

impl Drop for Movable {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A request or tunnel inside a gate; dropping it leaves.
#[derive(Debug)]
pub(crate) struct Entry {
    gate: Arc<Gate>,
    /// What it counts for in the gate's word.
    unit: Cell<u64>,
}

impl Entry {
    /// Enters as a request, unless the gate is closed.
    pub(crate) fn enter(gate: &Arc<Gate>) -> Option<Self> {
        let step = |word: u64| (word & CLOSED == 0).then_some(word + 1);
        gate.word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).ok()?;
        gate.counters.requests.up();
        Some(Self { gate: Arc::clone(gate), unit: Cell::new(1) })
    }

    /// The gate it is inside of.
    pub(crate) const fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Becomes a tunnel for the rest of its life, in one step: at no instant is it counted as
    /// neither or as both.
    pub(crate) fn become_tunnel(&self) {
        let unit = self.unit.replace(TUNNEL);
        if unit != TUNNEL {
            self.gate.word.fetch_add(TUNNEL - unit, Ordering::SeqCst);
            self.gate.counters.tunnels.up();
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.gate.word.fetch_sub(self.unit.get(), Ordering::SeqCst);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use model::{Instance, InstanceId, ReleaseId, Version};

    use super::{Entry, Gate, Open};
    use crate::counters::Counters;

    /// A closed one.
    pub(crate) fn gate() -> Arc<Gate> {
        let instance =
            Instance { id: InstanceId("demo-1-1".into()), address: "127.0.0.1:1".parse().unwrap() };
        let version = Version::new("v1").unwrap();
        Arc::new(Gate::new(&instance, ReleaseId(1), &version, Arc::new(Counters::default())))
    }

    #[test]
    fn a_request_that_becomes_a_tunnel_is_counted_once() {
        let gate = gate();
        assert!(Entry::enter(&gate).is_none(), "a new gate is closed");
        gate.open();
        let first = Entry::enter(&gate).unwrap();
        let second = Entry::enter(&gate).unwrap();
        gate.close();
        assert!(Entry::enter(&gate).is_none());
        assert_eq!(gate.inside(), Open { requests: 2, tunnels: 0 });
        for _ in 0..2 {
            first.become_tunnel();
            assert_eq!(gate.inside(), Open { requests: 1, tunnels: 1 });
        }
        drop(second);
        assert_eq!(gate.inside(), Open { requests: 0, tunnels: 1 });
        drop(first);
        assert_eq!(gate.inside(), Open { requests: 0, tunnels: 0 });
    }

    /// R23: whoever closes a gate and sees it empty may stop the instance; nobody may be inside
    /// after that.
    #[test]
    fn nobody_is_inside_after_a_closed_gate_was_seen_empty() {
        let gate = gate();
        let (stopped, done) = (AtomicBool::new(false), AtomicBool::new(false));
        let (entered, caught) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        if let Some(entry) = Entry::enter(&gate) {
                            entered.fetch_add(1, Ordering::Relaxed);
                            if stopped.load(Ordering::SeqCst) {
                                caught.fetch_add(1, Ordering::Relaxed);
                            }
                            drop(entry);
                        }
                    }
                });
            }
            gate.open();
            while entered.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            for _ in 0..1_000 {
                gate.open();
                std::thread::yield_now();
                gate.close();
                while gate.inside().requests > 0 {
                    std::hint::spin_loop();
                }
                stopped.store(true, Ordering::SeqCst);
                std::hint::spin_loop();
                stopped.store(false, Ordering::SeqCst);
            }
            done.store(true, Ordering::SeqCst);
        });
        assert_eq!(caught.load(Ordering::Relaxed), 0);
    }
}
