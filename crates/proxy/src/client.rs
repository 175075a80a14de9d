//! One client connection, from its first byte to its end.
//!
//! It waits without a buffer, reads heads, has each request carried and closes so that nothing said
//! is lost. It does not know where requests go.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::buffer::Buffer;
use crate::call::{Asks, Call, prepare};
use crate::exchange::{After, Client, exchange};
use crate::forwarded::Origin;
use crate::framing::{HeadScan, Refusal};
use crate::life::Life;
use crate::limits;
use crate::said;
use crate::stream::{Reading, Writing};
use crate::thread::Worker;
use crate::wire::{self, Stuck};

/// Serves a connection until it ends.
pub(crate) async fn plain(worker: &Worker, mut stream: TcpStream, peer: IpAddr) {
    let (read, write) = stream.split();
    let (read, write) = (Reading::Plain(read), Writing::Plain(write));
    converse(worker, Client { read, write, buffer: None }, Origin { peer, secure: false }).await;
}

/// The same for a connection that begins with a TLS handshake.
pub(crate) async fn secure(worker: &Worker, stream: TcpStream, peer: IpAddr) {
    let acceptor = TlsAcceptor::from(Arc::clone(&worker.shared.tls.config));
    // The client was told why by an alert.
    let Ok(stream) = wire::within(limits::HANDSHAKE, Box::pin(acceptor.accept(stream))).await
    else {
        return;
    };
    let stream = RefCell::new(stream);
    let (read, write) = (Reading::Secure(&stream), Writing::Secure(&stream));
    converse(worker, Client { read, write, buffer: None }, Origin { peer, secure: true }).await;
}

async fn converse(worker: &Worker, mut client: Client<'_>, origin: Origin) {
    let mut life = worker.shared.life();
    while client.buffer.is_some() || request_comes(worker, &mut client, &mut life).await {
        // Boxed, so that an idle connection does not hold the room that a request needs.
        if !Box::pin(turn(worker, &mut client, origin)).await {
            return;
        }
    }
}

/// Waits for the first byte of a request (or the end of the connection). When the process ends, an
/// idle connection stays for a moment, so that a request which crosses our close is answered.
async fn request_comes(
    worker: &Worker,
    client: &mut Client<'_>,
    life: &mut watch::Receiver<Life>,
) -> bool {
    if !worker.shared.ending() {
        tokio::select! {
            biased;
            ready = wire::ready(&mut client.read) => return ready.is_ok(),
            _ = life.changed() => {}
            () = sleep(limits::CLIENT_IDLE) => return false,
        }
    }
    tokio::select! {
        biased;
        ready = wire::ready(&mut client.read) => ready.is_ok(),
        () = sleep(limits::IDLE_LINGER) => false,
    }
}

/// One request; false when the connection is over.
async fn turn(worker: &Worker, client: &mut Client<'_>, origin: Origin) -> bool {
    let mut call = match read_head(worker, client, origin).await {
        Ok(call) => call,
        Err(None) => return false,
        Err(Some(refusal)) => {
            let answer = said::own(refusal, Asks::default(), None, None);
            if wire::send(&mut client.write, &[&answer], limits::WRITE_STALL).await.is_ok() {
                close(client).await;
            }
            return false;
        }
    };
    let keeps = match exchange(worker, client, &mut call).await {
        After::Abort => return false,
        After::Close => false,
        After::Keep => rest_is_gone(client, &mut call).await,
    };
    if !keeps {
        close(client).await;
    } else if client.buffer.as_ref().is_some_and(Buffer::is_empty) {
        client.buffer = None;
    }
    keeps
}

/// Reads a whole head. `None` means that the client is gone.
async fn read_head(
    worker: &Worker,
    client: &mut Client<'_>,
    origin: Origin,
) -> Result<Call, Option<Refusal>> {
    let Client { read, buffer, .. } = client;
    let buffer = buffer.get_or_insert_with(Buffer::lend);
    let head = async {
        let mut scan = HeadScan::default();
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
    let length = match wire::within(limits::CLIENT_HEAD, head).await {
        Ok(Ok(length)) => length.unwrap_or_default(),
        Ok(Err(refusal)) => return Err(Some(refusal)),
        Err(Stuck::Gone) => return Err(None),
        Err(Stuck::Late) => {
            return Err(Some(Refusal::with(408, "the head did not arrive in time")));
        }
    };
    let (table, settings) = (worker.shared.table.load(), worker.shared.settings.load());
    let call = prepare(&buffer.data()[..length], origin, (&table, &settings));
    buffer.consume(length);
    call.map_err(Some)
}

/// After an early answer: discards the rest of the request's body if it is short and comes soon.
/// True when the connection stands before the next request.
async fn rest_is_gone(client: &mut Client<'_>, call: &mut Call) -> bool {
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
async fn close(client: &mut Client<'_>) {
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
    // Too long is as good as done.
    let _ = tokio::time::timeout(limits::CLOSE_TOTAL, drain).await;
}
