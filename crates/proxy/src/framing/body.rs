//! A body that passes through: how much of what was read belongs to it.
//!
//! It counts and checks; it neither reads nor writes.

use super::Refusal;
use super::chunks::{Chunks, Piece};
use super::fields::Announced;

/// The extent of a body and how far it has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// So many bytes are still to come; 0 is the end.
    Length(u64),
    /// Chunked.
    Chunked(Chunks),
    /// All bytes until the peer closes (answers only).
    UntilClose,
}

/// What may be passed on from the front of some input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Bytes that belong to the body, its framing included.
    pub(crate) bytes: usize,
    /// How many of them are framing and not content; of a single piece those at the front.
    pub(crate) framing: usize,
    /// True when the body ends here.
    pub(crate) done: bool,
}

impl Body {
    /// No body.
    pub(crate) const EMPTY: Self = Self::Length(0);

    /// The body of a request.
    pub(super) const fn of_request(announced: Announced) -> Self {
        match announced {
            Announced::Nothing => Self::EMPTY,
            Announced::Length(length) => Self::Length(length),
            Announced::Chunked => Self::Chunked(Chunks::new()),
        }
    }

    /// The body of an answer that may have one.
    pub(super) const fn of_answer(announced: Announced) -> Self {
        match announced {
            Announced::Nothing => Self::UntilClose,
            Announced::Length(length) => Self::Length(length),
            Announced::Chunked => Self::Chunked(Chunks::new()),
        }
    }

    /// True when its last byte was passed. A body until close never says so itself.
    pub(crate) const fn done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.done(),
            Self::UntilClose => false,
        }
    }

    /// True when what comes next are trailers or the end.
    pub(crate) const fn in_trailers(&self) -> bool {
        matches!(self, Self::Chunked(chunks) if chunks.in_trailers())
    }

    /// Takes as much of `input` as belongs to the body and is whole, framing and content mixed.
    pub(crate) fn pass(&mut self, input: &[u8]) -> Result<Passed, Refusal> {
        let (mut bytes, mut framing) = (0, 0);
        loop {
            let piece = self.piece(&input[bytes..])?;
            bytes += piece.bytes;
            framing += piece.framing;
            if piece.done || piece.bytes == 0 {
                return Ok(Passed { bytes, framing, done: piece.done });
            }
        }
    }

    /// Takes one stretch of `input`: either framing alone or content alone.
    pub(crate) fn piece(&mut self, input: &[u8]) -> Result<Passed, Refusal> {
        match self {
            Self::UntilClose => Ok(Passed { bytes: input.len(), framing: 0, done: false }),
            Self::Length(left) => {
                let bytes = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= bytes as u64;
                Ok(Passed { bytes, framing: 0, done: *left == 0 })
            }
            Self::Chunked(chunks) => {
                let (bytes, framing) = match chunks.next(input)? {
                    Piece::More | Piece::End => (0, 0),
                    Piece::Framing(bytes) => (bytes, bytes),
                    Piece::Data(bytes) => (bytes, 0),
                };
                Ok(Passed { bytes, framing, done: chunks.done() })
            }
        }
    }
}
