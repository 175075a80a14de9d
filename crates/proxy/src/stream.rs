//! A client's connection as bytes, with or without TLS: its two halves.
//!
//! The halves of a TLS connection share its state; both are polled by the one task that serves the
//! connection, never at once.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio_rustls::server::TlsStream;

use crate::buffer::Buffer;
use crate::wire::{self, Sink, Source};

/// A TLS connection that both halves reach.
type Shared = RefCell<TlsStream<TcpStream>>;

/// From the client.
pub(crate) enum Reading<'io> {
    /// As it comes.
    Plain(ReadHalf<'io>),
    /// Over TLS.
    Secure(&'io Shared),
}

/// To the client.
pub(crate) enum Writing<'io> {
    /// As it is.
    Plain(WriteHalf<'io>),
    /// Over TLS.
    Secure(&'io Shared),
}

impl Source for Reading<'_> {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(half) => half.poll_ready(context),
            Self::Secure(shared) => {
                let mut stream = shared.borrow_mut();
                let (socket, session) = stream.get_mut();
                // What has been read from the socket already does not make it readable again.
                match session.process_new_packets() {
                    Ok(state)
                        if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() =>
                    {
                        socket.poll_read_ready(context)
                    }
                    _ => Poll::Ready(Ok(())),
                }
            }
        }
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(half) => Source::poll_read(half, context, room),
            Self::Secure(shared) => {
                let polled = Pin::new(&mut *shared.borrow_mut()).poll_read(context, room);
                #[cfg(test)]
                crate::tracks::came(room.filled());
                polled
            }
        }
    }
}

impl Sink for Writing<'_> {
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(half) => wire::poll_plain(half, parts, context),
            Self::Secure(shared) => {
                let polled =
                    Pin::new(&mut *shared.borrow_mut()).poll_write_vectored(context, parts);
                #[cfg(test)]
                seen(parts, &polled);
                polled
            }
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Secure(shared) => Pin::new(&mut *shared.borrow_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(half) => Pin::new(half).poll_shutdown(context),
            Self::Secure(shared) => Pin::new(&mut *shared.borrow_mut()).poll_shutdown(context),
        }
    }
}

/// Both halves as one, for a protocol crate; what was read ahead comes first.
pub(crate) struct Whole<'io, S> {
    stream: &'io RefCell<S>,
    ahead: Option<Buffer>,
}

impl<'io, S> Whole<'io, S> {
    /// The stream stays with its owner.
    pub(crate) const fn new(stream: &'io RefCell<S>, ahead: Option<Buffer>) -> Self {
        Self { stream, ahead }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Whole<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        #[cfg(test)]
        let before = room.filled().len();
        let Some(ahead) = &mut self.ahead else {
            let polled = Pin::new(&mut *self.stream.borrow_mut()).poll_read(context, room);
            #[cfg(test)]
            crate::tracks::came(&room.filled()[before..]);
            return polled;
        };
        let bytes = ahead.data().len().min(room.remaining());
        room.put_slice(&ahead.data()[..bytes]);
        #[cfg(test)]
        crate::tracks::lie(&room.filled()[before..]);
        ahead.consume(bytes);
        if ahead.is_empty() {
            self.ahead = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Whole<'_, S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.stream.borrow_mut()).poll_write(context, bytes);
        #[cfg(test)]
        seen(&[IoSlice::new(bytes)], &polled);
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.stream.borrow_mut()).poll_write_vectored(context, parts);
        #[cfg(test)]
        seen(parts, &polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(context)
    }
}

/// Has the tests see where what was written lay.
#[cfg(test)]
fn seen(parts: &[IoSlice<'_>], written: &Poll<io::Result<usize>>) {
    if let Poll::Ready(Ok(bytes)) = written {
        crate::tracks::went(parts, *bytes);
    }
}

impl Writing<'_> {
    /// Something about the socket itself.
    pub(crate) fn with_socket(&self, act: impl FnOnce(&TcpStream)) {
        match self {
            Self::Plain(half) => act(half.as_ref()),
            Self::Secure(shared) => act(shared.borrow().get_ref().0),
        }
    }
}
