//! An upgraded connection: bytes both ways until both sides have ended.
//!
//! It has no timeouts, and of what it carries it knows at most where the frames of a WebSocket end
//! (`talk`), for the day on which its client is to leave. While nothing moves it holds no buffer and next to no
//! state: most tunnels are silent most of the time.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use crate::buffer::Buffer;
use crate::gate::Movable;
use crate::limits;
use crate::roster::{Roster, Ticket};
use crate::stream::{Reading, Writing};
use crate::talk::{Next, Talk, Way, see_off};
use crate::upstream::Upstream;
use crate::visitors::Visit;
use crate::websocket;
use crate::wire::{self, Sink, Source};

/// An instance that has switched protocols.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// What the client is told of it.
    pub(crate) head: Vec<u8>,
    /// What the instance has said already.
    pub(crate) rest: Option<Buffer>,
    /// The instance.
    pub(crate) stream: Upstream,
    /// Its place in the instance's gate.
    pub(crate) visit: Visit,
}

impl Tunnel {
    /// Carries until both ends are done, or one breaks, or it was told to leave and has; `ahead` was read
    /// from the client already. `carried` counts the bytes that went there, and back.
    pub(crate) async fn carry(
        self,
        (mut read, mut write): (Reading<'_>, Writing<'_>),
        ahead: Option<Buffer>,
        (roster, carried): (&Roster, &[Cell<u64>; 2]),
    ) {
        let Self { head, rest, mut stream, visit } = self;
        let talk = websocket::is_begun_by(&head).then(|| RefCell::new(Talk::new()));
        let _movable = talk.is_some().then(|| Movable::of(visit.gate()));
        let seat = talk.is_some().then(|| roster.sit(visit.gate().serial));
        // Boxed, so that its timer does not stay for the life of the tunnel.
        if Box::pin(wire::send(&mut write, &[&head], limits::WRITE_STALL)).await.is_err() {
            return;
        }
        drop(head);
        let (mut from, mut to) = stream.split();
        let there = Pump { way: Way::ToInstance, talk: talk.as_ref(), carried: &carried[0] };
        let back = Pump { way: Way::ToClient, talk: talk.as_ref(), carried: &carried[1] };
        let both = async {
            // A broken end ends both: dropping the sockets tells the peers.
            tokio::try_join!(
                there.run(&mut read, ahead, &mut to),
                back.run(&mut from, rest, &mut write)
            )
        };
        let ticket = seat.as_ref().map(|seat| &*seat.ticket);
        let left = tokio::select! {
            biased;
            () = leaves(talk.as_ref(), ticket) => true,
            _ = both => false,
        };
        let counters = &visit.gate().counters;
        if left {
            counters.sockets_closed.up();
            Box::pin(wire::finish(&mut write)).await;
        } else if ticket.is_some_and(Ticket::was_asked) {
            counters.sockets_left.up();
        }
    }
}

/// Ends when the tunnel is to end because its client was told to leave.
async fn leaves(talk: Option<&RefCell<Talk>>, ticket: Option<&Ticket>) {
    let (Some(talk), Some(ticket)) = (talk, ticket) else { return pending().await };
    let asked = poll_fn(|context| ticket.poll_asked(context)).await;
    // Boxed, so that a tunnel that stays does not hold its timers.
    Box::pin(see_off(talk, asked)).await;
}

/// One direction.
#[derive(Clone, Copy)]
struct Pump<'a> {
    way: Way,
    talk: Option<&'a RefCell<Talk>>,
    carried: &'a Cell<u64>,
}

/// What a direction holds.
struct Held {
    buffer: Option<Buffer>,
    /// Something was written and not flushed.
    unflushed: bool,
    /// Nothing more comes.
    over: bool,
}

impl Pump<'_> {
    /// Pumps to the end, what was read already first, and passes the end on.
    async fn run(
        self,
        from: &mut impl Source,
        buffer: Option<Buffer>,
        to: &mut impl Sink,
    ) -> io::Result<()> {
        let mut held = Held { buffer, unflushed: false, over: false };
        poll_fn(|context| self.poll(from, &mut held, to, context)).await?;
        Box::pin(wire::finish(to)).await;
        Ok(())
    }

    /// Moves what there is, until the end.
    fn poll(
        self,
        from: &mut impl Source,
        held: &mut Held,
        to: &mut impl Sink,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let data = held.buffer.as_ref().map_or(&[][..], Buffer::data);
            let next = match self.talk {
                Some(talk) => talk.borrow_mut().next(self.way, data, held.over),
                None if data.is_empty() => Next::Read,
                None => Next::Pass(data.len()),
            };
            match next {
                Next::Own => {
                    ready!(self.poll_own(to, context))?;
                    held.unflushed = true;
                }
                Next::Pass(bytes) => {
                    let bytes =
                        written(ready!(to.poll_write(context, &[IoSlice::new(&data[..bytes])])))?;
                    self.carried.set(self.carried.get() + bytes as u64);
                    held.unflushed = true;
                    self.used(held, bytes);
                }
                Next::Skip(bytes) => self.used(held, bytes),
                Next::Read => {
                    if held.unflushed {
                        ready!(to.poll_flush(context))?;
                        held.unflushed = false;
                    }
                    held.buffer = None;
                    if held.over {
                        return Poll::Ready(Ok(()));
                    }
                    let lent = ready!(wire::poll_first(from, context))?;
                    held.over = lent.is_empty();
                    held.buffer = Some(lent);
                }
            }
        }
    }

    /// Writes some of our own frame.
    fn poll_own(self, to: &mut impl Sink, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(talk) = self.talk else { return Poll::Ready(Ok(())) };
        let mut talk = talk.borrow_mut();
        let bytes = written(ready!(to.poll_write(context, &[IoSlice::new(talk.own(self.way))])))?;
        talk.wrote(self.way, bytes);
        Poll::Ready(Ok(()))
    }

    /// So many bytes are done with.
    fn used(self, held: &mut Held, bytes: usize) {
        if let Some(buffer) = &mut held.buffer {
            if let Some(talk) = self.talk {
                talk.borrow_mut().passed(self.way, &buffer.data()[..bytes]);
            }
            buffer.consume(bytes);
        }
    }
}

/// Bytes written; none is the end.
fn written(bytes: io::Result<usize>) -> io::Result<usize> {
    match bytes {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        bytes => bytes,
    }
}
