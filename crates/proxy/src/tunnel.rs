//! An upgraded connection: bytes both ways until both sides have ended.
//!
//! It has no timeouts and does not look into what it carries. While nothing moves it holds no buffer
//! and next to no state: most tunnels are silent most of the time.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use crate::buffer::Buffer;
use crate::gate::Entry;
use crate::limits;
use crate::stream::{Reading, Writing};
use crate::wire::{self, Sink, Source};

/// An instance that has switched protocols.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// What the client is told of it.
    pub(crate) head: Vec<u8>,
    /// What the instance has said already.
    pub(crate) rest: Option<Buffer>,
    /// The instance.
    pub(crate) stream: TcpStream,
    /// Its place in the instance's gate.
    pub(crate) entry: Entry,
}

impl Tunnel {
    /// Carries until both ends are done, or one breaks; `ahead` was read from the client already.
    /// `carried` counts the bytes that went there, and back.
    pub(crate) async fn carry(
        self,
        (mut read, mut write): (Reading<'_>, Writing<'_>),
        ahead: Option<Buffer>,
        carried: &[Cell<u64>; 2],
    ) {
        let Self { head, rest, mut stream, entry: _entry } = self;
        // Boxed, so that its timer does not stay for the life of the tunnel.
        if Box::pin(wire::send(&mut write, &[&head], limits::WRITE_STALL)).await.is_err() {
            return;
        }
        drop(head);
        let (mut from, mut to) = stream.split();
        let there = pump(&mut read, ahead, (&mut to, &carried[0]));
        let back = pump(&mut from, rest, (&mut write, &carried[1]));
        // A broken end ends both: dropping the sockets tells the peers.
        let _ = tokio::try_join!(there, back);
    }
}

/// Pumps one direction to its end, what was read already first, and passes the end on.
async fn pump(
    from: &mut impl Source,
    mut buffer: Option<Buffer>,
    (to, carried): (&mut impl Sink, &Cell<u64>),
) -> io::Result<()> {
    poll_fn(|context| poll_pump(from, &mut buffer, (to, carried), context)).await?;
    Box::pin(wire::finish(to)).await;
    Ok(())
}

/// Moves what there is, until the end.
fn poll_pump(
    from: &mut impl Source,
    buffer: &mut Option<Buffer>,
    (to, carried): (&mut impl Sink, &Cell<u64>),
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        while let Some(waiting) = buffer.as_mut().filter(|buffer| !buffer.is_empty()) {
            let bytes = ready!(to.poll_write(context, &[IoSlice::new(waiting.data())]))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            carried.set(carried.get() + bytes as u64);
            waiting.consume(bytes);
        }
        if buffer.is_some() {
            ready!(to.poll_flush(context))?;
            *buffer = None;
        }
        ready!(from.poll_ready(context))?;
        let mut lent = Buffer::lend();
        let mut room = ReadBuf::new(lent.room());
        ready!(from.poll_read(context, &mut room))?;
        let bytes = room.filled().len();
        if bytes == 0 {
            return Poll::Ready(Ok(()));
        }
        lent.filled(bytes);
        *buffer = Some(lent);
    }
}
