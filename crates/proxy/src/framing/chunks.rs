//! The chunked coding (RFC 9112 section 7.1), checked strictly so that it can be passed on as is.
//!
//! Only bytes that were found correct are released, line by line. It does not decode into a copy;
//! it says which bytes are framing and which are data.

use memchr::memchr;

use super::Refusal;
use super::fields::{Field, classify};
use crate::limits;

/// What comes next in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// More input is needed.
    More,
    /// That many bytes of sizes, line ends and trailers.
    Framing(usize),
    /// That many bytes of data.
    Data(usize),
    /// The body is over.
    End,
}

/// Where in the coding we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers(usize),
    Done,
}

/// A chunked body that is passing through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks(State);

impl Chunks {
    /// At its beginning.
    pub(crate) const fn new() -> Self {
        Self(State::Size)
    }

    /// True when the last byte was released.
    pub(crate) const fn done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// True behind the last chunk.
    pub(crate) const fn in_trailers(&self) -> bool {
        matches!(self.0, State::Trailers(_))
    }

    /// Releases the next piece of `input`, which begins where the last piece ended.
    pub(crate) fn next(&mut self, input: &[u8]) -> Result<Piece, Refusal> {
        match self.0 {
            State::Size => self.size(input),
            State::Data(left) => {
                let now = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                if now == 0 {
                    return Ok(Piece::More);
                }
                let left = left - now as u64;
                self.0 = if left == 0 { State::DataEnd } else { State::Data(left) };
                Ok(Piece::Data(now))
            }
            State::DataEnd => {
                if !b"\r\n".starts_with(&input[..input.len().min(2)]) {
                    return Err(Refusal::bad("a chunk is longer than its size"));
                }
                if input.len() < 2 {
                    return Ok(Piece::More);
                }
                self.0 = State::Size;
                Ok(Piece::Framing(2))
            }
            State::Trailers(used) => self.trailer(input, used),
            State::Done => Ok(Piece::End),
        }
    }

    fn size(&mut self, input: &[u8]) -> Result<Piece, Refusal> {
        let Some(line) = line(input, limits::CHUNK_LINE, "a chunk size is too long")? else {
            return Ok(Piece::More);
        };
        self.0 = match chunk_size(line)? {
            0 => State::Trailers(0),
            size => State::Data(size),
        };
        Ok(Piece::Framing(line.len() + 2))
    }

    fn trailer(&mut self, input: &[u8], used: usize) -> Result<Piece, Refusal> {
        let Some(line) = line(input, limits::TRAILER_LINE, "a trailer is too long")? else {
            return Ok(Piece::More);
        };
        let used = used + line.len() + 2;
        if used > limits::TRAILERS {
            return Err(Refusal::with(431, "the trailers are too large"));
        }
        if line.is_empty() {
            self.0 = State::Done;
        } else {
            check_trailer(line)?;
            self.0 = State::Trailers(used);
        }
        Ok(Piece::Framing(line.len() + 2))
    }
}

/// The next line without its CRLF, once it is whole.
fn line<'i>(input: &'i [u8], most: usize, why: &'static str) -> Result<Option<&'i [u8]>, Refusal> {
    let seen = &input[..input.len().min(most)];
    let Some(feed) = memchr(b'\n', seen) else {
        return if input.len() >= most { Err(Refusal::bad(why)) } else { Ok(None) };
    };
    match seen[..feed].split_last() {
        Some((b'\r', text)) if memchr(b'\r', text).is_none() => Ok(Some(text)),
        _ => Err(Refusal::bad("a bare CR or LF in a chunked body")),
    }
}

/// Hexadecimal digits, at most 15 of them, then nothing or an extension of visible characters.
fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    let plain = extension.is_empty()
        || (extension[0] == b';' && extension.iter().all(u8::is_ascii_graphic));
    std::str::from_utf8(size)
        .ok()
        .filter(|size| plain && (1..=15).contains(&size.len()))
        .and_then(|size| u64::from_str_radix(size, 16).ok())
        .ok_or(Refusal::bad("malformed chunk size"))
}

/// A trailer must be a field, and none that means something to framing or forwarding.
pub(crate) fn check_trailer(line: &[u8]) -> Result<(), Refusal> {
    let mut room = [httparse::EMPTY_HEADER; 1];
    let mut whole = Vec::with_capacity(line.len() + 4);
    whole.extend_from_slice(line);
    whole.extend_from_slice(b"\r\n\r\n");
    match httparse::parse_headers(&whole, &mut room) {
        Ok(httparse::Status::Complete((length, [field])))
            if length == whole.len() && classify(field.name) == Field::Other =>
        {
            Ok(())
        }
        Ok(_) => Err(Refusal::bad("a trailer that must not be one")),
        Err(error) => Err(Refusal::of(error)),
    }
}
