//! From the client to an instance: one request, head and body.
//!
//! Runs beside the answer and watches the client until that has ended. It reports when the client
//! breaks off; what follows from it is decided by the exchange.

use std::future::pending;
use std::time::Duration;

use tokio::net::tcp::WriteHalf;
use tokio::time::{Instant, sleep};

use crate::answer::Progress;
use crate::buffer::Buffer;
use crate::call::Rest;
use crate::framing::Refusal;
use crate::limits;
use crate::wire::{self, Source, Stuck};

/// How the client broke its request off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broke {
    /// It is gone.
    ClientGone,
    /// The client stopped sending.
    Stalled,
    /// The body's framing is broken.
    Malformed(Refusal),
}

/// Sends the head and then the body, as it arrives, and then watches the client; ends only when the
/// client breaks off. `progress` says how far it came.
pub(crate) async fn upload(
    from: &mut impl Source,
    buffer: &mut Option<Buffer>,
    (head, rest): (&[u8], &mut Rest),
    (to, progress): (&mut WriteHalf<'_>, &Progress),
) -> Broke {
    let uploaded = pump(from, buffer, (head, rest), (to, progress)).await;
    progress.sent.set(Some(Instant::now()));
    progress.whole.set(uploaded.is_none());
    match uploaded {
        None | Some(Broken::Refused) => watch(from, buffer, progress).await,
        Some(Broken::Client(broken)) => broken,
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

/// Why a request was not sent whole.
enum Broken {
    /// The instance takes no more; it may have answered already.
    Refused,
    /// The client's doing.
    Client(Broke),
}

async fn pump(
    from: &mut impl Source,
    buffer: &mut Option<Buffer>,
    (mut head, rest): (&[u8], &mut Rest),
    (to, progress): (&mut WriteHalf<'_>, &Progress),
) -> Option<Broken> {
    loop {
        let data = buffer.as_ref().map_or(&[][..], Buffer::data);
        let passed = match rest.body.pass(data) {
            Ok(passed) => passed,
            Err(refusal) => return Some(Broken::Client(Broke::Malformed(refusal))),
        };
        rest.claimed = passed.bytes;
        if passed.bytes > 0 {
            progress.body_taken.set(true);
        }
        let parts: [&[u8]; 2] = [std::mem::take(&mut head), &data[..passed.bytes]];
        if wire::send(to, &parts, limits::WRITE_STALL).await.is_err() {
            return Some(Broken::Refused);
        }
        if let Some(buffer) = buffer {
            buffer.consume(std::mem::take(&mut rest.claimed));
        }
        if passed.done {
            return None;
        }
        match wire::more(from, buffer, limits::BODY_STALL).await {
            Ok(bytes) if bytes > 0 => {}
            Err(Stuck::Late) => return Some(Broken::Client(Broke::Stalled)),
            _ => return Some(Broken::Client(Broke::ClientGone)),
        }
    }
}
