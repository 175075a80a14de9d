//! What is written down when a request has ended: counters, and a line of the access log.
//!
//! The only place that does it. It decides nothing and waits for nothing.

use std::time::SystemTime;

use crate::call::Call;
use crate::class::Class;
use crate::counters::Counters;
use crate::forwarded::Origin;
use crate::framing::Refusal;
use crate::log::{Said, Words};
use crate::survey::Standing;
use crate::thread::Worker;
use crate::trail::Trail;

/// Writes down a request that was read.
pub(crate) fn ended(worker: &Worker, call: &Call, framed: bool) {
    let trail = &call.trail;
    let took = trail.began.elapsed();
    match (&trail.gate, &call.app, trail.class) {
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
        app: call.app.as_ref().map(|app| app.name.as_str()),
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
