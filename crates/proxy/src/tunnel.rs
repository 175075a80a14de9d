//! An upgraded connection: bytes both ways until both sides have ended.
//!
//! It has no timeouts and does not look into what it carries.

use std::cell::Cell;
use std::time::Duration;

use crate::buffer::Buffer;
use crate::wire::{self, Sink, Source, Stuck};

/// Pumps one direction to its end, what was read already first, and passes the end on.
async fn pump(
    from: &mut impl Source,
    mut buffer: Option<Buffer>,
    (to, carried): (&mut impl Sink, &Cell<u64>),
) -> Result<(), Stuck> {
    loop {
        if let Some(buffer) = &mut buffer {
            wire::send(to, &[buffer.data()], Duration::MAX).await?;
            carried.set(carried.get() + buffer.data().len() as u64);
            buffer.consume(buffer.data().len());
        }
        if wire::more(from, &mut buffer, Duration::MAX).await? == 0 {
            wire::finish(to).await;
            return Ok(());
        }
    }
}

/// One end of a tunnel, with what was read from it already.
pub(crate) struct End<'a, R, W> {
    /// From the peer.
    pub(crate) read: &'a mut R,
    /// To the peer.
    pub(crate) write: &'a mut W,
    /// Read and not passed on.
    pub(crate) buffer: Option<Buffer>,
}

/// Carries until both ends are done, or one breaks; `carried` counts the bytes that went from the first
/// to the other, and back.
pub(crate) async fn carry(
    one: End<'_, impl Source, impl Sink>,
    other: End<'_, impl Source, impl Sink>,
    carried: &[Cell<u64>; 2],
) {
    let there = pump(one.read, one.buffer, (other.write, &carried[0]));
    let back = pump(other.read, other.buffer, (one.write, &carried[1]));
    // A broken end ends both: dropping the sockets tells the peers.
    let _ = tokio::try_join!(there, back);
}
