//! Cuts Rust text into words, marks, literals and comments.
//!
//! Just enough for the laws: strings and comments must not look like code. Does not check syntax
//! and never fails; text it does not understand becomes single-character marks.

/// Sort of a [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Identifier, keyword or lifetime.
    Word,
    /// `::` or one other character.
    Mark,
    /// String, character or number.
    Literal,
    /// Line or block comment, documentation included.
    Comment,
}

/// A piece of Rust text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'t> {
    /// Its sort.
    pub(crate) kind: Kind,
    /// As written.
    pub(crate) text: &'t str,
    /// Line on which it begins, from 1.
    pub(crate) line: usize,
}

/// All tokens of `text`, comments among them.
pub(crate) fn lex(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = measure(rest, first);
        let (piece, after) = rest.split_at(length);
        if let Some(kind) = kind {
            tokens.push(Token { kind, text: piece, line });
        }
        line += piece.matches('\n').count();
        rest = after;
    }
    tokens
}

/// Sort and length in bytes of what `rest` begins with; no sort for white space.
fn measure(rest: &str, first: char) -> (Option<Kind>, usize) {
    if first.is_whitespace() {
        (None, first.len_utf8())
    } else if rest.starts_with("//") {
        (Some(Kind::Comment), rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        (Some(Kind::Comment), block_comment(rest))
    } else if let Some(length) = string(rest) {
        (Some(Kind::Literal), length)
    } else if first == '\'' {
        quote(rest)
    } else if first.is_alphabetic() || first == '_' {
        let start = if rest.starts_with("r#") { 2 } else { 0 };
        (Some(Kind::Word), start + run(&rest[start..], is_word))
    } else if first.is_ascii_digit() {
        (Some(Kind::Literal), run(rest, is_word))
    } else if rest.starts_with("::") {
        (Some(Kind::Mark), 2)
    } else {
        (Some(Kind::Mark), first.len_utf8())
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Length of the prefix whose characters all satisfy `wanted`.
fn run(text: &str, wanted: fn(char) -> bool) -> usize {
    text.find(|letter| !wanted(letter)).unwrap_or(text.len())
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of the string `rest` begins with, if it begins with one.
fn string(rest: &str) -> Option<usize> {
    let prefix = run(rest, |letter| matches!(letter, 'b' | 'c' | 'r'));
    let body = &rest[prefix..];
    if !matches!(&rest[..prefix], "" | "b" | "c" | "r" | "br" | "cr") {
        return None;
    }
    if rest[..prefix].ends_with('r') {
        let hashes = run(body, |letter| letter == '#');
        let inside = body[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let length = inside.find(&close).map_or(inside.len(), |end| end + close.len());
        return Some(prefix + hashes + 1 + length);
    }
    body.starts_with('"').then(|| prefix + escaped(body, b'"'))
}

/// Length of a literal that begins and ends with `end`, where a backslash hides what follows it.
fn escaped(body: &str, end: u8) -> usize {
    let bytes = body.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == end => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A character or a lifetime.
fn quote(rest: &str) -> (Option<Kind>, usize) {
    let mut letters = rest.chars().skip(1);
    match (letters.next(), letters.next()) {
        (Some('\\'), _) => (Some(Kind::Literal), escaped(rest, b'\'')),
        (Some(letter), Some('\'')) => (Some(Kind::Literal), 2 + letter.len_utf8()),
        _ => (Some(Kind::Word), 1 + run(&rest[1..], is_word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<&str> {
        lex(text).iter().filter(|t| t.kind != Kind::Comment).map(|t| t.text).collect()
    }

    #[test]
    fn strings_and_comments_are_not_code() {
        assert_eq!(code("a /* b /* c */ d */ e // f\n g"), ["a", "e", "g"]);
        assert_eq!(
            code(r#"x("todo!() \" y", 'z')"#),
            ["x", "(", r#""todo!() \" y""#, ",", "'z'", ")"]
        );
        assert_eq!(code(r##"r#"a " b"# c"##), [r##"r#"a " b"#"##, "c"]);
        assert_eq!(code(r#"br"\" c"x" b"\"""#), [r#"br"\""#, r#"c"x""#, r#"b"\"""#]);
    }

    #[test]
    fn lifetimes_and_characters_are_told_apart() {
        assert_eq!(
            code(r"&'a str '\'' '\u{1F}' 'é' b'x'"),
            ["&", "'a", "str", r"'\''", r"'\u{1F}'", "'é'", "b", "'x'"]
        );
    }

    #[test]
    fn raw_identifiers_paths_and_lines() {
        let tokens = lex("r#mod::b\n0..1\n\"two\nlines\"\nend");
        let found: Vec<(&str, usize)> = tokens.iter().map(|t| (t.text, t.line)).collect();
        let first = [("r#mod", 1), ("::", 1), ("b", 1), ("0", 2), (".", 2), (".", 2), ("1", 2)];
        assert_eq!(found[..7], first);
        assert_eq!(found[7..], [("\"two\nlines\"", 3), ("end", 5)]);
    }

    #[test]
    fn unfinished_text_ends_quietly() {
        for text in ["\"", "r#\"a", "/* a", "'", "'\\", "\"\\", "b'", "é'"] {
            let whole: usize = lex(text).iter().map(|t| t.text.len()).sum();
            assert!(whole <= text.len(), "{text}");
        }
    }
}
