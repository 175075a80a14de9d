//! Splits a line into words as HAProxy does: blanks, quotes, backslashes, comments.
//!
//! Variables (`"${PORT}"`) stay as they are written: what they are is the running HAProxy's to know. What a
//! word means is not known here.

/// The words of a line; none of an empty one or a comment.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut splitting = Splitting::default();
    let mut quote = None;
    let mut chars = line.trim_end_matches('\r').chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '#') => break,
            (None, blank) if blank.is_ascii_whitespace() => splitting.end(),
            (None, '"' | '\'') => {
                quote = Some(c);
                // Nothing between quotes is a word too.
                splitting.open();
            }
            (Some(end), c) if c == end => quote = None,
            // Only within single quotes it is a character like any other.
            (None | Some('"'), '\\') => splitting.push(chars.next().map_or('\\', escaped)),
            (_, c) => splitting.push(c),
        }
    }
    splitting.end();
    splitting.words
}

/// The character that a backslash and this one mean.
const fn escaped(c: char) -> char {
    match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        c => c,
    }
}

#[derive(Default)]
struct Splitting {
    words: Vec<String>,
    word: Option<String>,
}

impl Splitting {
    fn open(&mut self) {
        self.word.get_or_insert_default();
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn end(&mut self) {
        self.words.extend(self.word.take());
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn quotes_backslashes_and_comments_are_read_as_haproxy_does() {
        for (line, wanted) in [
            ("  timeout   connect\t2s  # soon", &["timeout", "connect", "2s"][..]),
            ("log-format \"%ci # %r\" # x", &["log-format", "%ci # %r"]),
            ("acl a path_reg '^/a\\d #$'", &["acl", "a", "path_reg", "^/a\\d #$"]),
            ("acl a hdr(x) -m str a\\ b\\#c", &["acl", "a", "hdr(x)", "-m", "str", "a b#c"]),
            ("bind \"127.0.0.1:${PORT}\"", &["bind", "127.0.0.1:${PORT}"]),
            ("http-request set-header x \"\"", &["http-request", "set-header", "x", ""]),
            ("a\"b c\"'d'e\r", &["ab cde"]),
            ("mode http#tcp", &["mode", "http"]),
            ("string \"say \\\"hi\\\"\"", &["string", "say \"hi\""]),
            ("open \"to the end", &["open", "to the end"]),
            ("end \\", &["end", "\\"]),
            ("# all of it", &[]),
            ("", &[]),
        ] {
            assert_eq!(words(line), wanted, "{line}");
        }
    }
}
