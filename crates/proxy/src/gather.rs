//! A small body that follows its head is waited for before an instance is picked: then it takes a
//! connection that is there already, and can be sent again, as one that came with its head.
//!
//! Nobody's gate is entered meanwhile, so that a client that is slow holds no drain, and one that goes
//! away costs no instance anything. Not gathered is what is large or of unknown length, what waits for
//! `100 Continue`, and what finds no room in the memory that a thread has for it: it goes ahead on a
//! fresh connection.

use h2::RecvStream;

use crate::buffer::Buffer;
use crate::call::Call;
use crate::frames;
use crate::framing::{Body, Refusal};
use crate::limits;
use crate::pace::Pace;
use crate::space::Space;
use crate::stream::Reading;
use crate::upload::{Broke, Giver};
use crate::wire;

/// Waits for the rest of a body that is to be gathered. True when that was done: the routes may be others
/// by then.
pub(crate) async fn gather(
    space: &Space,
    mut from: Giver<'_, '_>,
    call: &mut Call,
) -> Result<bool, Broke> {
    let Some(length) = small(call, &from) else { return Ok(false) };
    let Some(share) = space.take(length) else { return Ok(false) };
    let mut body = vec![0; length].into_boxed_slice();
    collect(&mut from, call, &mut body).await?;
    call.rest.has_room(length as u64).map_err(Broke::Malformed)?;
    call.rest.body = Body::EMPTY;
    (call.rest.kept, call.rest.share) = (body, Some(share));
    Ok(true)
}

/// The length of a body that is to be gathered.
fn small(call: &Call, from: &Giver<'_, '_>) -> Option<usize> {
    let Body::Length(length) = call.rest.body else { return None };
    let length = usize::try_from(length).ok()?;
    let there = match from {
        Giver::Bytes(_, buffer) => call.rest.lies_in((**buffer).as_ref()),
        Giver::Frames(..) => call.rest.body.done(),
    };
    let fits = length > 0 && length <= limits::KEPT;
    (fits && !there && !call.asks.expects && !call.asks.upgrade).then_some(length)
}

/// Fills the body.
async fn collect(from: &mut Giver<'_, '_>, call: &mut Call, body: &mut [u8]) -> Result<(), Broke> {
    let mut came = match from {
        Giver::Bytes(_, buffer) => take(buffer, body),
        Giver::Frames(..) => 0,
    };
    let mut pace = Pace::of(&call.patience);
    pace.came(came);
    while came < body.len() {
        call.trail.received = came as u64;
        pace = pace.until(call.left());
        let rest = &mut body[came..];
        let more = match from {
            Giver::Bytes(read, _) => pace.wait(|| false, next_bytes(read, rest)).await,
            Giver::Frames(stream, answer) => {
                let (jam, grace) = (answer.borrow().jam(), call.patience.grace);
                pace.wait(|| jam.within(grace), next_content(stream, rest)).await
            }
        };
        let Some(bytes) = more? else {
            return Err(Broke::Malformed(Refusal::bad("a body of another length")));
        };
        pace.came(bytes);
        came += bytes;
    }
    call.trail.received = came as u64;
    Ok(())
}

/// Takes what came with the head; the buffer is given back if that was all.
fn take(buffer: &mut Option<Buffer>, into: &mut [u8]) -> usize {
    let Some(there) = buffer else { return 0 };
    let bytes = there.data().len().min(into.len());
    into[..bytes].copy_from_slice(&there.data()[..bytes]);
    there.consume(bytes);
    if there.is_empty() {
        *buffer = None;
    }
    bytes
}

/// The next bytes of a connection; whoever ends it in mid-body is gone.
async fn next_bytes(read: &mut Reading<'_>, into: &mut [u8]) -> std::io::Result<Option<usize>> {
    match wire::read(read, into).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        bytes => Ok(Some(bytes)),
    }
}

/// The next content of a stream; `None` where it is not of the length that was announced.
async fn next_content(stream: &mut RecvStream, into: &mut [u8]) -> std::io::Result<Option<usize>> {
    let Some(content) = frames::next(stream).await? else { return Ok(None) };
    // The client may send as much again. It fails only if the stream is gone, which the next look tells.
    let _ = stream.flow_control().release_capacity(content.len());
    let Some(room) = into.get_mut(..content.len()) else { return Ok(None) };
    room.copy_from_slice(&content);
    Ok(Some(content.len()))
}
