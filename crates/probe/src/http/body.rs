//! Where a body ends: by its length, by chunks, or by the end of the connection.
//!
//! It counts bytes and keeps none.

/// Longest line of a chunk's size with its extensions, and longest trailer in all, bytes.
const LINE_MAX: usize = 8 * 1024;

/// The framing of a body, with what is left of it.
#[derive(Debug)]
pub(super) enum Body {
    /// This many bytes are missing.
    Length(u64),
    /// Chunks, until the last one.
    Chunks(Chunks),
    /// Until the peer closes.
    UntilClose,
}

/// Place in a chunked body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    at: Place,
    /// Bytes of the present line, or of the trailers.
    seen: usize,
    /// Bytes of data missing in the present chunk.
    left: u64,
    digits: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Size,
    Extension,
    Data,
    AfterData,
    /// In the trailers, at the start of a line or not.
    Trailer {
        fresh: bool,
    },
}

/// What a piece of input meant for a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// All of it belonged to the body, which goes on.
    More,
    /// The body ended after this many bytes of the input.
    Ended(usize),
    /// It is no body.
    Wrong(&'static str),
}

impl Body {
    /// Takes input; `data` is shown every piece of content.
    pub(super) fn feed(&mut self, input: &[u8], mut data: impl FnMut(&[u8])) -> Fed {
        match self {
            Self::UntilClose => {
                data(input);
                Fed::More
            }
            Self::Length(left) => {
                let take = clamp(*left, input.len());
                data(&input[..take]);
                *left -= take as u64;
                if *left == 0 { Fed::Ended(take) } else { Fed::More }
            }
            Self::Chunks(chunks) => chunks.feed(input, &mut data),
        }
    }
}

impl Chunks {
    fn feed(&mut self, input: &[u8], data: &mut dyn FnMut(&[u8])) -> Fed {
        let mut at = 0;
        while at < input.len() {
            if self.at == Place::Data {
                let take = clamp(self.left, input.len() - at);
                data(&input[at..at + take]);
                self.left -= take as u64;
                at += take;
                if self.left == 0 {
                    self.line(Place::AfterData);
                }
                continue;
            }
            self.seen += 1;
            if self.seen > LINE_MAX {
                return Fed::Wrong("a chunk line or trailer of more than 8 KiB");
            }
            match self.step(input[at]) {
                Ok(false) => at += 1,
                Ok(true) => return Fed::Ended(at + 1),
                Err(why) => return Fed::Wrong(why),
            }
        }
        Fed::More
    }

    /// One byte outside of data; true when the body has ended.
    fn step(&mut self, byte: u8) -> Result<bool, &'static str> {
        let skipped = match self.at {
            Place::Size => self.digits > 0 && matches!(byte, b'\r' | b' ' | b'\t'),
            Place::AfterData => byte == b'\r' && self.seen == 1,
            Place::Trailer { fresh } => byte == b'\r' && fresh,
            Place::Extension => byte != b'\n',
            Place::Data => true,
        };
        if skipped {
            return Ok(false);
        }
        match (self.at, byte) {
            (Place::Size, b'\n') if self.digits > 0 => self.size_known(),
            (Place::Size, b';') if self.digits > 0 => self.at = Place::Extension,
            (Place::Size, _) => self.digit(byte)?,
            (Place::AfterData, b'\n') => self.line(Place::Size),
            (Place::AfterData, _) => return Err("a chunk longer than its size"),
            (Place::Trailer { fresh: true }, b'\n') => return Ok(true),
            // The end of its line: all else of an extension, and all data, was skipped above.
            (Place::Extension | Place::Data, _) => self.size_known(),
            (Place::Trailer { .. }, _) => self.at = Place::Trailer { fresh: byte == b'\n' },
        }
        Ok(false)
    }

    fn digit(&mut self, byte: u8) -> Result<(), &'static str> {
        let value = char::from(byte).to_digit(16).ok_or("a chunk size that is no number")?;
        if self.digits == 15 {
            return Err("a chunk size of more than 15 digits");
        }
        self.digits += 1;
        self.left = self.left * 16 + u64::from(value);
        Ok(())
    }

    fn size_known(&mut self) {
        self.digits = 0;
        self.line(if self.left == 0 { Place::Trailer { fresh: true } } else { Place::Data });
    }

    fn line(&mut self, at: Place) {
        self.at = at;
        self.seen = 0;
    }
}

fn clamp(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

#[cfg(test)]
mod tests {
    use super::{Body, Chunks, Fed};

    fn whole(pieces: &[&[u8]]) -> (Fed, Vec<u8>) {
        let mut body = Body::Chunks(Chunks::default());
        let mut data = Vec::new();
        let mut last = Fed::More;
        for piece in pieces {
            last = body.feed(piece, |bytes| data.extend_from_slice(bytes));
        }
        (last, data)
    }

    #[test]
    fn chunks_are_read_however_they_are_cut() {
        let text =
            b"5;name=\"x\"\r\nhello\r\n1 \r\n \r\n5\r\nworld\r\n0\r\nA: b\r\nC: d\r\n\r\nrest";
        let end = text.len() - 4;
        assert_eq!(whole(&[text]), (Fed::Ended(end), b"hello world".to_vec()));
        for cut in 1..end {
            let (last, data) = whole(&[&text[..cut], &text[cut..]]);
            assert_eq!(last, Fed::Ended(end - cut), "cut at {cut}");
            assert_eq!(data, b"hello world", "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text[..end].chunks(1).collect();
        assert_eq!(whole(&bytes), (Fed::Ended(1), b"hello world".to_vec()));
    }

    #[test]
    fn what_is_no_chunk_is_wrong_and_nothing_grows() {
        let long = [b"1;".as_slice(), &[b'x'; 9_000]].concat();
        for bad in [
            b"zz\r\n".as_slice(),
            b"\r\n",
            b"-1\r\n",
            b"1\r\nab\r\n",
            b"ffffffffffffffffff\r\n",
            &long,
        ] {
            assert!(matches!(whole(&[bad]).0, Fed::Wrong(_)), "{:?}", &bad[..bad.len().min(20)]);
        }
        assert_eq!(whole(&[b"5\r\nhel"]).0, Fed::More);
    }
}
