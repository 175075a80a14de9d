//! How much of an answer's body has come, and whether it is whole.
//!
//! Follows RFC 9112 section 6 (chunked before length, length before close). It keeps the first
//! bytes for people and counts the others; it reads no sockets.

/// Bytes of a body that are kept to be shown.
const KEPT: usize = 80;
/// Longest line of chunked framing that is believed.
const LINE_MAX: usize = 8 * 1024;
/// A check is no download: a body longer than this is refused.
const BODY_MAX: u64 = 16 * 1024 * 1024;

/// What says where a body ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes (0 for answers without a body).
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// When the peer closes.
    UntilClose,
}

#[derive(Debug, PartialEq, Eq)]
enum Expecting {
    Bytes(u64),
    Anything,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailer,
    Nothing,
}

/// A body on its way.
#[derive(Debug)]
pub(super) struct Body {
    expecting: Expecting,
    line: Vec<u8>,
    /// The first bytes.
    pub(super) head: Vec<u8>,
    /// All bytes so far.
    pub(super) bytes: u64,
}

impl Body {
    pub(super) fn new(framing: &Framing) -> Self {
        let expecting = match framing {
            Framing::Length(0) => Expecting::Nothing,
            Framing::Length(n) => Expecting::Bytes(*n),
            Framing::Chunked => Expecting::ChunkSize,
            Framing::UntilClose => Expecting::Anything,
        };
        Self { expecting, line: Vec::new(), head: Vec::new(), bytes: 0 }
    }

    /// True when nothing more is expected.
    pub(super) fn whole(&self) -> bool {
        self.expecting == Expecting::Nothing
    }

    /// Takes what was read; says in words what is wrong with it.
    pub(super) fn feed(&mut self, mut input: &[u8]) -> Result<(), String> {
        while !input.is_empty() && !self.whole() {
            let taken = match self.expecting {
                Expecting::Bytes(left) => {
                    let n = self.keep(input, left);
                    self.expecting = match left - n as u64 {
                        0 => Expecting::Nothing,
                        rest => Expecting::Bytes(rest),
                    };
                    n
                }
                Expecting::ChunkData(left) => {
                    let n = self.keep(input, left);
                    self.expecting = match left - n as u64 {
                        0 => Expecting::ChunkEnd,
                        rest => Expecting::ChunkData(rest),
                    };
                    n
                }
                Expecting::Anything => self.keep(input, u64::MAX),
                _ => self.framing_line(input)?,
            };
            if self.bytes > BODY_MAX {
                return Err(format!("the body is longer than {} MiB", BODY_MAX >> 20));
            }
            input = &input[taken..];
        }
        Ok(())
    }

    /// The peer closed: was that the end, or too early?
    pub(super) fn closed(&self) -> Result<(), String> {
        match self.expecting {
            Expecting::Nothing | Expecting::Anything => Ok(()),
            Expecting::Bytes(left) => {
                Err(format!("the body ended {left} bytes early (after {})", self.bytes))
            }
            _ => Err(format!("the body ended before its last chunk (after {} bytes)", self.bytes)),
        }
    }

    fn keep(&mut self, input: &[u8], most: u64) -> usize {
        let n = input.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let room = KEPT - self.head.len();
        self.head.extend_from_slice(&input[..n.min(room)]);
        self.bytes += n as u64;
        n
    }

    fn framing_line(&mut self, input: &[u8]) -> Result<usize, String> {
        let end = input.iter().position(|b| *b == b'\n');
        let taken = end.map_or(input.len(), |at| at + 1);
        self.line.extend_from_slice(&input[..taken]);
        if self.line.len() > LINE_MAX {
            return Err("a line of the chunked framing is too long".into());
        }
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.expecting = self.after_line(line.trim_ascii())?;
        }
        Ok(taken)
    }

    fn after_line(&self, line: &[u8]) -> Result<Expecting, String> {
        match (&self.expecting, line.is_empty()) {
            (Expecting::ChunkSize, _) => match chunk_size(line) {
                Some(0) => Ok(Expecting::Trailer),
                Some(n) => Ok(Expecting::ChunkData(n)),
                None => Err("the size of a chunk is not a number".into()),
            },
            (Expecting::ChunkEnd, true) => Ok(Expecting::ChunkSize),
            (Expecting::ChunkEnd, false) => Err("a chunk is longer than it said".into()),
            (_, true) => Ok(Expecting::Nothing),
            (_, false) => Ok(Expecting::Trailer),
        }
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|b| *b == b';').next()?.trim_ascii();
    let text = std::str::from_utf8(digits).ok().filter(|t| !t.starts_with('+'))?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{Body, Framing};

    fn run(framing: &Framing, input: &[u8]) -> (Result<(), String>, Body) {
        let mut body = Body::new(framing);
        let mut result = Ok(());
        for byte in input {
            result = result.and_then(|()| body.feed(&[*byte]));
        }
        (result.and_then(|()| body.closed()), body)
    }

    #[test]
    fn chunks_are_put_together_byte_by_byte() {
        let (result, body) =
            run(&Framing::Chunked, b"3;x=1\r\nabc\r\n2\r\nde\r\n0\r\nDigest: x\r\n\r\n");
        assert_eq!(result, Ok(()));
        assert_eq!(body.head, b"abcde");
        assert!(body.whole());
    }

    #[test]
    fn a_body_that_ends_early_is_not_whole() {
        assert!(run(&Framing::Chunked, b"3\r\nabc\r\n0\r\n").0.is_err());
        assert!(run(&Framing::Chunked, b"3\r\nab").0.is_err());
        assert!(run(&Framing::Length(4), b"abc").0.is_err());
        assert!(run(&Framing::Length(3), b"abc").0.is_ok());
        assert!(run(&Framing::UntilClose, b"abc").0.is_ok());
    }

    #[test]
    fn broken_chunks_are_refused() {
        for bad in [&b"zz\r\n"[..], b"2\r\nabc\r\n", b"\r\n", b"+3\r\nabc", b"-1\r\n"] {
            assert!(run(&Framing::Chunked, bad).0.is_err(), "{bad:?}");
        }
    }
}
