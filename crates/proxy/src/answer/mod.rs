//! From an instance to the client: one answer, as it arrives.
//!
//! Runs beside the upload of the request. It reports how the answer ended and never decides whether
//! the request is sent again.

mod by_frames;

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant as Moment};

use tokio::net::tcp::ReadHalf;
use tokio::time::Instant;

use crate::age::Age;
use crate::buffer::Buffer;
use crate::call::Asks;
use crate::frames::Taker;
use crate::framing::{Body, HeadScan, read_answer};
use crate::life::Shared;
use crate::limits;
use crate::replay::Failure;
use crate::said::{self, Shape, Stamp, Terms};
use crate::settings::Patience;
use crate::stream::Writing;
use crate::trail::Trail;
use crate::visitors::Visit;
use crate::wire::{self, Stuck};

/// What both directions of an exchange tell each other.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The whole request was sent, or the instance takes no more of it.
    pub(crate) sent: Cell<Option<Instant>>,
    /// The whole request was sent.
    pub(crate) whole: Cell<bool>,
    /// Bytes of the answer were passed on so many times.
    pub(crate) steps: Cell<u64>,
    /// A byte of the body was taken from the client.
    pub(crate) body_taken: Cell<bool>,
    /// The instance has ended its side, without an error.
    pub(crate) ended: Cell<bool>,
    /// A byte of an answer has come.
    pub(crate) heard: Cell<bool>,
    /// Something of an answer was passed on.
    pub(crate) informed: Cell<bool>,
    /// The final answer's head was passed on.
    pub(crate) begun: Cell<bool>,
    /// Its status, when that was, and whether it has no end of its own.
    pub(crate) first: Cell<Option<(u16, Moment, bool)>>,
    /// The client is waited for: to send more of its body.
    pub(crate) wants: Cell<bool>,
    /// The client is waited for: to take more of its answer.
    pub(crate) gives: Cell<bool>,
    /// Bytes of the request's body that were taken.
    pub(crate) received: Cell<u64>,
    /// Bytes of the final answer that were passed on.
    pub(crate) passed: Cell<u64>,
    /// How many of those are its head.
    pub(crate) head: Cell<u64>,
}

impl Progress {
    /// Some of the body was taken from the client.
    pub(crate) fn take(&self, bytes: usize) {
        if bytes > 0 {
            self.body_taken.set(true);
            self.received.set(self.received.get() + bytes as u64);
        }
    }

    fn pass(&self, bytes: usize) {
        self.passed.set(self.passed.get() + bytes as u64);
    }

    /// Tells a request's trail how far this try came.
    fn tell(&self, trail: &mut Trail) {
        trail.received += self.received.get();
        if let Some((status, at, endless)) = self.first.get() {
            (trail.status, trail.first) = (status, Some(at));
            trail.tunnel = endless.then_some(at);
            trail.sent = self.passed.get().saturating_sub(self.head.get());
        }
    }
}

/// Tells a trail how far a try came when that is over, also where it is dropped in the midst of it.
pub(crate) struct Telling<'a>(pub(crate) &'a Progress, pub(crate) &'a mut Trail);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.tell(self.1);
    }
}

/// How an answer ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Its last byte was handed to the client's socket.
    Whole {
        /// The client's connection stays open.
        keep: bool,
        /// The instance's connection may carry another request.
        reusable: bool,
    },
    /// The instance switches protocols: this head is for the client, these bytes come after it.
    Switched(Vec<u8>, Option<Buffer>),
    /// No final answer was passed on.
    Failed(Failure),
    /// The body ended too early; the client must not take it for whole.
    Cut,
    /// As `Cut`, since the time that the request may take was over.
    Overdue,
    /// A fault was injected: as `Cut`, but not the instance's fault.
    Injected,
    /// The client is gone.
    ClientGone,
}

/// One answer on its way.
pub(crate) struct Answer<'a, 'up> {
    /// The instance.
    pub(crate) from: &'a mut ReadHalf<'up>,
    /// What the request asks of the answer.
    pub(crate) asks: Asks,
    /// How long the instance is waited for.
    pub(crate) patience: Patience,
    /// Who answers what.
    pub(crate) stamp: Stamp<'a>,
    /// Its place in the instance's gate.
    pub(crate) claim: &'a Visit,
    /// Shared with the upload.
    pub(crate) progress: &'a Progress,
    /// Answers to be cut short.
    pub(crate) truncate: &'a AtomicU32,
    /// How old the client's connection is.
    pub(crate) age: Age,
    /// Says whether the process is ending: connections are not kept then.
    pub(crate) shared: &'a Shared,
}

/// A final head that was read and rewritten.
struct Head {
    status: u16,
    bytes: Vec<u8>,
    body: Body,
    shape: Shape,
    keep: bool,
    reusable: bool,
    /// It has no end of its own: it is no request that will be done, but a tunnel.
    endless: bool,
}

impl Answer<'_, '_> {
    /// Passes the answer on to its end.
    pub(crate) async fn run(mut self, mut to: Taker<'_, '_>) -> Ended {
        let mut buffer = None;
        let head = match self.final_head(&mut to, &mut buffer).await {
            Ok(head) => head,
            Err(ended) => return ended,
        };
        if head.status == 101 {
            return Ended::Switched(head.bytes, buffer);
        }
        match to {
            Taker::Frames(to) => self.frames(to, head, buffer).await,
            Taker::Bytes(to) if head.shape == Shape::Bare => {
                to.with_socket(|socket| wire::end_with_reset(socket, true));
                let ended = self.bytes(to, head, buffer).await;
                if matches!(ended, Ended::Whole { .. }) {
                    to.with_socket(|socket| wire::end_with_reset(socket, false));
                }
                ended
            }
            Taker::Bytes(to) => self.bytes(to, head, buffer).await,
        }
    }

    /// Reads heads until the final one, passing interim ones on.
    async fn final_head(
        &mut self,
        to: &mut Taker<'_, '_>,
        buffer: &mut Option<Buffer>,
    ) -> Result<Head, Ended> {
        for _ in 0..=limits::INTERIM {
            let length = self.whole_head(buffer).await?;
            let data = buffer.as_ref().map_or(&[][..], Buffer::data);
            let framed = matches!(to, Taker::Frames(_));
            let head =
                self.read(&data[..length], framed).ok_or(Ended::Failed(Failure::Malformed))?;
            if let Some(buffer) = buffer {
                buffer.consume(length);
            }
            if head.status >= 200 || head.status == 101 {
                return Ok(head);
            }
            if !self.asks.old_client {
                self.progress.informed.set(true);
                self.inform(to, &head.bytes).await?;
            }
        }
        Err(Ended::Failed(Failure::Malformed))
    }

    /// Waits for a whole head; gives its length.
    async fn whole_head(&mut self, buffer: &mut Option<Buffer>) -> Result<usize, Ended> {
        let mut scan = HeadScan::default();
        loop {
            let data = buffer.as_ref().map_or(&[][..], Buffer::data);
            match scan.advance(data) {
                Ok(Some(length)) => return Ok(length),
                Ok(None) => {}
                Err(_) => return Err(Ended::Failed(Failure::Malformed)),
            }
            let sent = self.progress.sent.get();
            let begins = self.patience.begins;
            let limit = match sent {
                Some(at) if begins < Duration::MAX => begins.saturating_sub(at.elapsed()),
                _ => begins,
            };
            match wire::more(self.from, buffer, limit).await {
                Ok(bytes) if bytes > 0 => self.progress.heard.set(true),
                Err(Stuck::Late) if sent.is_some() => return Err(Ended::Failed(Failure::Late)),
                // The request is still being sent; the upload has its own limit.
                Err(Stuck::Late) => {}
                Ok(_) => {
                    self.progress.ended.set(true);
                    return Err(Ended::Failed(Failure::Died));
                }
                _ => return Err(Ended::Failed(Failure::Died)),
            }
        }
    }

    /// Reads and rewrites one head.
    fn read(&self, head: &[u8], framed: bool) -> Option<Head> {
        let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
        let answer = read_answer(head, &mut room, self.asks.head_only).ok()?;
        if answer.status == 101 && !self.asks.upgrade {
            return None;
        }
        let shape =
            if framed { Shape::Frames } else { said::shape(&answer.body, self.asks.old_client) };
        // Who still waits for `100 Continue` may or may not send the body now: nobody could tell
        // it from the next request.
        let unsent = self.asks.expects && !self.progress.body_taken.get();
        // How long a connection of frames lives is not said in its answers.
        let over = || {
            let old = self.shared.ending() || self.age.is_over(self.patience.age);
            unsent || shape == Shape::Bare || old
        };
        let keep = self.asks.keep && (framed || !over());
        let terms = Terms { keep, old_client: self.asks.old_client, shape };
        let mut bytes = Vec::with_capacity(head.len() + 256);
        said::rewrite(&answer, terms, self.stamp, &mut bytes);
        Some(Head {
            status: answer.status,
            bytes,
            body: answer.body,
            shape,
            keep,
            reusable: answer.reusable,
            endless: answer.streams_events(),
        })
    }

    /// Passes head and body on.
    async fn bytes(
        &mut self,
        to: &mut Writing<'_>,
        head: Head,
        mut buffer: Option<Buffer>,
    ) -> Ended {
        let Head { status, bytes: mut prefix, mut body, shape, keep, reusable, endless } = head;
        self.progress.head.set(prefix.len() as u64);
        let cut = !body.done() && take_one(self.truncate);
        let _alone = endless.then(|| self.shared.tunnels());
        loop {
            let data = buffer.as_ref().map_or(&[][..], Buffer::data);
            let Ok(step) = Step::next(&mut body, shape, data) else {
                return self.broken();
            };
            if shape == Shape::Chunk && step.content > 0 {
                prefix.extend_from_slice(format!("{:x}\r\n", step.content).as_bytes());
            }
            self.begins(status, endless);
            if cut && step.content > 0 {
                let _ = self.send(to, &[&prefix, &data[..step.content / 2]]).await;
                return Ended::Injected;
            }
            let end: &[u8] = if shape == Shape::Chunk && step.content > 0 { b"\r\n" } else { b"" };
            let content = &data[..step.content];
            let sent = if !prefix.is_empty() && content.len() <= limits::JOINED {
                // Copying so little costs less than a list of parts, if it is done once.
                prefix.reserve(content.len() + end.len());
                prefix.extend_from_slice(content);
                prefix.extend_from_slice(end);
                self.send(to, &[&prefix]).await
            } else {
                self.send(to, &[&prefix, content, end]).await
            };
            if let Err(ended) = sent {
                return ended;
            }
            prefix.clear();
            let left = buffer.as_mut().map_or(0, |buffer| {
                buffer.consume(step.bytes);
                buffer.data().len()
            });
            if body.done() {
                return Ended::Whole { keep, reusable: reusable && left == 0 };
            }
            if left > 0 && step.bytes > 0 {
                continue;
            }
            match wire::more(self.from, &mut buffer, self.patience.silence).await {
                Ok(0) if matches!(body, Body::UntilClose) => {
                    return self.closed(to, shape, keep).await;
                }
                Ok(bytes) if bytes > 0 => {}
                _ => return Ended::Cut,
            }
        }
    }

    /// The instance ended its body by closing.
    async fn closed(&mut self, to: &mut Writing<'_>, shape: Shape, keep: bool) -> Ended {
        if shape == Shape::Chunk
            && let Err(ended) = self.send(to, &[b"0\r\n\r\n"]).await
        {
            return ended;
        }
        Ended::Whole { keep, reusable: false }
    }

    fn broken(&self) -> Ended {
        if self.progress.begun.get() { Ended::Cut } else { Ended::Failed(Failure::Malformed) }
    }

    /// The head of the final answer is passed on: nothing is sent again from here on.
    fn begins(&self, status: u16, endless: bool) {
        if self.progress.begun.replace(true) {
            return;
        }
        self.progress.first.set(Some((status, Moment::now(), endless)));
        self.stamp.gate.counters.answer(status);
        if endless {
            self.claim.become_tunnel();
        }
    }

    fn step(&self) {
        self.progress.steps.set(self.progress.steps.get() + 1);
    }

    async fn send(&mut self, to: &mut Writing<'_>, parts: &[&[u8]]) -> Result<(), Ended> {
        self.step();
        self.progress.gives.set(true);
        wire::send(to, parts, self.patience.reads).await.map_err(|_| Ended::ClientGone)?;
        self.progress.gives.set(false);
        self.progress.pass(parts.iter().map(|part| part.len()).sum());
        Ok(())
    }
}

/// What is passed on next of what was read.
struct Step {
    /// Bytes to take from the buffer.
    bytes: usize,
    /// Bytes of those, from the front, to send.
    content: usize,
}

impl Step {
    fn next(body: &mut Body, shape: Shape, data: &[u8]) -> Result<Self, crate::framing::Refusal> {
        let passed = if shape == Shape::Bare { body.piece(data)? } else { body.pass(data)? };
        let hidden = if shape == Shape::Bare { passed.framing } else { 0 };
        Ok(Self { bytes: passed.bytes, content: passed.bytes - hidden })
    }
}

/// Takes one of the answers that are to be cut short.
fn take_one(truncate: &AtomicU32) -> bool {
    truncate.load(Ordering::Relaxed) > 0
        && truncate
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok()
}
