//! What a request said of itself, found again in the head that was sent to the instance.
//!
//! That head was written by us, line by line, so nothing is checked here.

use memchr::memchr;

/// Words of one request; empty where it had none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Words<'a> {
    /// Its method.
    pub(crate) method: &'a [u8],
    /// Its target: path and query.
    pub(crate) path: &'a [u8],
    /// The host it asked for.
    pub(crate) host: &'a [u8],
    /// `Referer`.
    pub(crate) referer: &'a [u8],
    /// `User-Agent`.
    pub(crate) agent: &'a [u8],
}

impl<'a> Words<'a> {
    /// Reads them; the query is left out unless `query`. That of a referer goes with it: it is a
    /// target of our own as often as not.
    pub(crate) fn of(head: &'a [u8], query: bool) -> Self {
        let mut words = Self::default();
        let mut lines = Lines(head);
        let first = lines.next().unwrap_or_default();
        let mut parts = first.split(|byte| *byte == b' ');
        words.method = parts.next().unwrap_or_default();
        words.path = parts.next().unwrap_or_default();
        for line in lines {
            if let Some(value) = value(line, b"host: ") {
                words.host = value;
            } else if let Some(value) = value(line, b"user-agent: ") {
                words.agent = value;
            } else if let Some(value) = value(line, b"referer: ") {
                words.referer = value;
            }
        }
        if !query {
            let cut = |text: &'a [u8]| memchr(b'?', text).map_or(text, |at| &text[..at]);
            (words.path, words.referer) = (cut(words.path), cut(words.referer));
        }
        words
    }
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr(b'\r', self.0)?;
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.get(2..).unwrap_or_default();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn a_query_can_be_kept_out_of_the_log() {
        let head = b"GET /a?token=1 HTTP/1.1\r\nhost: a.test\r\nUser-Agent: me\r\n\
                     Referer: http://a.test/b?c\r\nx: y\r\n\r\n";
        let whole = Words::of(head, true);
        assert_eq!((whole.method, whole.path), (&b"GET"[..], &b"/a?token=1"[..]));
        assert_eq!((whole.host, whole.agent), (&b"a.test"[..], &b"me"[..]));
        assert_eq!(whole.referer, b"http://a.test/b?c");
        let cut = Words::of(head, false);
        assert_eq!((cut.path, cut.referer), (&b"/a"[..], &b"http://a.test/b"[..]));
        assert_eq!(Words::of(b"", true).method, b"");
    }
}
