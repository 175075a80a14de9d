//! Room for streams that cross the announced end of an HTTP/2 connection.
//!
//! The end is announced in two phases (RFC 9113 section 6.8): a first GOAWAY that refuses nothing, and
//! a last one once the client has answered the PING behind it. Clients that answer before they send
//! what was waiting in their own queue would have those requests refused. So the answer to the PING is
//! held back until no stream was begun for a moment (but not for ever: a client may not heed the end),
//! as an idle HTTP/1.1 connection lingers. Nothing else is touched: of each frame only its length and
//! kind are looked at, and whatever is not a whole, plain answer to a PING within one read passes as it
//! is. But a client whose first frame is not SETTINGS does not speak HTTP/2 (section 3.4; h2 does not mind).

#[cfg(test)]
mod fuzz;

use std::future::Future;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Head of a frame: length, kind, flags, stream.
const HEAD: usize = 9;
/// An answer to a PING: head and eight bytes.
const PONG: usize = HEAD + 8;
/// What a client says before its first frame.
const PREFACE: usize = 24;

/// A connection whose answers to PINGs come late.
pub(crate) struct Crossing<S> {
    stream: S,
    place: Place,
    hold: Duration,
    held: Option<Held>,
}

/// An answer to a PING that waits for the streams behind it.
struct Held {
    pong: [u8; PONG],
    until: Pin<Box<Sleep>>,
    /// Streams that begin put `until` off no further than this.
    latest: Instant,
}

/// Times its moment for which an answer is held at most.
const MOMENTS: u32 = 10;

impl<S> Crossing<S> {
    /// From the first byte of a connection on.
    pub(crate) const fn new(stream: S, hold: Duration) -> Self {
        Self { stream, place: Place::new(), hold, held: None }
    }

    /// What was held, once its time has come and where it may stand.
    fn due(&mut self, context: &mut Context<'_>) -> Option<[u8; PONG]> {
        let until = &mut self.held.as_mut()?.until;
        let due = until.as_mut().poll(context).is_ready() && self.place.between_frames();
        if due { self.held.take().map(|held| held.pong) } else { None }
    }

    /// Puts what was held into `room`, if its time has come.
    fn give(&mut self, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> bool {
        if room.remaining() < PONG {
            return false;
        }
        let due = self.due(context);
        due.inspect(|pong| room.put_slice(pong)).is_some()
    }

    /// A stream was begun: those that are still in the client's queue get their moment too.
    fn put_off(&mut self, context: &mut Context<'_>) {
        let Some(held) = &mut self.held else { return };
        held.until.as_mut().reset((Instant::now() + self.hold).min(held.latest));
        // Polled so that this task is woken for it.
        let _ = held.until.as_mut().poll(context);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Crossing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let late = self.held.as_ref().is_some_and(|held| held.latest <= Instant::now());
        if late && self.give(context, room) {
            return Poll::Ready(Ok(()));
        }
        loop {
            let before = room.filled().len();
            if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, room) {
                read?;
            } else {
                // What has arrived goes first.
                return if self.give(context, room) { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            let bytes = room.filled().len() - before;
            self.place.began = false;
            let found = self.place.pass(&room.filled()[before..]);
            if self.place.strange {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            if self.place.began {
                self.put_off(context);
            }
            let Some(at) = found.filter(|_| self.held.is_none()) else {
                return Poll::Ready(Ok(()));
            };
            let mut pong = [0; PONG];
            pong.copy_from_slice(&room.filled()[before..][at.clone()]);
            room.filled_mut()[before..].copy_within(at.end.., at.start);
            room.set_filled(before + bytes - PONG);
            let mut until = Box::pin(sleep(self.hold));
            // Polled so that this task is woken for it; it is not over yet.
            let _ = until.as_mut().poll(context);
            let latest = Instant::now() + self.hold * MOMENTS;
            self.held = Some(Held { pong, until, latest });
            // No byte would be taken for the end.
            if bytes > PONG {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Crossing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Where in the frames the next byte stands.
struct Place {
    head: [u8; HEAD],
    have: usize,
    left: usize,
    /// The head of a frame that begins a stream was passed.
    began: bool,
    /// The first frame was passed.
    opened: bool,
    /// It was not what a client begins with.
    strange: bool,
}

impl Place {
    const fn new() -> Self {
        Self {
            head: [0; HEAD],
            have: 0,
            left: PREFACE,
            began: false,
            opened: false,
            strange: false,
        }
    }

    const fn between_frames(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Goes on over these bytes; gives the place of the first answer to a PING that lies whole in
    /// them.
    fn pass(&mut self, bytes: &[u8]) -> Option<Range<usize>> {
        let mut found = None;
        let mut at = 0;
        while at < bytes.len() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len() - at);
                self.left -= skipped;
                at += skipped;
                continue;
            }
            self.head[self.have] = bytes[at];
            self.have += 1;
            at += 1;
            if self.have == HEAD {
                let [high, middle, low, kind, flags, ..] = self.head;
                self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.have = 0;
                self.began |= kind == 1;
                self.strange |= !self.opened && (kind, flags & 1) != (4, 0);
                self.opened = true;
                let is_pong = kind == 6 && flags & 1 == 1 && HEAD + self.left == PONG;
                if is_pong && found.is_none() && at >= HEAD && bytes.len() - at >= self.left {
                    found = Some(at - HEAD..at + self.left);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::{Crossing, HEAD, PREFACE};

    /// A preface and SETTINGS.
    const OPENING: [u8; PREFACE + HEAD] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    fn frame(kind: u8, flags: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, 0], content].concat()
    }

    /// Reads what comes of `sent` in pieces of `size` bytes, up to as many as were sent.
    fn passed(sent: &[u8], size: usize, hold: Duration) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut client, server) = duplex(size);
            let mut crossing = Crossing::new(server, hold);
            let mut out = vec![0; sent.len()];
            let (written, read) =
                tokio::join!(client.write_all(sent), crossing.read_exact(&mut out));
            written.unwrap();
            read.unwrap();
            out
        })
    }

    /// What comes of an answer to a PING and of streams that begin every half of its moment: how many
    /// of them pass before it.
    fn begun_before(streams: usize) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let hold = Duration::from_millis(50);
        let (pong, stream) = (frame(6, 1, b"12345678"), frame(1, 4, b"12345678"));
        runtime.block_on(async {
            let (mut client, server) = duplex(1 << 16);
            let mut crossing = Crossing::new(server, hold);
            let says = async {
                client.write_all(&[&OPENING[..], &pong].concat()).await.unwrap();
                for _ in 0..streams {
                    tokio::time::sleep(hold / 2).await;
                    client.write_all(&stream).await.unwrap();
                }
            };
            let mut out = vec![0; OPENING.len() + pong.len() * (streams + 1)];
            tokio::join!(says, crossing.read_exact(&mut out)).1.unwrap();
            out[OPENING.len()..].chunks(pong.len()).position(|frame| frame[3] == 6).unwrap()
        })
    }

    #[test]
    fn streams_that_go_on_beginning_put_it_off_but_not_for_ever() {
        assert_eq!(begun_before(5), 5);
        assert!(begun_before(60) < 60);
    }

    #[test]
    fn an_answer_to_a_ping_lets_those_behind_it_pass_first() {
        let (first, pong) = (OPENING, frame(6, 1, b"12345678"));
        // One that only looks like it lies in the content of another.
        let data = frame(0, 0, &[&pong[..], b"rest"].concat());
        let asked = frame(6, 0, b"12345678");
        let sent = [&first[..], &asked, &pong, &data, &asked].concat();
        let late = [&first[..], &asked, &data, &asked, &pong].concat();
        let hold = Duration::from_millis(30);
        let began = Instant::now();
        assert_eq!(passed(&sent, 4096, hold), late);
        assert!(began.elapsed() >= hold);
        for size in 1..sent.len() {
            let out = passed(&sent, size, hold);
            assert!(out == late || out == sent, "pieces of {size}: {out:?}");
        }
    }

    #[test]
    fn who_begins_with_something_else_is_not_read() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for (kind, flags, taken) in [(4, 0, true), (4, 1, false), (6, 0, false), (1, 5, false)] {
            let sent = [&[b'P'; PREFACE][..], &frame(kind, flags, b"12345678")].concat();
            let read = runtime.block_on(async {
                let (mut client, server) = duplex(1 << 16);
                client.write_all(&sent).await.unwrap();
                let mut out = vec![0; sent.len()];
                Crossing::new(server, Duration::ZERO).read_exact(&mut out).await
            });
            assert_eq!(read.is_ok(), taken, "{kind} {flags}");
        }
    }
}
