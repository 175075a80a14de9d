//! From the client to an instance: one request, head and body.
//!
//! Runs beside the answer. It reports how the upload ended; what follows from it is decided by the
//! exchange.

use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;

use crate::answer::Progress;
use crate::buffer::Buffer;
use crate::call::Call;
use crate::framing::Refusal;
use crate::limits;
use crate::wire::{self, Stuck};

/// How an upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uploaded {
    /// The whole request was sent.
    Whole,
    /// The instance takes no more; it may have answered already.
    Refused,
    /// The client is gone, before the end of the body.
    ClientGone,
    /// The client stopped sending.
    Stalled,
    /// The body's framing is broken.
    Malformed(Refusal),
}

/// Sends the head and then the body, as it arrives.
pub(crate) async fn upload(
    from: &mut ReadHalf<'_>,
    buffer: &mut Option<Buffer>,
    call: &mut Call,
    to: &mut WriteHalf<'_>,
    progress: &Progress,
) -> Uploaded {
    let uploaded = pump(from, buffer, call, to, progress).await;
    progress.sent.set(Some(Instant::now()));
    uploaded
}

async fn pump(
    from: &mut ReadHalf<'_>,
    buffer: &mut Option<Buffer>,
    call: &mut Call,
    to: &mut WriteHalf<'_>,
    progress: &Progress,
) -> Uploaded {
    let mut head = call.head.as_slice();
    loop {
        let data = buffer.as_ref().map_or(&[][..], Buffer::data);
        let passed = match call.body.pass(data) {
            Ok(passed) => passed,
            Err(refusal) => return Uploaded::Malformed(refusal),
        };
        call.claimed = passed.bytes;
        if passed.bytes > 0 {
            progress.body_taken.set(true);
        }
        let parts: [&[u8]; 2] = [std::mem::take(&mut head), &data[..passed.bytes]];
        if wire::send(to, &parts, limits::WRITE_STALL).await.is_err() {
            return Uploaded::Refused;
        }
        if let Some(buffer) = buffer {
            buffer.consume(std::mem::take(&mut call.claimed));
        }
        if passed.done {
            return Uploaded::Whole;
        }
        match wire::more(from, buffer, limits::BODY_STALL).await {
            Ok(bytes) if bytes > 0 => {}
            Err(Stuck::Late) => return Uploaded::Stalled,
            _ => return Uploaded::ClientGone,
        }
    }
}
