//! The client's side of an exchange: where a request comes from and its answer goes, and what becomes of
//! the connection.
//!
//! Types alone: nothing is read or written here.

use crate::buffer::Buffer;
use crate::frames::Frames;
use crate::stream::{Reading, Writing};
use crate::tunnel::Tunnel;
use crate::upload::Giver;

/// The client's side of an exchange.
pub(crate) enum Client<'a, 'io> {
    /// A connection that carries one exchange at a time.
    Bytes(&'a mut Connection<'io>),
    /// A stream of a connection that carries many.
    Frames(&'a mut Frames),
}

impl<'io> Client<'_, 'io> {
    /// Where its request comes from.
    pub(crate) const fn giver(&mut self) -> Giver<'_, 'io> {
        match self {
            Self::Bytes(Connection { read, buffer, .. }) => Giver::Bytes(read, buffer),
            Self::Frames(Frames { incoming, outgoing }) => Giver::Frames(incoming, outgoing),
        }
    }
}

/// A client's connection that carries one exchange at a time.
pub(crate) struct Connection<'io> {
    /// From the client.
    pub(crate) read: Reading<'io>,
    /// To the client.
    pub(crate) write: Writing<'io>,
    /// What was read from it and not yet used.
    pub(crate) buffer: Option<Buffer>,
    /// What it has become, if it carries a tunnel from now on.
    pub(crate) tunnel: Option<Box<Tunnel>>,
}

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It takes the next request.
    Keep,
    /// It was told that it ends; unread data must not destroy the answer.
    Close,
    /// It ends now, and the client must not take what it has for whole.
    Abort,
    /// The client has ended it.
    Gone,
    /// It carries a tunnel from now on.
    Switched,
}
