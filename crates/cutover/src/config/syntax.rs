//! Mistakes in the TOML itself, told with what was probably meant.
//!
//! It does *not* tell what follows from a mistake: a list that nobody closes makes nonsense of all that comes after.

use toml::de::DeTable;

use super::diagnostic::Diagnostic;

/// Most mistakes that are told: what comes after so many is a consequence.
const MOST: usize = 20;

/// What the parser's errors come to. Of several at one place the last one is the most exact.
pub(super) fn mistakes(errors: &[toml::de::Error], text: &str) -> Vec<Diagnostic> {
    let open = errors.iter().any(|error| error.message().starts_with("unclosed "));
    let open = open.then(|| unclosed(text)).flatten();
    let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    let after = |error: &&toml::de::Error| open.as_ref().is_some_and(|it| start(error) > it.start);
    let mut found: Vec<Diagnostic> = Vec::new();
    for error in errors.iter().filter(|error| !after(error)) {
        let diagnostic = one(error, text);
        if found.last().is_some_and(|last| last.start() == diagnostic.start()) {
            found.pop();
        }
        found.push(diagnostic);
    }
    // What an open quote in it hides is the bracket that closes it.
    let first = errors.iter().filter(after).min_by_key(|error| (start(error), !of_text(error)));
    let quote = first.filter(|error| of_text(error)).map(|error| one(error, text));
    found.extend(quote.or_else(|| open.map(still_open)));
    found.truncate(MOST);
    found
}

fn of_text(error: &toml::de::Error) -> bool {
    ["invalid basic string", "invalid literal string", "missing opening quote"]
        .iter()
        .any(|words| error.message().starts_with(words))
}

fn one(error: &toml::de::Error, text: &str) -> Diagnostic {
    let message = error.message();
    let span = error.span().unwrap_or(0..0);
    let diagnostic =
        |what: &str| Diagnostic::new(format!("this is not TOML: {what}")).at(&span, "");
    if message.starts_with("duplicate key") {
        return diagnostic("this is there already").help("remove one of the two");
    }
    if message.starts_with("invalid basic string") {
        return diagnostic(message).help("close the text with `\"`; a `\\` in it is written twice");
    }
    let Some((key, value)) = bare_value(text, span.start) else { return diagnostic(message) };
    if value.is_empty() {
        return diagnostic("a key without a value").help("write a value, or remove the line");
    }
    // What stands there is right: it is about something else in the line.
    if DeTable::parse(&format!("x = {value}")).is_ok() {
        return diagnostic(message);
    }
    match meant(value) {
        Some(meant) => diagnostic(&format!("`{value}` is no value of TOML"))
            .help(format!("write `{key} = {meant}`")),
        None => diagnostic("text without quotes").help(format!("write `{key} = \"{value}\"`")),
    }
}

/// A switch or number as TOML writes it.
fn meant(value: &str) -> Option<String> {
    let small = value.to_ascii_lowercase();
    if matches!(small.as_str(), "true" | "false") {
        return Some(small);
    }
    let number = value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    value.parse::<f64>().ok().filter(|_| number).map(|number| number.to_string())
}

/// Key and value of a line whose value looks like one that is not written as TOML wants it.
fn bare_value(text: &str, at: usize) -> Option<(&str, &str)> {
    let at = text.floor_char_boundary(at);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next()?;
    let (key, value) = line.split_once('=')?;
    let value = value.split('#').next()?.trim();
    let bare = |c: char| c.is_ascii_alphanumeric() || "./:_-".contains(c);
    value.chars().all(bare).then(|| (key.trim(), value))
}

/// Where a list begins, or a table in one line.
#[derive(Clone, Copy, Debug)]
struct Open {
    start: usize,
    closes: char,
}

fn still_open(open: Open) -> Diagnostic {
    let Open { start, closes } = open;
    let (what, last) = if closes == ']' { ("list", "item") } else { ("table", "value") };
    Diagnostic::new(format!("this is not TOML: nothing closes this {what}"))
        .at(&(start..start + 1), "begins here")
        .help(format!("write `{closes}` after its last {last}"))
}

/// The first bracket in a value that nothing closes.
fn unclosed(text: &str) -> Option<Open> {
    let mut open: Vec<Open> = Vec::new();
    let mut start = 0;
    while let Some(c) = text[start..].chars().next() {
        let rest = &text[start..];
        let line_begins =
            text[..start].rsplit('\n').next().is_some_and(|line| line.trim().is_empty());
        let length = match c {
            '#' => line(rest).len(),
            '[' if open.is_empty() && line_begins => line(rest).len(),
            '"' | '\'' => quoted(rest, c),
            '[' | '{' => {
                open.push(Open { start, closes: if c == '[' { ']' } else { '}' } });
                1
            }
            ']' | '}' => {
                open.pop();
                1
            }
            _ => c.len_utf8(),
        };
        start += length.max(1);
    }
    open.into_iter().next()
}

fn line(text: &str) -> &str {
    text.split('\n').next().unwrap_or_default()
}

/// How many bytes a text in quotes takes; one that nothing closes ends with its line.
fn quoted(text: &str, quote: char) -> usize {
    let three = quote.to_string().repeat(3);
    if text.starts_with(&three) {
        return text[3..].find(&three).map_or(text.len(), |at| at + 6);
    }
    let mut escaped = false;
    for (at, c) in line(text).char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = quote == '"' && c == '\\' && !escaped;
    }
    line(text).len()
}
