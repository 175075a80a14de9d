//! Bodies: small ones that leave with their head in one write, one that keeps a count until its
//! last byte, and one that dies half-way.
//!
//! Nothing here knows what the bytes mean.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// The body of every answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A body of known length in one piece.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// Keeps `G` alive until the last byte was handed over or the client went away.
pub(super) struct Tracked<G> {
    inner: Body,
    _guard: G,
}

impl<G> Tracked<G> {
    pub(super) const fn new(inner: Body, guard: G) -> Self {
        Self { inner, _guard: guard }
    }
}

impl<G: Unpin> HttpBody for Tracked<G> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Gives the first half of a body's first piece, sees it flushed, and ends the process.
pub(super) struct Dying {
    inner: Body,
    stage: Stage,
}

enum Stage {
    Half,
    Flush,
    Die,
}

impl Dying {
    pub(super) const fn new(inner: Body) -> Self {
        Self { inner, stage: Stage::Half }
    }
}

impl HttpBody for Dying {
    type Data = Bytes;
    type Error = Infallible;

    /// hyper flushes its buffer whenever a body is pending, before it polls the body again. So one
    /// pending answer between the half and the end is enough to have the half on the wire.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.stage {
            Stage::Half => {
                let polled = Pin::new(&mut self.inner).poll_frame(context);
                if polled.is_ready() {
                    self.stage = Stage::Flush;
                }
                polled.map(|frame| {
                    frame.map(|frame| frame.map(|frame| frame.map_data(|d| d.slice(..d.len() / 2))))
                })
            }
            Stage::Flush => {
                self.stage = Stage::Die;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Stage::Die => die(),
        }
    }
}

#[expect(clippy::exit, reason = "the fault is that the process is gone in mid-answer")]
fn die() -> ! {
    std::process::exit(1)
}
