//! What is remembered of a request until it has ended, for the metrics and the access log.
//!
//! Facts alone: who writes them down, and how, stands in `account`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::class::Class;
use crate::forwarded::Origin;
use crate::gate::Gate;
use crate::prober::Stub;
use crate::replay::Failure;
use crate::survey::Standing;

/// One request's.
#[derive(Debug)]
pub(crate) struct Trail {
    /// Where it came from.
    pub(crate) origin: Origin,
    /// Who asked in the end: whom a trusted sender names, else the sender.
    pub(crate) client: IpAddr,
    /// When its head was whole.
    pub(crate) began: Instant,
    /// The instance that was asked last.
    pub(crate) gate: Option<Arc<Gate>>,
    /// How often it was sent again.
    pub(crate) replays: u32,
    /// What its client was told; 0 for nothing.
    pub(crate) status: u16,
    /// When the answer's head was passed on.
    pub(crate) first: Option<Instant>,
    /// It is an answer of the proxy itself.
    pub(crate) own: bool,
    /// Bytes of its body that were taken from the client; of a tunnel all.
    pub(crate) received: u64,
    /// Bytes of the answer's body that were passed on; of a tunnel all.
    pub(crate) sent: u64,
    /// Since when it has been a tunnel.
    pub(crate) tunnel: Option<Instant>,
    /// Why it ended other than well.
    pub(crate) class: Option<Class>,
    /// How it is counted to compare releases.
    pub(crate) unit: Standing,
    /// Where a receipt of it is to go, if it is a prober's.
    pub(crate) stub: Option<Stub>,
    /// How often it was put on a connection to an instance.
    pub(crate) sends: u8,
    /// How often of these the instance is known not to have read it.
    pub(crate) unread: u8,
}

impl Trail {
    /// A request whose head has just come.
    pub(crate) fn new(origin: Origin) -> Self {
        Self {
            origin,
            client: origin.peer.to_canonical(),
            began: Instant::now(),
            gate: None,
            replays: 0,
            status: 0,
            first: None,
            own: false,
            received: 0,
            sent: 0,
            tunnel: None,
            class: None,
            unit: Standing::None,
            stub: None,
            sends: 0,
            unread: 0,
        }
    }

    /// The answer begins now.
    pub(crate) fn begins(&mut self, status: u16) {
        self.status = status;
        self.first = Some(Instant::now());
    }

    /// This instance is asked now.
    pub(crate) fn sent_to(&mut self, gate: &Arc<Gate>) {
        self.unit.sent(gate.release, self.began.elapsed());
        self.gate = Some(Arc::clone(gate));
    }

    /// It failed before anything was passed on: an instance's fault, if one was asked.
    pub(crate) fn failed(&mut self, failure: Failure) {
        self.unit.ended(failure != Failure::NoSocket, self.began.elapsed());
    }

    /// An instance was asked, and that is over.
    pub(crate) fn answered(&mut self) {
        let broken_off = matches!(self.class, Some(Class::Cut | Class::Overdue));
        let failed = broken_off || (self.class.is_none() && self.status >= 500);
        self.unit.ended(failed, self.began.elapsed());
    }

    /// From the head to the first byte of the answer.
    pub(crate) fn to_first_byte(&self) -> Option<Duration> {
        self.first.map(|first| first.saturating_duration_since(self.began))
    }
}
