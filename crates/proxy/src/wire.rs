//! Reading and writing of sockets with limits of time.
//!
//! It knows bytes and deadlines and nothing of HTTP.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::buffer::Buffer;
use crate::limits;

/// Why bytes do not move any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// The peer is gone.
    Gone,
    /// The peer did nothing for too long.
    Late,
}

/// Waits for `work`, at most `limit`; `Duration::MAX` is no limit. What is done at once costs no
/// timer.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, Stuck> {
    let mut work = pin!(work);
    let done = match at_once(work.as_mut()).await {
        Some(done) => done,
        None if limit == Duration::MAX => work.await,
        None => tokio::time::timeout(limit, work).await.map_err(|_| Stuck::Late)?,
    };
    done.map_err(|_| Stuck::Gone)
}

/// What is done without waiting.
pub(crate) fn at_once<T>(
    mut work: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = Option<T>> {
    poll_fn(move |context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
}

/// Where bytes come from.
pub(crate) trait Source {
    /// Waits until a read would give something: bytes, the end or an error.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Reads.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>;
}

/// Where bytes go.
pub(crate) trait Sink {
    /// Writes some of the parts; what was written is underway or kept until a flush.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;
    /// Sends what was kept.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Says that nothing more will be written.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Source for ReadHalf<'_> {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.as_ref().poll_read_ready(context)
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = AsyncRead::poll_read(Pin::new(self), context, room);
        #[cfg(test)]
        crate::tracks::came(room.filled());
        polled
    }
}

impl Sink for WriteHalf<'_> {
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_plain(self, parts, context)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(self), context)
    }
}

/// Writes to a socket; for a single part the kernel has a shorter way.
pub(crate) fn poll_plain(
    half: &mut WriteHalf<'_>,
    parts: &[IoSlice<'_>],
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let polled = match parts {
        [part] => Pin::new(half).poll_write(context, part),
        _ => Pin::new(half).poll_write_vectored(context, parts),
    };
    #[cfg(test)]
    if let Poll::Ready(Ok(bytes)) = polled {
        crate::tracks::went(parts, bytes);
    }
    polled
}

/// Waits until a read would give something.
pub(crate) async fn ready(from: &mut impl Source) -> io::Result<()> {
    poll_fn(|context| from.poll_ready(context)).await
}

/// Reads what there is into the buffer; 0 is the end of the stream.
pub(crate) async fn fill(from: &mut impl Source, into: &mut Buffer) -> io::Result<usize> {
    poll_fn(|context| {
        let mut room = ReadBuf::new(into.room());
        ready!(from.poll_read(context, &mut room))?;
        let bytes = room.filled().len();
        into.filled(bytes);
        Poll::Ready(Ok(bytes))
    })
    .await
}

/// Reads what there is into `room`; 0 is the end of the stream.
pub(crate) async fn read(from: &mut impl Source, room: &mut [u8]) -> io::Result<usize> {
    poll_fn(|context| {
        let mut room = ReadBuf::new(room);
        ready!(from.poll_read(context, &mut room))?;
        Poll::Ready(Ok(room.filled().len()))
    })
    .await
}

/// Waits for bytes and reads them into a buffer that is lent when there are some; 0 is the end of the
/// stream. That a socket is ready may be a false alarm, as it is when it is new: then there is none.
pub(crate) async fn first(from: &mut impl Source, into: &mut Option<Buffer>) -> io::Result<usize> {
    poll_fn(|context| {
        let lent = ready!(poll_first(from, context))?;
        let bytes = lent.data().len();
        *into = Some(lent);
        Poll::Ready(Ok(bytes))
    })
    .await
}

/// The same; a buffer without bytes is the end of the stream.
pub(crate) fn poll_first(
    from: &mut impl Source,
    context: &mut Context<'_>,
) -> Poll<io::Result<Buffer>> {
    ready!(from.poll_ready(context))?;
    let mut lent = Buffer::lend();
    let mut room = ReadBuf::new(lent.room());
    ready!(from.poll_read(context, &mut room))?;
    let bytes = room.filled().len();
    lent.filled(bytes);
    Poll::Ready(Ok(lent))
}

/// Reads more, and lends the buffer only when there is something to put into it.
pub(crate) async fn more(
    from: &mut impl Source,
    into: &mut Option<Buffer>,
    limit: Duration,
) -> Result<usize, Stuck> {
    within(limit, some(from, into)).await
}

/// The same without a limit.
pub(crate) async fn some(from: &mut impl Source, into: &mut Option<Buffer>) -> io::Result<usize> {
    if into.as_ref().is_none_or(Buffer::is_empty) {
        *into = None;
        ready(from).await?;
    }
    fill(from, into.get_or_insert_with(Buffer::lend)).await
}

/// Writes all parts, in order; each step must move within `limit`.
pub(crate) async fn send(
    to: &mut impl Sink,
    parts: &[&[u8]],
    limit: Duration,
) -> Result<(), Stuck> {
    let mut slices = [IoSlice::new(&[]); 3];
    let mut count = 0;
    for (slice, part) in slices.iter_mut().zip(parts.iter().filter(|part| !part.is_empty())) {
        *slice = IoSlice::new(part);
        count += 1;
    }
    let mut rest = &mut slices[..count];
    while !rest.is_empty() {
        let step = poll_fn(|context| to.poll_write(context, rest));
        match within(limit, step).await? {
            0 => return Err(Stuck::Gone),
            bytes => IoSlice::advance_slices(&mut rest, bytes),
        }
    }
    within(limit, poll_fn(|context| to.poll_flush(context))).await
}

/// Says that nothing more will be written.
pub(crate) async fn finish(to: &mut impl Sink) {
    // The peer may be gone already; there is nothing to say to it then.
    let shutdown = poll_fn(|context| to.poll_shutdown(context));
    let _ = within(limits::CLOSE_QUIET, shutdown).await;
}

/// Makes the end of the connection, whatever causes it, a reset that the peer cannot take for the
/// end of a body; `false` takes that back. For bodies whose only end is the close.
pub(crate) fn end_with_reset(stream: &TcpStream, on: bool) {
    let linger = on.then_some(Duration::ZERO);
    if let Err(error) = rustix::net::sockopt::set_socket_linger(stream, linger) {
        tracing::debug!(%error, "cannot set SO_LINGER");
    }
}

/// Has the kernel find out about a silent peer whose host is gone. Accepted connections inherit it
/// from the listening socket.
pub(crate) fn keep_alive(socket: impl AsFd) {
    use rustix::net::sockopt;
    let socket = socket.as_fd();
    let set = sockopt::set_socket_keepalive(socket, true)
        .and_then(|()| sockopt::set_tcp_keepidle(socket, limits::KEEPALIVE_IDLE))
        .and_then(|()| sockopt::set_tcp_keepintvl(socket, limits::KEEPALIVE_EVERY))
        .and_then(|()| sockopt::set_tcp_keepcnt(socket, limits::KEEPALIVE_TRIES));
    if let Err(error) = set {
        tracing::debug!(%error, "cannot set SO_KEEPALIVE");
    }
}

/// True when the runtime has heard of nothing on a connection that should be silent. Costs no system
/// call, and may be late by one turn of the runtime's loop; who relies on it must be able to try again.
pub(crate) fn seems_silent(stream: &TcpStream) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    // What it heard may be read already: then the kernel knows.
    stream.poll_read_ready(&mut context).is_pending() || silent(stream)
}

/// True when a connection that should be silent is: no byte and no end has arrived. Asks the
/// kernel, since the runtime learns of a close only when it next polls.
pub(crate) fn silent(stream: &TcpStream) -> bool {
    use rustix::net::RecvFlags;
    let mut byte = [0_u8; 1];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    matches!(rustix::net::recv(stream, &mut byte, flags), Err(rustix::io::Errno::AGAIN))
}
