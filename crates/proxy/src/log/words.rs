//! What a request said of itself, found again in the head that was sent to the instance.
//!
//! That head was written by us, line by line, so nothing is checked there. Of one that was refused the first
//! line alone is looked at, as far as it is one. What is found is escaped elsewhere.

use memchr::{memchr, memchr2};

/// Longest method that is told of a head that was refused, bytes.
const LONGEST_METHOD: usize = 32;
/// So much of its target is told at most, bytes.
const LONGEST_PATH: usize = 1024;

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
        if query { words } else { words.without_queries() }
    }

    /// Those of the first line of a head that was refused, which may have come in part only; and the version
    /// of its protocol. What does not look like a method makes no line.
    pub(crate) fn of_refused(head: &'a [u8]) -> (Self, &'static str) {
        // An empty line in front of a request is none of it.
        let head = head.strip_prefix(b"\r\n").unwrap_or(head);
        let end = memchr2(b'\r', b'\n', head);
        let line = &head[..end.unwrap_or(head.len())];
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let method = parts.next().unwrap_or_default();
        let is_method =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        if !(1..=LONGEST_METHOD).contains(&method.len()) || !method.iter().all(is_method) {
            return (Self::default(), "");
        }
        let Some(path) = parts.next() else { return (Self::default(), "") };
        let protocol = match parts.next() {
            Some(b"HTTP/1.1") => "HTTP/1.1",
            Some(b"HTTP/1.0") => "HTTP/1.0",
            _ => "",
        };
        let path = &path[..path.len().min(LONGEST_PATH)];
        (Self { method, path, ..Self::default() }, protocol)
    }

    /// The same but for the queries.
    pub(crate) fn without_queries(mut self) -> Self {
        let cut = |text: &'a [u8]| memchr(b'?', text).map_or(text, |at| &text[..at]);
        (self.path, self.referer) = (cut(self.path), cut(self.referer));
        self
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

    #[test]
    fn of_a_head_that_was_refused_the_first_line_is_told_as_far_as_it_is_one() {
        let long = format!("GET /{}", "x".repeat(5_000));
        let cut = format!("/{}", "x".repeat(1_023));
        let own = "v".repeat(33);
        for (head, method, path, protocol) in [
            ("GET /a?b HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET", "/a?b", "HTTP/1.1"),
            ("\r\nGET /a HTTP/1.0\n\n", "GET", "/a", "HTTP/1.0"),
            ("GET /a HTTP/3.7\r\n", "GET", "/a", ""),
            ("GET /a\x1b[31m\tb HTTP/1.1\r\n", "GET", "/a\x1b[31m\tb", "HTTP/1.1"),
            ("GET /a b c\r\n", "GET", "/a", ""),
            (&*long, "GET", &*cut, ""),
            ("GET", "", "", ""),
            ("\x16\x03\x01 /a HTTP/1.1\r\n", "", "", ""),
            (&*format!("{own} /a HTTP/1.1\r\n"), "", "", ""),
            (" /a HTTP/1.1\r\n", "", "", ""),
            ("\r\n", "", "", ""),
            ("", "", "", ""),
        ] {
            let (words, said) = Words::of_refused(head.as_bytes());
            assert_eq!(
                (words.method, words.path),
                (method.as_bytes(), path.as_bytes()),
                "{head:?}"
            );
            assert_eq!(said, protocol, "{head:?}");
        }
        let (words, _) = Words::of_refused(b"GET /a?token=1 HTTP/1.1\r\n");
        assert_eq!(words.without_queries().path, b"/a");
    }
}
