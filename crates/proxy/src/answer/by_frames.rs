//! The body of an answer as HTTP/2 frames: content without its framing, trailers as fields.
//!
//! Heads are in `frames`; when an answer begins and ends is decided in `mod`.

use std::cell::RefCell;

use super::{Answer, Ended, Head, take_one};
use crate::buffer::Buffer;
use crate::frames::{self, Outgoing, Taker};
use crate::framing::Body;
use crate::pace::Pace;
use crate::wire;

impl Answer<'_, '_> {
    /// Passes head and body on.
    pub(super) async fn frames(
        &mut self,
        to: &RefCell<Outgoing>,
        head: Head,
        mut buffer: Option<Buffer>,
    ) -> Ended {
        let Head { status, bytes, mut body, reusable, endless, .. } = head;
        let cut = !body.done() && take_one(self.truncate);
        if to.borrow_mut().begin(&bytes, body.done()).is_err() {
            return Ended::ClientGone;
        }
        drop(bytes);
        self.begins(status, endless);
        let pace = Pace::of_answer(&self.patience, self.patience.reads);
        // As with other tunnels, what is silent most of the time may be slow.
        let mut pace = if endless { pace.at_any_rate() } else { pace };
        let mut trailers = Vec::new();
        while !body.done() {
            let data = buffer.as_ref().map_or(&[][..], Buffer::data);
            let in_trailers = body.in_trailers();
            let Ok(piece) = body.piece(data) else { return Ended::Cut };
            let (passed, _) = data.split_at(piece.bytes);
            let content = &passed[piece.framing..];
            if in_trailers {
                trailers.extend_from_slice(passed);
            }
            if !content.is_empty() {
                self.step();
                let part = if cut { &content[..content.len() / 2] } else { content };
                self.progress.gives.set(true);
                if frames::send(to, part, piece.done && !cut, &mut pace).await.is_err() {
                    return Ended::ClientGone;
                }
                self.progress.gives.set(false);
                self.progress.pass(part.len());
                if cut {
                    return Ended::Injected;
                }
            }
            if let Some(buffer) = &mut buffer {
                buffer.consume(piece.bytes);
            }
            if piece.bytes > 0 {
                continue;
            }
            match wire::more(self.from, &mut buffer, self.patience.silence).await {
                Ok(0) if matches!(body, Body::UntilClose) => break,
                Ok(bytes) if bytes > 0 => {}
                _ => return Ended::Cut,
            }
        }
        let counted = matches!(body, Body::Length(_));
        if !counted && to.borrow_mut().end(&trailers).is_err() {
            return Ended::ClientGone;
        }
        let left = buffer.as_ref().is_some_and(|buffer| !buffer.is_empty());
        let reusable = reusable && !left && !matches!(body, Body::UntilClose);
        Ended::Whole { keep: true, reusable }
    }

    /// Passes an interim head on.
    pub(super) async fn inform(&self, to: &mut Taker<'_, '_>, head: &[u8]) -> Result<(), Ended> {
        self.step();
        let informed = match to {
            Taker::Bytes(to) => wire::send(*to, &[head], self.patience.reads).await,
            Taker::Frames(to) => to.borrow_mut().inform(head),
        };
        informed.map_err(|_| Ended::ClientGone)
    }
}
