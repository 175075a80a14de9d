//! One client connection, from its first byte to its end.
//!
//! It waits without a buffer, reads heads, has each request carried and closes so that nothing said
//! is lost. It does not know where requests go.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::account::{self, Due};
use crate::asker::{After, Client, Connection};
use crate::buffer::Buffer;
use crate::call::{Asks, Call, prepare};
use crate::exchange::exchange;
use crate::forwarded::Origin;
use crate::framing::{HeadScan, Refusal};
use crate::http2;
use crate::life::Life;
use crate::limits;
use crate::log::Words;
use crate::said::{self, Own};
use crate::stream::{Reading, Writing};
use crate::thread::Worker;
use crate::tls;
use crate::wire::{self, Stuck};

/// What a client says first that knows without asking that we speak HTTP/2 (RFC 9113 section 3.3);
/// it looks like a head, and six more bytes follow.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Serves a connection until it ends.
pub(crate) async fn plain(worker: &Rc<Worker>, mut stream: TcpStream, origin: Origin) {
    let (read, write) = stream.split();
    let (read, write) = (Reading::Plain(read), Writing::Plain(write));
    let client = Connection { read, write, buffer: None, tunnel: None };
    if let Some(ahead) = converse(worker, client, origin).await {
        // Boxed, as below.
        Box::pin(http2::serve(worker, stream, Some(ahead), origin)).await;
    }
}

/// The same for a connection that begins with a TLS handshake.
pub(crate) async fn secure(worker: &Rc<Worker>, stream: TcpStream, origin: Origin) {
    let acceptor = TlsAcceptor::from(Arc::clone(&worker.shared.tls.config));
    // The client was told why by an alert.
    let Ok(stream) = wire::within(limits::HANDSHAKE, Box::pin(acceptor.accept(stream))).await
    else {
        worker.shared.totals.handshakes_failed.up();
        return;
    };
    if stream.get_ref().1.alpn_protocol() == Some(tls::H2) {
        return http2::serve(worker, stream, None, origin).await;
    }
    let stream = RefCell::new(stream);
    let (read, write) = (Reading::Secure(&stream), Writing::Secure(&stream));
    converse(worker, Connection { read, write, buffer: None, tunnel: None }, origin).await;
}

/// Carries requests until the connection ends. A connection that turns out to speak HTTP/2 is given
/// back, with what was read from it.
async fn converse(worker: &Worker, mut client: Connection<'_>, origin: Origin) -> Option<Buffer> {
    let mut life = worker.life.subscribe();
    // Over TLS the protocol was agreed on before.
    let mut may_change = !origin.secure;
    while client.buffer.is_some() || request_comes(worker, &mut client, (&mut life, origin)).await {
        // Boxed, so that an idle connection does not hold the room that a request needs.
        match Box::pin(turn(worker, &mut client, (origin, may_change))).await {
            Turn::Next => may_change = false,
            Turn::Over => return None,
            Turn::Http2 => return client.buffer,
            Turn::Switched(mut call) => {
                let Connection { read, write, buffer, tunnel } = client;
                let tunnel = tunnel?;
                let _alone = worker.shared.tunnels();
                let carried = <[Cell<u64>; 2]>::default();
                let due = Due::of_tunnel(worker, &mut call, &carried);
                // Boxed by itself, so that a tunnel does not hold the room of a request.
                let counted = (&worker.roster, &carried);
                Box::pin(tunnel.carry((read, write), buffer, counted)).await;
                due.ended();
                return None;
            }
        }
    }
    // Between requests nothing is cut: over TLS the end is said (RFC 9112 section 9.8), or it would look like an attack.
    if origin.secure {
        Box::pin(wire::finish(&mut client.write)).await;
    }
    None
}

/// What follows a request.
enum Turn {
    /// Another one.
    Next,
    /// Nothing.
    Over,
    /// It was the beginning of HTTP/2, and lies in the buffer.
    Http2,
    /// A tunnel, for this request.
    Switched(Box<Call>),
}

/// Why there is no request.
enum Unread {
    Gone,
    Refused(Refusal),
    Http2,
}

/// Reads the first bytes of a request (or the end of the connection). When the process ends, or the
/// connection is old enough, an idle one stays for a moment, so that a request which crosses our close
/// is answered.
async fn request_comes(
    worker: &Worker,
    client: &mut Connection<'_>,
    (life, origin): (&mut watch::Receiver<Life>, Origin),
) -> bool {
    let (idle, left) = {
        let settings = worker.shared.settings.load();
        let patience = settings.patience();
        let idle = origin.over.map_or(patience.idle, |_| limits::OVERFLOW_IDLE);
        (idle, origin.age.left(patience.age))
    };
    let Connection { read, buffer, .. } = client;
    let came = |bytes: std::io::Result<usize>| bytes.is_ok_and(|bytes| bytes > 0);
    if !worker.shared.ending() && !left.is_zero() {
        tokio::select! {
            biased;
            bytes = wire::first(read, buffer) => return came(bytes),
            _ = life.changed() => {}
            () = sleep(idle.min(left)) => if idle < left {
                return false;
            },
        }
    }
    tokio::select! {
        biased;
        bytes = wire::first(read, buffer) => came(bytes),
        () = sleep(worker.shared.lingering()) => false,
    }
}

/// One request.
async fn turn(
    worker: &Worker,
    client: &mut Connection<'_>,
    (origin, may_change): (Origin, bool),
) -> Turn {
    let mut call = match read_head(worker, client, (origin, may_change)).await {
        Ok(call) => call,
        Err(Unread::Gone) => return Turn::Over,
        Err(Unread::Http2) => return Turn::Http2,
        Err(Unread::Refused(refusal)) => {
            let status = refusal.status;
            let settings = worker.shared.settings.load();
            let own = Own::new(refusal, settings.pages.error(None, status));
            let answer = said::own(own, Asks::default(), None, None);
            if wire::send(&mut client.write, &[&answer], limits::WRITE_STALL).await.is_ok() {
                close(client, origin).await;
            }
            return Turn::Over;
        }
    };
    let keeps = match exchange(worker, &mut Client::Bytes(client), &mut call).await {
        After::Abort | After::Gone => return Turn::Over,
        After::Switched => return Turn::Switched(Box::new(call)),
        After::Close => false,
        After::Keep => rest_is_gone(client, &mut call).await,
    };
    if !keeps {
        close(client, origin).await;
    } else if client.buffer.as_ref().is_some_and(Buffer::is_empty) {
        client.buffer = None;
    }
    if keeps { Turn::Next } else { Turn::Over }
}

/// Reads a whole head.
async fn read_head(
    worker: &Worker,
    client: &mut Connection<'_>,
    (origin, may_change): (Origin, bool),
) -> Result<Call, Unread> {
    let (limit, most) = {
        let settings = worker.shared.settings.load();
        let limit = settings.patience().head;
        (limit.min(origin.over.map_or(limit, |_| limits::OVERFLOW_IDLE)), settings.head)
    };
    let Connection { read, buffer, .. } = client;
    let buffer = buffer.get_or_insert_with(Buffer::lend);
    let head = async {
        let mut scan = HeadScan::of_at_most(most);
        loop {
            match scan.advance(buffer.data()) {
                Ok(None) => {}
                found => return Ok(found),
            }
            if wire::fill(read, buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    let refused = |refusal: Refusal, head: &[u8]| {
        account::unread(worker, origin, refusal, Words::of_refused(head));
        Unread::Refused(refusal)
    };
    let length = match wire::within(limit, head).await {
        Ok(Ok(length)) => length.unwrap_or_default(),
        Ok(Err(refusal)) => return Err(refused(refusal, buffer.data())),
        Err(Stuck::Gone) => return Err(Unread::Gone),
        Err(Stuck::Late) => {
            let late = Refusal::with(408, "the head did not arrive in time");
            return Err(refused(late, buffer.data()));
        }
    };
    if may_change && &buffer.data()[..length] == PREFACE {
        return Err(Unread::Http2);
    }
    let (table, settings) = (worker.shared.table.load(), worker.shared.settings.load());
    let head = &buffer.data()[..length];
    let call = prepare(head, origin, (&table, &settings)).map_err(|no| refused(no, head));
    buffer.consume(length);
    call
}

/// After an early answer: discards the rest of the request's body if it is short and comes soon.
/// True when the connection stands before the next request.
async fn rest_is_gone(client: &mut Connection<'_>, call: &mut Call) -> bool {
    if let Some(buffer) = &mut client.buffer {
        buffer.consume(std::mem::take(&mut call.rest.claimed));
    }
    let mut budget = limits::DISCARD;
    let discard = async {
        while !call.rest.body.done() {
            if let Some(buffer) = &mut client.buffer {
                let Ok(passed) = call.rest.body.pass(buffer.data()) else { return false };
                buffer.consume(passed.bytes);
                budget = budget.saturating_sub(passed.bytes as u64);
                if passed.done {
                    return true;
                }
            }
            let more = wire::more(&mut client.read, &mut client.buffer, Duration::MAX).await;
            if budget == 0 || !more.is_ok_and(|bytes| bytes > 0) {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(limits::DISCARD_TIME, discard).await.unwrap_or(false)
}

/// Ends a connection so that what was said arrives: our end first, then whatever the client still
/// sends is read and thrown away, since closing over unread data would reset the connection.
async fn close(client: &mut Connection<'_>, origin: Origin) {
    wire::finish(&mut client.write).await;
    let drain = async {
        let mut unread = client.buffer.take();
        loop {
            if let Some(buffer) = &mut unread {
                buffer.consume(buffer.data().len());
            }
            if !wire::more(&mut client.read, &mut unread, limits::CLOSE_QUIET)
                .await
                .is_ok_and(|bytes| bytes > 0)
            {
                return;
            }
        }
    };
    let most = origin.over.map_or(limits::CLOSE_TOTAL, |_| limits::OVERFLOW_IDLE);
    // Too long is as good as done.
    let _ = tokio::time::timeout(most, drain).await;
}
