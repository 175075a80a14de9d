//! One request and its answer: pick an instance, claim, send, and if it fails ask the replay rule.
//!
//! The order of a request's life stands here; each step's details stand elsewhere.

use std::pin::pin;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::account::Due;
use crate::answer::{Answer, Ended, Progress, Telling};
use crate::asker::{After, Client, Connection};
use crate::call::{Asks, Call};
use crate::class::Class;
use crate::connection;
use crate::evidence::Before;
use crate::frames::{self, Frames, Taker};
use crate::framing::Refusal;
use crate::gate::{Entry, Gate};
use crate::gather::gather;
use crate::held::{self, Waited};
use crate::hold;
use crate::limits;
use crate::outlier;
use crate::overdue::overdue;
use crate::pick::{Tried, pick};
use crate::replay::{self, Facts, Failure, Verdict};
use crate::said::{self, Own, Stamp};
use crate::table::App;
use crate::thread::Worker;
use crate::tunnel::Tunnel;
use crate::upload::{Broke, Giver, upload};
use crate::visitors::Visit;
use crate::wire;

/// A try that failed before a final answer was passed on.
struct Failed {
    gate: Arc<Gate>,
    failure: Failure,
    facts: Facts,
}

/// Carries one request to an instance and its answer back, and writes down how it went.
pub(crate) async fn exchange(
    worker: &Worker,
    client: &mut Client<'_, '_>,
    call: &mut Call,
) -> After {
    if let Some(stub) = call.trail.stub {
        worker.receipts.begin(stub);
    }
    let mut due = Due::of(worker, call, matches!(client, Client::Frames(_)));
    let (call, app) = due.parts();
    let after = match (call.refused, app) {
        (Some(class), app) => turn_away(worker, client, call, (class, app.as_ref())).await,
        (None, None) => {
            call.trail.class = Some(Class::NoApp);
            let none = Refusal::with(404, "no app is routed here");
            let refusal = call.unrouted.unwrap_or(none);
            refuse(worker, client, call, (refusal, None), None).await
        }
        (None, Some(app)) => serve(worker, client, call, app).await,
    };
    // A tunnel is written down when it has ended, by who carries it.
    if after == After::Switched {
        due.later();
    } else {
        due.ended();
    }
    after
}

/// Answers a request that no instance is to be asked for.
async fn turn_away(
    worker: &Worker,
    client: &mut Client<'_, '_>,
    call: &mut Call,
    (class, app): (Class, Option<&Arc<App>>),
) -> After {
    call.trail.class = Some(class);
    call.asks.keep &= !matches!(class, Class::Full | Class::ClientConnections);
    let refusal = match class {
        Class::Full => Refusal::with(503, "too many connections"),
        Class::ClientConnections => Refusal::with(429, "too many connections from your address"),
        Class::ClientRequests => Refusal::with(429, "too many requests from your address are open"),
        Class::ClientRate => Refusal::with(429, "too many requests from your address"),
        Class::BodyTooLarge => Refusal::BODY_TOO_LARGE,
        _ => Refusal::with(503, "out of service for maintenance"),
    };
    refuse(worker, client, call, (refusal, None), app).await
}

/// Has a small body come before anybody is asked; `app` is as it was last when that ends.
async fn serve(
    worker: &Worker,
    client: &mut Client<'_, '_>,
    call: &mut Call,
    app: &mut Arc<App>,
) -> After {
    match gather(&worker.space, client.giver(), call).await {
        Ok(gathered) => {
            if gathered && let Some(newer) = worker.shared.table.load().named(&app.name) {
                *app = Arc::clone(newer);
            }
            carry(worker, client, call, app).await
        }
        Err(Broke::ClientGone) => {
            call.trail.class = Some(Class::ClientGone);
            After::Gone
        }
        Err(broke) => broken_off(worker, client, call, (broke, &Progress::default()), app).await,
    }
}

/// Carries a request of this app; `app` is as it was last when that ends.
async fn carry(
    worker: &Worker,
    client: &mut Client<'_, '_>,
    call: &mut Call,
    app: &mut Arc<App>,
) -> After {
    let mut tried = Tried::meant_for(call.meant, call.member.cohort);
    let mut failed: Option<Arc<Gate>> = None;
    let mut fresh = false;
    let mut patience = None;
    loop {
        if app.hold.is_some() {
            tried = Tried::meant_for(call.meant, call.member.cohort);
            match wait(worker, client, call, (app, &mut patience)).await {
                Waited::Released => {}
                Waited::ClientGone => {
                    call.trail.class = Some(Class::ClientGone);
                    return After::Gone;
                }
                Waited::Refused(why) => {
                    call.trail.class = Some(Class::Held);
                    let last = (Refusal::with(503, why), failed);
                    return refuse(worker, client, call, last, Some(app)).await;
                }
            }
        }
        let Some(visit) = enter(worker, call, app, &tried) else {
            if app.hold.is_some() {
                continue;
            }
            return nowhere(worker, client, call, failed, app).await;
        };
        if let Some(gate) = failed.take() {
            gate.counters.replayed.up();
            call.trail.replays += 1;
        }
        call.trail.sent_to(visit.gate());
        let Failed { gate, failure, facts } =
            match attempt(worker, client, call, Try { visit, app, fresh }).await {
                Ok(after) => {
                    call.trail.answered();
                    return after;
                }
                Err(failed) => failed,
            };
        call.trail.gate = None;
        call.trail.class = Some(failure.class());
        outlier::unanswered(&worker.shared, app, &gate, failure);
        if failure != Failure::Stale {
            tried.add(&gate);
        }
        let verdict = replay::verdict(facts, failure, tried.count());
        if verdict != Verdict::Fresh {
            call.trail.failed(failure);
        }
        match verdict {
            Verdict::Fresh => {
                fresh = true;
                call.trail.replays += 1;
            }
            Verdict::Elsewhere => failed = Some(gate),
            Verdict::GiveUp(status) => {
                let last = (Refusal::with(status, failure.words()), blamed(gate, failure));
                return refuse(worker, client, call, last, Some(app)).await;
            }
        }
        if let Some(newer) = worker.shared.table.load().named(&app.name) {
            *app = Arc::clone(newer);
        }
    }
}

/// The instance that failed a request for good, counted; without a socket nobody was asked.
fn blamed(gate: Arc<Gate>, failure: Failure) -> Option<Arc<Gate>> {
    if failure == Failure::NoSocket {
        return None;
    }
    gate.counters.failed.up();
    Some(gate)
}

/// Waits for as long as the app is held; however often it is, a request waits once.
async fn wait(
    worker: &Worker,
    client: &mut Client<'_, '_>,
    call: &Call,
    (app, patience): (&mut Arc<App>, &mut Option<tokio::time::Instant>),
) -> Waited {
    while let Some(hold) = app.hold.clone() {
        let until = *patience.get_or_insert_with(|| {
            let whole = tokio::time::Instant::now().checked_add(call.left());
            let bound = hold::deadline(&hold.bounds);
            whole.map_or(bound, |whole| whole.min(bound))
        });
        let waited = held::wait(client.giver(), call, (&hold, until)).await;
        if waited != Waited::Released {
            return waited;
        }
        let Some(newer) = worker.shared.table.load().named(&app.name).cloned() else {
            return Waited::Refused("this app is not carried any more");
        };
        *app = newer;
    }
    Waited::Released
}

/// Enters the gate of an instance. A closed gate means that the routes have changed.
fn enter(worker: &Worker, call: &Call, app: &mut Arc<App>, tried: &Tried) -> Option<Visit> {
    for _ in 0..limits::REPICKS {
        if let Some(entry) = pick(app, tried).and_then(Entry::enter) {
            return Some(worker.visitors.sign(entry, &call.head, call.trail.began));
        }
        let newer = worker.shared.table.load().named(&app.name).cloned()?;
        if Arc::ptr_eq(&newer, app) && pick(app, tried).is_none() {
            return None;
        }
        *app = newer;
    }
    None
}

/// No instance is left: an honest failure of the last one, or nobody was there at all.
async fn nowhere(
    worker: &Worker,
    client: &mut Client<'_, '_>,
    call: &mut Call,
    failed: Option<Arc<Gate>>,
    app: &Arc<App>,
) -> After {
    let refusal = match &failed {
        None => {
            call.trail.class = Some(Class::NoInstance);
            Refusal::with(503, "no instance serves this app now")
        }
        Some(gate) => {
            gate.counters.failed.up();
            Refusal::with(502, "no instance answered")
        }
    };
    refuse(worker, client, call, (refusal, failed), Some(app)).await
}

/// Answers in the proxy's own name, to a request of this app if it is of one.
async fn refuse(
    worker: &Worker,
    client: &mut Client<'_, '_>,
    call: &mut Call,
    (refusal, gate): (Refusal, Option<Arc<Gate>>),
    app: Option<&Arc<App>>,
) -> After {
    call.trail.begins(refusal.status);
    call.trail.own = true;
    let mut asks = call.asks;
    let readable = !asks.expects || call.rest.body.done();
    asks.keep &= readable && !worker.shared.ending() && !call.is_last();
    let answer = own_words(worker, call, refusal, (asks, gate.as_deref()), app);
    if gate.is_some() {
        call.trail.gate = gate;
    }
    let sent = match client {
        Client::Bytes(client) => {
            wire::send(&mut client.write, &[&answer], limits::WRITE_STALL).await
        }
        Client::Frames(client) => {
            frames::send_whole(&client.outgoing, &answer, &call.patience).await
        }
    };
    match sent {
        Ok(()) if asks.keep => After::Keep,
        Ok(()) => After::Close,
        Err(_) => After::Gone,
    }
}

/// An answer in the proxy's own name, or the page that was configured for it.
fn own_words(
    worker: &Worker,
    call: &Call,
    refusal: Refusal,
    (asks, gate): (Asks, Option<&Gate>),
    app: Option<&Arc<App>>,
) -> Vec<u8> {
    let settings = worker.shared.settings.load();
    let app = app.map(|app| &app.name);
    let closed = call.refused == Some(Class::Maintenance);
    let page =
        if closed { settings.pages.closed(app) } else { settings.pages.error(app, refusal.status) };
    let mut own = Own::new(refusal, page);
    if closed {
        own.retry_after = limits::MAINTENANCE_RETRY;
    }
    said::own(own, asks, gate, Some(call.id()))
}

/// One try.
struct Try<'a> {
    visit: Visit,
    app: &'a Arc<App>,
    fresh: bool,
}

/// Sends the request to the instance whose gate was entered.
async fn attempt(
    worker: &Worker,
    client: &mut Client<'_, '_>,
    call: &mut Call,
    this: Try<'_>,
) -> Result<After, Failed> {
    let gate = this.visit.gate();
    let whole = match client {
        Client::Bytes(client) => call.rest.lies_in(client.buffer.as_ref()),
        Client::Frames(_) => call.rest.body.done(),
    };
    let pool = (!this.fresh && whole).then_some(&worker.upstreams);
    let (mut stream, reused) = match connection::take((&worker.shared, pool), call, gate).await {
        Ok(connection) => connection,
        Err(failure) => return Err(fail(call, gate, failure, (&Progress::default(), false))),
    };
    let progress = Progress::default();
    let before = if call.asks.idempotent { None } else { Before::of(&stream) };
    let ended = relay(worker, client, call, &mut stream, (&this, &progress)).await;
    call.trail.class = None;
    match (&ended, progress.first.get()) {
        (Ok(Ended::Cut), _) => outlier::failed(&worker.shared, this.app, gate),
        (_, Some((status, ..))) => outlier::answered(&worker.shared, this.app, gate, status),
        (Ok(Ended::Switched(..)), _) => gate.ejection.passed(),
        _ => {}
    }
    match ended {
        Ok(Ended::Whole { keep, reusable }) => {
            if reusable && progress.whole.get() {
                worker.upstreams.keep(gate, stream);
            }
            drop(this.visit);
            Ok(if keep { After::Keep } else { After::Close })
        }
        Ok(Ended::Switched(head, rest)) => {
            this.visit.become_tunnel();
            gate.counters.answer(101);
            call.trail.begins(101);
            call.trail.tunnel = call.trail.first;
            let Client::Bytes(client) = client else { return Ok(After::Abort) };
            client.tunnel = Some(Box::new(Tunnel { head, rest, stream, visit: this.visit }));
            Ok(After::Switched)
        }
        Ok(Ended::Failed(Failure::Died)) if !progress.heard.get() => {
            let unread = match before.filter(|_| progress.whole.get() && progress.ended.get()) {
                Some(before) => before.was_unread(&stream).await,
                None => false,
            };
            let failure = if reused { Failure::Stale } else { Failure::Died };
            Err(fail(call, gate, failure, (&progress, unread)))
        }
        Ok(Ended::Failed(failure)) => Err(fail(call, gate, failure, (&progress, false))),
        Ok(ended @ (Ended::Cut | Ended::Overdue)) => {
            gate.counters.failed.up();
            let overdue = matches!(ended, Ended::Overdue);
            call.trail.class = Some(if overdue { Class::Overdue } else { Class::Cut });
            Ok(After::Abort)
        }
        Err(Broke::Deaf) => Err(fail(call, gate, Failure::Late, (&progress, false))),
        Ok(Ended::Injected) => {
            call.trail.class = Some(Class::Injected);
            Ok(After::Abort)
        }
        Ok(Ended::ClientGone) | Err(Broke::ClientGone) => {
            gate.counters.abandoned.up();
            call.trail.class = Some(Class::ClientGone);
            Ok(After::Gone)
        }
        Err(broke) => Ok(broken_off(worker, client, call, (broke, &progress), this.app).await),
    }
}

fn fail(
    call: &mut Call,
    gate: &Arc<Gate>,
    failure: Failure,
    (progress, unread): (&Progress, bool),
) -> Failed {
    call.trail.unread = call.trail.unread.saturating_add(unread.into());
    let facts = Facts {
        harmless: call.asks.idempotent || unread,
        body_taken: progress.body_taken.get() && call.rest.kept.is_empty(),
        answered: progress.informed.get() || progress.begun.get(),
    };
    Failed { gate: Arc::clone(gate), failure, facts }
}

/// Runs both directions until the answer has ended or the client has broken off.
async fn relay(
    worker: &Worker,
    client: &mut Client<'_, '_>,
    call: &mut Call,
    stream: &mut TcpStream,
    (this, progress): (&Try<'_>, &Progress),
) -> Result<Ended, Broke> {
    call.trail.sends = call.trail.sends.saturating_add(1);
    let (mut from, mut to) = stream.split();
    let (giver, taker) = match client {
        Client::Bytes(Connection { read, write, buffer, .. }) => {
            (Giver::Bytes(read, buffer), Taker::Bytes(write))
        }
        Client::Frames(Frames { incoming, outgoing }) => {
            (Giver::Frames(incoming, outgoing), Taker::Frames(outgoing))
        }
    };
    let (left, age) = (call.left(), call.trail.origin.age);
    let Call { head, id, member, rest, asks, patience, trail, .. } = call;
    let _told = Telling(progress, trail);
    let answer = Answer {
        from: &mut from,
        asks: *asks,
        patience: *patience,
        stamp: Stamp { gate: this.visit.gate(), id: &head[id.clone()], cohort: &member.line },
        claim: &this.visit,
        progress,
        truncate: &this.app.lasting.truncate,
        age,
        shared: &worker.shared,
    };
    let mut answer = pin!(answer.run(taker));
    let mut upload = pin!(upload(giver, (head, rest), (&mut to, progress), patience));
    tokio::select! {
        biased;
        broke = &mut upload => Err(broke),
        ended = &mut answer => Ok(ended),
        ended = overdue(left, progress) => ended,
    }
}

/// The client broke its own request off, or broke its framing.
async fn broken_off(
    worker: &Worker,
    client: &mut Client<'_, '_>,
    call: &mut Call,
    (broke, progress): (Broke, &Progress),
    app: &Arc<App>,
) -> After {
    call.asks.keep = false;
    let refusal = match broke {
        Broke::Malformed(refusal) => refusal,
        Broke::Stalled => Refusal::with(408, "the body did not arrive in time"),
        Broke::Drips => Refusal::with(408, "the body came too slowly"),
        Broke::ClientGone | Broke::Deaf => return After::Gone,
    };
    let drips = broke == Broke::Drips;
    call.trail.class =
        Some(if drips { Class::SlowBody } else { Class::of_refusal(refusal.status) });
    if progress.begun.get() {
        return After::Abort;
    }
    refuse(worker, client, call, (refusal, None), Some(app)).await
}
