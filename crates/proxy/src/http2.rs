//! A connection that speaks HTTP/2: its streams, its limits and its end.
//!
//! Each stream is one request and takes the same way as any other. The protocol itself (frames,
//! compression, flow control, floods) is the `h2` crate's; what it cannot know is judged here:
//! clients that only ever break off, connections that do nothing or are old, and the end of the process.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use http::request::Parts;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::account;
use crate::asker::{After, Client};
use crate::buffer::Buffer;
use crate::call::{Asks, prepare};
use crate::crossing::Crossing;
use crate::exchange::exchange;
use crate::forwarded::Origin;
use crate::frames::{self, Frames, Outgoing};
use crate::framing::Refusal;
use crate::limits;
use crate::log::Words;
use crate::pace::Jam;
use crate::said::{self, Own};
use crate::stream::Whole;
use crate::thread::Worker;
use crate::wire;

/// Serves a connection until it ends; `ahead` was read from it already.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Rc<Worker>,
    stream: S,
    ahead: Option<Buffer>,
    origin: Origin,
) {
    let stream = RefCell::new(stream);
    let whole = Crossing::new(Whole::new(&stream, ahead), limits::IDLE_LINGER);
    let begins = async { builder().handshake(whole).await.map_err(std::io::Error::other) };
    if let Ok(connection) = wire::within(limits::HANDSHAKE, begins).await {
        let (open, jam) = (JoinSet::new(), Rc::default());
        Streams { worker, origin, connection, open, jam, broken_off: 0 }.run().await;
    }
    linger(stream.into_inner()).await;
}

/// Says that nothing more will be written (over TLS by an alert, RFC 9112 section 9.8), and reads what the client still
/// says, so that our last frames are not destroyed by a reset.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    // The peer may be gone already; there is nothing to say to it then.
    let _ = tokio::time::timeout(limits::CLOSE_QUIET, stream.shutdown()).await;
    let mut scrap = [0; 1024];
    let quiet = async {
        while matches!(
            tokio::time::timeout(limits::CLOSE_QUIET, stream.read(&mut scrap)).await,
            Ok(Ok(1..))
        ) {}
    };
    // Too long is as good as done.
    let _ = tokio::time::timeout(limits::CLOSE_TOTAL, quiet).await;
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits::STREAMS)
        .max_header_list_size(limits::HEADER_LIST)
        .initial_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_send_buffer_size(limits::STREAM_BUFFER)
        .max_pending_accept_reset_streams(limits::RESETS_WAITING)
        .max_local_error_reset_streams(Some(limits::RESETS_OURS));
    builder
}

/// A connection and its open streams.
struct Streams<'a, T> {
    worker: &'a Rc<Worker>,
    origin: Origin,
    connection: Connection<T, Bytes>,
    open: JoinSet<After>,
    jam: Rc<Jam>,
    broken_off: u32,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Streams<'_, T> {
    /// Takes streams in until the connection has ended, and lets those finish that are open.
    async fn run(mut self) {
        let mut life = self.worker.life.subscribe();
        let (mut ending, mut begun) = (false, false);
        loop {
            // With this many under way, those behind them wait in h2, which limits them.
            let takes = self.open.len() < limits::STREAMS_OPEN;
            // One connection too many is told so in an answer: told of the end first, it might ask
            // nothing.
            let told = self.origin.over.is_some() && begun;
            let (idle, left) = self.patience();
            if (self.worker.shared.ending() || told || left.is_zero()) && !ending {
                ending = true;
                self.connection.graceful_shutdown();
            }
            let short = ending || self.origin.over.is_some();
            let quiet = if short { limits::CLOSE_QUIET } else { idle.min(left) };
            tokio::select! {
                accepted = next(&mut self.connection, takes) => match accepted {
                    Some(Ok((request, respond))) => {
                        begun = true;
                        self.begin(request, respond);
                    }
                    _ => break,
                },
                Some(after) = self.open.join_next() => self.ended(after.unwrap_or(After::Abort)),
                _ = life.changed(), if !ending => {}
                () = sleep(quiet), if self.open.is_empty() => {
                    if ending {
                        break;
                    }
                    ending = true;
                    self.connection.graceful_shutdown();
                }
            }
        }
        // They learn from h2 that the connection is gone.
        while self.open.join_next().await.is_some() {}
    }

    /// How long nothing may come of the client, and how much longer its connection is used.
    fn patience(&self) -> (Duration, Duration) {
        let settings = self.worker.shared.settings.load();
        let patience = settings.patience();
        (patience.idle, self.origin.age.left(patience.age))
    }

    fn begin(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let (worker, origin) = (Rc::clone(self.worker), self.origin);
        let outgoing = Outgoing::new(respond, Rc::clone(&self.jam));
        self.open.spawn_local(async move { stream(&worker, request, outgoing, origin).await });
    }

    /// A client that goes on breaking requests off makes work for instances and none for itself
    /// (rapid reset, CVE-2023-44487); one that also takes answers is a user who is in a hurry.
    fn ended(&mut self, after: After) {
        if after != After::Gone {
            self.broken_off = self.broken_off.saturating_sub(1);
            return;
        }
        self.broken_off += 1;
        if self.broken_off == limits::RESETS {
            self.worker.shared.totals.resets.up();
            self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
    }
}

/// Drives the connection until there is another stream, if one may be taken in, or its end.
async fn next<T: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<T, Bytes>,
    takes: bool,
) -> Option<Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>> {
    poll_fn(|context| {
        if takes {
            return connection.poll_accept(context);
        }
        connection.poll_closed(context).map(|_| None)
    })
    .await
}

/// One request.
async fn stream(
    worker: &Worker,
    request: Request<RecvStream>,
    outgoing: Outgoing,
    origin: Origin,
) -> After {
    let (head, incoming) = request.into_parts();
    let outgoing = RefCell::new(outgoing);
    let call = {
        let (table, settings) = (worker.shared.table.load(), worker.shared.settings.load());
        let text = frames::request_head(&head, incoming.is_end_stream(), settings.head);
        text.and_then(|head| prepare(&head, origin, (&table, &settings)))
    };
    if let Err(refusal) = call {
        account::unread(worker, origin, refusal, (words(&head), "HTTP/2.0"));
    }
    drop(head);
    let mut frames = Frames { incoming, outgoing };
    let after = match call {
        Ok(mut call) => exchange(worker, &mut Client::Frames(&mut frames), &mut call).await,
        Err(refusal) => refuse(worker, refusal, &frames.outgoing).await,
    };
    if after == After::Abort {
        frames.outgoing.borrow_mut().reset();
    }
    after
}

/// What a head says that is not sent on.
fn words(head: &Parts) -> Words<'_> {
    let (host, path) = (head.uri.authority(), head.uri.path_and_query());
    Words {
        method: head.method.as_str().as_bytes(),
        path: path.map_or("", |path| path.as_str()).as_bytes(),
        host: host.map_or("", |host| host.as_str()).as_bytes(),
        ..Words::default()
    }
}

async fn refuse(worker: &Worker, refusal: Refusal, to: &RefCell<Outgoing>) -> After {
    let asks = Asks { keep: true, ..Asks::default() };
    let settings = worker.shared.settings.load();
    let own = Own::new(refusal, settings.pages.error(None, refusal.status));
    let answer = said::own(own, asks, None, None);
    let patience = *settings.patience();
    drop(settings);
    match frames::send_whole(to, &answer, &patience).await {
        Ok(()) => After::Keep,
        Err(_) => After::Gone,
    }
}
