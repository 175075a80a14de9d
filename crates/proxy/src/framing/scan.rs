//! Finds the end of a head, byte by byte as it arrives, before anything is parsed.
//!
//! Lines must end in CRLF; a bare CR or LF is refused here, since parsers that disagree about them
//! are how requests are smuggled. It does not know what the lines mean.

use memchr::memchr;

use super::Refusal;
use crate::limits;

/// Progress through a head that is still arriving.
#[derive(Debug)]
pub(crate) struct HeadScan {
    most: usize,
    line_start: usize,
    scanned: usize,
    lines: usize,
    blank_first: bool,
}

impl Default for HeadScan {
    fn default() -> Self {
        Self::of_at_most(limits::HEAD)
    }
}

impl HeadScan {
    /// Before a head that may have so many bytes.
    pub(crate) const fn of_at_most(most: usize) -> Self {
        Self { most, line_start: 0, scanned: 0, lines: 0, blank_first: false }
    }

    /// Looks on; `bytes` is everything since the head began. Gives the length of the head once it
    /// is whole. One empty line before a request line is tolerated (RFC 9112 section 2.2).
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let seen = &bytes[..bytes.len().min(self.most)];
        while let Some(found) = memchr(b'\n', &seen[self.scanned..]) {
            let feed = self.scanned + found;
            let line = &seen[self.line_start..feed];
            let Some((b'\r', text)) = line.split_last() else {
                return Err(Refusal::bad("a line does not end in CRLF"));
            };
            if memchr(b'\r', text).is_some() {
                return Err(Refusal::bad("a bare CR in the head"));
            }
            self.line_start = feed + 1;
            self.scanned = feed + 1;
            if !text.is_empty() {
                self.lines += 1;
            } else if self.lines > 0 {
                return Ok(Some(feed + 1));
            } else if std::mem::replace(&mut self.blank_first, true) {
                return Err(Refusal::bad("empty lines before the head"));
            }
        }
        self.scanned = seen.len();
        if bytes.len() >= self.most {
            return Err(Refusal::with(431, "the head is too large"));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::HeadScan;
    use crate::limits;

    fn whole(bytes: &[u8]) -> Result<Option<usize>, u16> {
        HeadScan::default().advance(bytes).map_err(|refusal| refusal.status)
    }

    #[test]
    fn the_end_is_where_the_empty_line_ends() {
        assert_eq!(whole(b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest"), Ok(Some(24)));
        assert_eq!(whole(b"\r\nGET / HTTP/1.1\r\n\r\n"), Ok(Some(20)));
        assert_eq!(whole(b"GET / HTTP/1.1\r\nA: b\r\n"), Ok(None));
    }

    #[test]
    fn bare_ends_of_line_and_oversize_are_refused() {
        assert_eq!(whole(b"GET / HTTP/1.1\nA: b\r\n\r\n"), Err(400));
        assert_eq!(whole(b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n"), Err(400));
        assert_eq!(whole(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"), Err(400));
        assert_eq!(whole(&vec![b'a'; limits::HEAD]), Err(431));
        let head = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        for (most, fits) in [(head.len(), true), (head.len() - 1, false)] {
            assert_eq!(HeadScan::of_at_most(most).advance(head).is_ok(), fits, "{most}");
        }
    }
}
