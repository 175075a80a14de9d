//! One request and its answer: pick an instance, claim, send, and if it fails ask the replay rule.
//!
//! The order of a request's life stands here; each step's details stand elsewhere.

use std::pin::pin;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::answer::{Answer, Ended, Progress};
use crate::buffer::Buffer;
use crate::call::Call;
use crate::framing::Refusal;
use crate::gate::{Entry, Gate};
use crate::limits;
use crate::pick::{Tried, pick};
use crate::replay::{self, Facts, Failure, Verdict};
use crate::said;
use crate::table::App;
use crate::thread::Worker;
use crate::tunnel::{self, End};
use crate::upload::{Uploaded, upload};
use crate::upstream;
use crate::wire;

/// The client's side of an exchange.
pub(crate) struct Client<'io> {
    /// From the client.
    pub(crate) read: ReadHalf<'io>,
    /// To the client.
    pub(crate) write: WriteHalf<'io>,
    /// What was read from it and not yet used.
    pub(crate) buffer: Option<Buffer>,
}

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It takes the next request.
    Keep,
    /// It was told that it ends; unread data must not destroy the answer.
    Close,
    /// It ends now, and the client must not take what it has for whole.
    Abort,
}

/// A try that failed before a final answer was passed on.
struct Failed {
    failure: Failure,
    facts: Facts,
}

/// Carries one request to an instance and its answer back.
pub(crate) async fn exchange(worker: &Worker, client: &mut Client<'_>, call: &mut Call) -> After {
    let Some(mut app) = call.app.take() else {
        return refuse(worker, client, call, (Refusal::with(404, "no app is routed here"), None))
            .await;
    };
    let mut tried = Tried::meant_for(call.meant);
    let mut failed: Option<Arc<Gate>> = None;
    let mut fresh = false;
    loop {
        let Some(entry) = enter(worker, &mut app, &tried) else {
            return nowhere(worker, client, call, failed).await;
        };
        if let Some(gate) = failed.take() {
            gate.counters.replayed.up();
        }
        let gate = Arc::clone(entry.gate());
        let Failed { failure, facts } =
            match attempt(worker, client, call, Try { entry, app: &app, fresh }).await {
                Ok(after) => return after,
                Err(failed) => failed,
            };
        if failure != Failure::Stale {
            tried.add(&gate);
        }
        match replay::verdict(facts, failure, tried.count()) {
            Verdict::Fresh => fresh = true,
            Verdict::Elsewhere => failed = Some(gate),
            Verdict::GiveUp(status) => {
                gate.counters.failed.up();
                let refusal = Refusal::with(status, why(failure));
                return refuse(worker, client, call, (refusal, Some(gate))).await;
            }
        }
        if let Some(newer) = worker.shared.table.load().named(&app.name) {
            app = Arc::clone(newer);
        }
    }
}

const fn why(failure: Failure) -> &'static str {
    match failure {
        Failure::Connect => "no instance takes connections",
        Failure::Stale | Failure::Died => "the instance closed the connection without an answer",
        Failure::Late => "the instance did not answer in time",
        Failure::Malformed => "the instance's answer is malformed",
    }
}

/// Enters the gate of an instance. A closed gate means that the routes have changed.
fn enter(worker: &Worker, app: &mut Arc<App>, tried: &Tried) -> Option<Entry> {
    for _ in 0..limits::REPICKS {
        if let Some(entry) = pick(app, tried).and_then(Entry::enter) {
            return Some(entry);
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
    client: &mut Client<'_>,
    call: &mut Call,
    failed: Option<Arc<Gate>>,
) -> After {
    let refusal = match &failed {
        None => Refusal::with(503, "no instance serves this app now"),
        Some(gate) => {
            gate.counters.failed.up();
            Refusal::with(502, "no instance answered")
        }
    };
    refuse(worker, client, call, (refusal, failed)).await
}

/// Answers in the proxy's own name.
async fn refuse(
    worker: &Worker,
    client: &mut Client<'_>,
    call: &Call,
    (refusal, gate): (Refusal, Option<Arc<Gate>>),
) -> After {
    let mut asks = call.asks;
    let readable = !asks.expects || call.body.done();
    asks.keep &= readable && !worker.shared.ending();
    let answer = said::own(refusal, asks, gate.as_deref());
    match wire::send(&mut client.write, &[&answer], limits::WRITE_STALL).await {
        Ok(()) if asks.keep => After::Keep,
        Ok(()) => After::Close,
        Err(_) => After::Abort,
    }
}

/// One try.
struct Try<'a> {
    entry: Entry,
    app: &'a App,
    fresh: bool,
}

/// Sends the request to the instance whose gate was entered.
async fn attempt(
    worker: &Worker,
    client: &mut Client<'_>,
    call: &mut Call,
    this: Try<'_>,
) -> Result<After, Failed> {
    let gate = Arc::clone(this.entry.gate());
    // Only what may be sent twice takes the risk that a pooled connection is stale.
    let risk = !this.fresh && call.asks.idempotent && call.body.done() && !call.asks.upgrade;
    let pooled = if risk { worker.upstreams.take(&gate) } else { None };
    let reused = pooled.is_some();
    let connected = match pooled {
        Some(stream) => Ok(stream),
        None => upstream::connect(&gate).await,
    };
    let Ok(mut stream) = connected else {
        gate.note_refused();
        return Err(fail(call, Failure::Connect, &Progress::default()));
    };
    let progress = Progress::default();
    let (uploaded, ended) = relay(worker, client, call, &mut stream, (&this, &progress)).await;
    match ended {
        Some(Ended::Whole { keep, reusable }) => {
            if reusable && uploaded == Some(Uploaded::Whole) {
                worker.upstreams.keep(&gate, stream);
            }
            drop(this.entry);
            Ok(if keep { After::Keep } else { After::Close })
        }
        Some(Ended::Switched(head, rest)) => {
            let entry = this.entry.into_tunnel();
            gate.counters.answer(101);
            tunnel_through(client, head, rest, &mut stream).await;
            drop(entry);
            Ok(After::Abort)
        }
        Some(Ended::Failed(Failure::Died)) if reused && !progress.heard.get() => {
            Err(fail(call, Failure::Stale, &progress))
        }
        Some(Ended::Failed(failure)) => Err(fail(call, failure, &progress)),
        Some(Ended::Cut) => {
            gate.counters.failed.up();
            Ok(After::Abort)
        }
        Some(Ended::Injected | Ended::ClientGone) => Ok(After::Abort),
        None => Ok(broken_upload(worker, client, call, (uploaded, &progress)).await),
    }
}

fn fail(call: &Call, failure: Failure, progress: &Progress) -> Failed {
    let facts = Facts {
        idempotent: call.asks.idempotent,
        body_taken: progress.body_taken.get(),
        answered: progress.informed.get() || progress.begun.get(),
    };
    Failed { failure, facts }
}

/// Runs both directions. Without an end of the answer, the upload broke first on the client's side.
async fn relay(
    worker: &Worker,
    client: &mut Client<'_>,
    call: &mut Call,
    stream: &mut TcpStream,
    (this, progress): (&Try<'_>, &Progress),
) -> (Option<Uploaded>, Option<Ended>) {
    let (mut from, mut to) = stream.split();
    let Client { read, write, buffer } = client;
    let answer = Answer {
        from: &mut from,
        to: write,
        asks: call.asks,
        gate: this.entry.gate(),
        progress,
        truncate: &this.app.truncate,
        shared: &worker.shared,
    };
    let mut answer = pin!(answer.run());
    let mut upload = pin!(upload(read, buffer, call, &mut to, progress));
    let mut uploaded = None;
    loop {
        tokio::select! {
            biased;
            end = &mut upload, if uploaded.is_none() => {
                uploaded = Some(end);
                if !matches!(end, Uploaded::Whole | Uploaded::Refused) {
                    return (uploaded, None);
                }
            }
            end = &mut answer => return (uploaded, Some(end)),
        }
    }
}

/// The client broke its own request off, or broke its framing.
async fn broken_upload(
    worker: &Worker,
    client: &mut Client<'_>,
    call: &mut Call,
    (uploaded, progress): (Option<Uploaded>, &Progress),
) -> After {
    call.asks.keep = false;
    let refusal = match uploaded {
        Some(Uploaded::Malformed(refusal)) => refusal,
        Some(Uploaded::Stalled) => Refusal::with(408, "the body did not arrive in time"),
        _ => return After::Abort,
    };
    if progress.begun.get() {
        return After::Abort;
    }
    refuse(worker, client, call, (refusal, None)).await
}

async fn tunnel_through(
    client: &mut Client<'_>,
    head: Vec<u8>,
    rest: Option<Buffer>,
    stream: &mut TcpStream,
) {
    if wire::send(&mut client.write, &[&head], limits::WRITE_STALL).await.is_err() {
        return;
    }
    let (mut read, mut write) = stream.split();
    let user =
        End { read: &mut client.read, write: &mut client.write, buffer: client.buffer.take() };
    let app = End { read: &mut read, write: &mut write, buffer: rest };
    tunnel::carry(user, app).await;
}
