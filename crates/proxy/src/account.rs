//! What is written down when a request has ended: counters, and a line of the access log.
//!
//! The only place that does it. It decides nothing and waits for nothing.

use std::cell::Cell;
use std::sync::Arc;
use std::time::SystemTime;

use crate::call::Call;
use crate::class::Class;
use crate::counters::Counters;
use crate::forwarded::Origin;
use crate::framing::Refusal;
use crate::log::{Said, Words};
use crate::survey::Standing;
use crate::table::App;
use crate::thread::Worker;
use crate::trail::Trail;

/// A request that is to be written down, also where what carries it is dropped: its proxy's time was over, or
/// that of a client that was one too many.
pub(crate) struct Due<'a> {
    worker: &'a Worker,
    call: &'a mut Call,
    /// Its app, as it was last: lent to who carries it, and here where that is dropped.
    app: Option<Arc<App>>,
    framed: bool,
    /// What a tunnel has carried so far.
    tunnel: Option<&'a [Cell<u64>; 2]>,
    settled: bool,
}

impl<'a> Due<'a> {
    /// Of a request that was read.
    pub(crate) fn of(worker: &'a Worker, call: &'a mut Call, framed: bool) -> Self {
        let app = call.app.take();
        Self { worker, call, app, framed, tunnel: None, settled: false }
    }

    /// Of one that has become a tunnel.
    pub(crate) fn of_tunnel(
        worker: &'a Worker,
        call: &'a mut Call,
        carried: &'a [Cell<u64>; 2],
    ) -> Self {
        let mut due = Self::of(worker, call, false);
        due.tunnel = Some(carried);
        due
    }

    /// The request, and its app.
    pub(crate) fn parts(&mut self) -> (&mut Call, &mut Option<Arc<App>>) {
        (self.call, &mut self.app)
    }

    /// It has ended by itself.
    pub(crate) fn ended(mut self) {
        self.write();
    }

    /// Somebody else sees its end.
    pub(crate) fn later(mut self) {
        self.settled = true;
        self.call.app = self.app.take();
    }

    fn write(&mut self) {
        self.settled = true;
        if let Some(carried) = self.tunnel {
            [self.call.trail.received, self.call.trail.sent] = carried.each_ref().map(Cell::get);
        }
        ended(self.worker, self.call, (self.app.as_deref(), self.framed));
    }
}

impl Drop for Due<'_> {
    fn drop(&mut self) {
        if self.settled || std::thread::panicking() {
            return;
        }
        if self.worker.shared.ending() {
            self.call.trail.class = Some(Class::Stopped);
        }
        self.write();
    }
}

/// Writes down a request that was read.
fn ended(worker: &Worker, call: &Call, (app, framed): (Option<&App>, bool)) {
    let trail = &call.trail;
    let took = trail.began.elapsed();
    match (&trail.gate, app, trail.class) {
        (Some(gate), _, _) => {
            count(&gate.counters, trail);
            if trail.tunnel.is_none() && trail.first.is_some() {
                gate.counters.lasted.note(took);
                if !matches!(trail.unit, Standing::Probe) {
                    gate.counters.finely.note(took);
                }
            }
        }
        (None, Some(app), Some(class)) => app.lasting.refused.of(class).up(),
        (None, None, Some(class)) => worker.shared.totals.refused.of(class).up(),
        (None, _, None) => {}
    }
    if let Some(stub) = trail.stub {
        worker.receipts.end(stub, trail, took);
    }
    let Some(log) = &*worker.shared.log.load() else { return };
    let protocol = match (framed, call.asks.old_client) {
        (true, _) => "HTTP/2.0",
        (false, true) => "HTTP/1.0",
        (false, false) => "HTTP/1.1",
    };
    let said = Said {
        trail,
        words: Words::of(&call.head, log.told.query),
        protocol,
        app: app.map(|app| app.name.as_str()),
        id: call.id(),
        reason: "",
        took,
        now: SystemTime::now(),
    };
    worker.pen.borrow_mut().write(log, &said);
}

/// Writes down a request whose head was refused: what is known of it, and the version of its protocol.
pub(crate) fn unread(
    worker: &Worker,
    origin: Origin,
    refusal: Refusal,
    (words, protocol): (Words<'_>, &str),
) {
    let class = Class::of_refusal(refusal.status);
    worker.shared.totals.refused.of(class).up();
    let Some(log) = &*worker.shared.log.load() else { return };
    let mut trail = Trail::new(origin);
    (trail.status, trail.class) = (refusal.status, Some(class));
    let said = Said {
        words: if log.told.query { words } else { words.without_queries() },
        protocol,
        app: None,
        id: b"",
        reason: refusal.why,
        took: trail.began.elapsed(),
        now: SystemTime::now(),
        trail: &trail,
    };
    worker.pen.borrow_mut().write(log, &said);
}

fn count(counters: &Counters, trail: &Trail) {
    let digit = usize::from(trail.status / 100);
    if let Some(ended) = counters.ended.get(digit) {
        ended.up();
    }
    if let Some(class) = trail.class {
        counters.unwell.of(class).up();
    }
}
