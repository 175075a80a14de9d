//! From the client to an instance: one request, head and body.
//!
//! Runs beside the answer and watches the client until that has ended. It reports when the client breaks
//! off; what follows from it is decided by the exchange. Whether the request may be sent a second time is
//! `replay`'s.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use tokio::net::tcp::WriteHalf;
use tokio::time::{Instant, sleep};

use crate::answer::Progress;
use crate::buffer::Buffer;
use crate::call::Rest;
use crate::frames::{self, Outgoing};
use crate::framing::{Body, Refusal, check_trailer};
use crate::limits;
use crate::pace::{Jam, Pace, Slow};
use crate::settings::Patience;
use crate::stream::Reading;
use crate::wire::{self, Source, Stuck};

/// How the client broke its request off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broke {
    /// It is gone.
    ClientGone,
    /// The client stopped sending.
    Stalled,
    /// The client sends too slowly.
    Drips,
    /// The body is refused: its framing is broken, or it is too large.
    Malformed(Refusal),
    /// Not the client's doing: the instance takes nothing and says nothing.
    Deaf,
}

impl From<Slow> for Broke {
    fn from(slow: Slow) -> Self {
        match slow {
            Slow::Gone => Self::ClientGone,
            Slow::Silent => Self::Stalled,
            Slow::Drips => Self::Drips,
        }
    }
}

/// Sends the head and then the body, as it arrives, and then watches the client; ends only when the
/// client breaks off, or the instance takes nothing more without a word. `progress` says how far it
/// came.
pub(crate) async fn upload(
    from: Giver<'_, '_>,
    (head, rest): (&[u8], &mut Rest),
    (to, progress): (&mut WriteHalf<'_>, &Progress),
    patience: &Patience,
) -> Broke {
    let over = |uploaded: &Option<Broken>| {
        progress.sent.set(Some(Instant::now()));
        progress.whole.set(uploaded.is_none());
    };
    match from {
        Giver::Bytes(from, buffer) => {
            let uploaded = pump(from, buffer, (head, rest), (to, progress), patience).await;
            over(&uploaded);
            match uploaded {
                Some(Broken::Deaf) if !progress.heard.get() => Broke::Deaf,
                None | Some(Broken::Refused | Broken::Deaf) => watch(from, buffer, progress).await,
                Some(Broken::Client(broken)) => broken,
            }
        }
        Giver::Frames(from, answer) => {
            let jam = answer.borrow().jam();
            let uploaded = pump_frames(from, (head, rest), (to, progress), patience, &jam).await;
            over(&uploaded);
            match uploaded {
                Some(Broken::Deaf) if !progress.heard.get() => return Broke::Deaf,
                Some(Broken::Client(broken)) => return broken,
                _ => {}
            }
            poll_fn(|context| answer.borrow_mut().poll_gone(context)).await;
            Broke::ClientGone
        }
    }
}

/// Waits until the client is gone. What it sends ahead of its answer is kept, as far as there is
/// room; behind that its end cannot be seen.
async fn watch(from: &mut impl Source, buffer: &mut Option<Buffer>, progress: &Progress) -> Broke {
    while buffer.as_ref().is_none_or(|buffer| !buffer.is_full()) {
        match wire::more(from, buffer, Duration::MAX).await {
            Ok(0) => return ended(progress).await,
            Ok(_) => {}
            Err(_) => return Broke::ClientGone,
        }
    }
    pending().await
}

/// The client has ended its side: it is gone, or it still reads.
async fn ended(progress: &Progress) -> Broke {
    loop {
        let before = progress.steps.get();
        sleep(limits::HALF_CLOSED).await;
        if progress.steps.get() == before {
            return Broke::ClientGone;
        }
    }
}

/// Where a request comes from.
pub(crate) enum Giver<'a, 'io> {
    /// A connection, and what was read from it already.
    Bytes(&'a mut Reading<'io>, &'a mut Option<Buffer>),
    /// A stream, and its answer's side, on which a reset is seen.
    Frames(&'a mut RecvStream, &'a RefCell<Outgoing>),
}

/// Why a request was not sent whole.
enum Broken {
    /// The instance takes no more; it may have answered already.
    Refused,
    /// The instance took nothing for too long; so it may.
    Deaf,
    /// The client's doing.
    Client(Broke),
}

impl Broken {
    const fn of_instance(stuck: Stuck) -> Self {
        match stuck {
            Stuck::Gone => Self::Refused,
            Stuck::Late => Self::Deaf,
        }
    }
}

/// Who has an answer already, or is not yet told to send, may take the time that it takes.
fn may_drip(rest: &Rest, progress: &Progress) -> bool {
    progress.begun.get() || (rest.asks_first && !progress.body_taken.get())
}

/// Sends what is all there: it was gathered, or sent before to somebody else.
async fn kept(
    (head, rest): (&[u8], &Rest),
    (to, progress): (&mut WriteHalf<'_>, &Progress),
    patience: &Patience,
) -> Option<Broken> {
    progress.body_taken.set(true);
    let sent = wire::send(to, &[head, &rest.kept], patience.takes).await;
    sent.err().map(Broken::of_instance)
}

async fn pump(
    from: &mut impl Source,
    buffer: &mut Option<Buffer>,
    (mut head, rest): (&[u8], &mut Rest),
    (to, progress): (&mut WriteHalf<'_>, &Progress),
    patience: &Patience,
) -> Option<Broken> {
    if !rest.kept.is_empty() {
        return kept((head, rest), (to, progress), patience).await;
    }
    let mut pace = Pace::of(patience);
    loop {
        let data = buffer.as_ref().map_or(&[][..], Buffer::data);
        let passed = match rest.body.pass(data) {
            Ok(passed) => passed,
            Err(refusal) => return Some(Broken::Client(Broke::Malformed(refusal))),
        };
        if let Err(refusal) = rest.has_room((passed.bytes - passed.framing) as u64) {
            return Some(Broken::Client(Broke::Malformed(refusal)));
        }
        rest.claimed = passed.bytes;
        progress.take(passed.bytes);
        pace.came(passed.bytes);
        if passed.done && !head.is_empty() && passed.bytes <= limits::KEPT {
            rest.kept = data[..passed.bytes].into();
        }
        let parts: [&[u8]; 2] = [std::mem::take(&mut head), &data[..passed.bytes]];
        if let Err(stuck) = wire::send(to, &parts, patience.takes).await {
            return Some(Broken::of_instance(stuck));
        }
        if let Some(buffer) = buffer {
            buffer.consume(std::mem::take(&mut rest.claimed));
        }
        if passed.done {
            return None;
        }
        progress.wants.set(true);
        let excused = || may_drip(rest, progress);
        match pace.wait(excused, wire::some(from, buffer)).await {
            Ok(0) => return Some(Broken::Client(Broke::ClientGone)),
            Ok(_) => progress.wants.set(false),
            Err(slow) => return Some(Broken::Client(slow.into())),
        }
    }
}

/// The same for a stream, whose content is framed anew.
async fn pump_frames(
    from: &mut RecvStream,
    (mut head, rest): (&[u8], &mut Rest),
    (to, progress): (&mut WriteHalf<'_>, &Progress),
    patience: &Patience,
    jam: &Jam,
) -> Option<Broken> {
    if !rest.kept.is_empty() {
        return kept((head, rest), (to, progress), patience).await;
    }
    let (chunked, limit) = (matches!(rest.body, Body::Chunked(_)), patience.body);
    let mut pace = Pace::of(patience);
    loop {
        progress.wants.set(true);
        let next = if rest.body.done() {
            Ok(None)
        } else {
            let excused = || may_drip(rest, progress) || jam.within(patience.grace);
            at_once(pace.wait(excused, frames::next(from)), !head.is_empty()).await
        };
        let (content, end) = match next {
            Ok(Some(Some(content))) => (content, false),
            Ok(Some(None)) => (Bytes::new(), false),
            Ok(None) => (Bytes::new(), true),
            Err(broke) => return Some(Broken::Client(broke)),
        };
        let (before, after) = match frame(&content, (chunked, end), (from, rest), limit).await {
            Ok(framing) => framing,
            Err(broke) => return Some(Broken::Client(broke)),
        };
        progress.wants.set(false);
        progress.take(content.len());
        pace.came(content.len());
        let mut prefix = std::mem::take(&mut head).to_vec();
        prefix.extend_from_slice(&before);
        let sending = jam.sending();
        if let Err(stuck) = wire::send(to, &[&prefix, &content, &after], patience.takes).await {
            return Some(Broken::of_instance(stuck));
        }
        drop(sending);
        // The client may send as much again. It fails only if the stream is gone, which is seen
        // elsewhere.
        let _ = from.flow_control().release_capacity(content.len());
        if end {
            rest.body = Body::EMPTY;
            return None;
        }
    }
}

/// The next content: `Ok(None)` at the end, `Ok(Some(None))` when none is there and the head is to go
/// ahead.
async fn at_once(
    next: impl Future<Output = Result<Option<Bytes>, Slow>>,
    head_waits: bool,
) -> Result<Option<Option<Bytes>>, Broke> {
    let mut next = pin!(next);
    let found = poll_fn(|context| match next.as_mut().poll(context) {
        Poll::Pending if head_waits => Poll::Ready(None),
        polled => polled.map(Some),
    });
    match found.await {
        None => Ok(Some(None)),
        Some(Ok(content)) => Ok(content.map(Some)),
        Some(Err(slow)) => Err(slow.into()),
    }
}

/// What goes before and behind some content, or behind the last of it.
async fn frame(
    content: &[u8],
    (chunked, end): (bool, bool),
    (from, rest): (&mut RecvStream, &mut Rest),
    limit: Duration,
) -> Result<(Vec<u8>, Vec<u8>), Broke> {
    let malformed = |why| Broke::Malformed(Refusal::bad(why));
    rest.has_room(content.len() as u64).map_err(Broke::Malformed)?;
    if !chunked {
        let passed = rest.body.pass(content).map_err(Broke::Malformed)?;
        let fits = passed.bytes == content.len() && (!end || rest.body.done());
        return if fits {
            Ok(Default::default())
        } else {
            Err(malformed("a body of another length"))
        };
    }
    if !end {
        let size = format!("{:x}\r\n", content.len()).into_bytes();
        return Ok(if content.is_empty() { Default::default() } else { (size, b"\r\n".to_vec()) });
    }
    let trailers =
        wire::within(limit, async { from.trailers().await.map_err(std::io::Error::other) });
    let lines = match trailers.await {
        Ok(Some(trailers)) if trailers.values().any(frames::has_edges) => {
            return Err(malformed(frames::EDGES));
        }
        Ok(trailers) => trailers.as_ref().map(frames::trailer_lines).unwrap_or_default(),
        Err(Stuck::Late) => return Err(Broke::Stalled),
        Err(Stuck::Gone) => return Err(Broke::ClientGone),
    };
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        check_trailer(line.strip_suffix(b"\r\n").unwrap_or(line)).map_err(Broke::Malformed)?;
    }
    Ok((b"0\r\n".to_vec(), [&lines[..], b"\r\n"].concat()))
}
