//! A byte stream to the target: TCP or a unix socket, plain or with TLS on it.
//!
//! It opens nothing and knows no HTTP. What it adds to its parts is the look at an idle connection:
//! has the peer ended it?

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use model::attempt::Ending;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// What the kernel carries.
#[derive(Debug)]
pub(crate) enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What a request goes out on.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>),
}

impl Stream {
    /// How an idle connection has ended, if it has. Asks the kernel itself: the runtime may not have
    /// heard of the end yet. Bytes that nobody asked for (some servers send a 408) end it too.
    pub(crate) fn ending(&mut self) -> Option<Ending> {
        match self {
            Self::Plain(wire) => {
                match recv(wire, &mut [0_u8], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                    Err(Errno::AGAIN | Errno::INTR) => None,
                    Ok(_) => Some(Ending::IdleByPeer),
                    Err(_) => Some(Ending::Reset),
                }
            }
            Self::Tls(stream) => ending_of(stream),
        }
    }

    /// Lets the kernel hold little of an answer, so that a slow reader is slow for the server, too. Not as little
    /// as it can: a peer that writes in pieces would wait for a fifth of a second again and again until one has
    /// room, where a segment is larger than the window (65,483 bytes on the loopback). A hint: where it is refused
    /// the transfer is just less slow.
    pub(crate) fn take_little(&self) {
        let wire = match self {
            Self::Plain(wire) => wire,
            Self::Tls(stream) => stream.get_ref().0,
        };
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(wire, 64 * 1024);
    }

    /// The protocol that both sides agreed on in the handshake.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }
}

/// What has come on an idle TLS connection may be a session ticket: that is no end.
fn ending_of(stream: &mut TlsStream<Wire>) -> Option<Ending> {
    let (wire, session) = stream.get_mut();
    loop {
        match session.read_tls(&mut Now(wire)) {
            Ok(0) => return Some(Ending::IdleByPeer),
            Ok(_) => match session.process_new_packets() {
                Ok(state) if state.peer_has_closed() || state.plaintext_bytes_to_read() > 0 => {
                    return Some(Ending::IdleByPeer);
                }
                Ok(_) => {}
                Err(_) => return Some(Ending::IdleByPeer),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => return Some(Ending::Reset),
        }
    }
}

/// Reads what the kernel has now, past the runtime.
struct Now<'a>(&'a Wire);

impl io::Read for Now<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match recv(self.0, buffer, RecvFlags::DONTWAIT) {
            Ok((read, _)) => Ok(read),
            Err(Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

/// Passes a call on to whatever carries the bytes.
macro_rules! carried {
    ($this:expr, $inner:ident => $call:expr) => {
        match $this.get_mut() {
            Self::Tcp($inner) => $call,
            Self::Unix($inner) => $call,
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        carried!(self, inner => Pin::new(inner).poll_read(context, buffer))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        carried!(self, inner => Pin::new(inner).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(self, inner => Pin::new(inner).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(self, inner => Pin::new(inner).poll_shutdown(context))
    }
}

/// The same one level up.
macro_rules! layered {
    ($this:expr, $inner:ident => $call:expr) => {
        match $this.get_mut() {
            Self::Plain($inner) => $call,
            Self::Tls($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        layered!(self, inner => Pin::new(inner).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        layered!(self, inner => Pin::new(inner).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        layered!(self, inner => Pin::new(inner).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        layered!(self, inner => Pin::new(inner).poll_shutdown(context))
    }
}
