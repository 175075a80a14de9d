//! Makes text from elsewhere safe to show: no control character reaches a terminal.
//!
//! Versions, log tails and error texts come from servers under test. What this does *not* do:
//! shorten, or judge whether the text makes sense.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with control characters and invisible direction marks spelled out (`\u{1b}`).
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\t' => shown.push_str("    "),
            c if is_unsafe(c) => drop(write!(shown, "{}", c.escape_default())),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// The text in which everything but printable ASCII without blanks and quotes is `?`; for versions
/// that a server claims, where a column or a `key=value` must stay what it is.
pub(crate) fn word(text: &str) -> String {
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '=' | ',');
    let shown: String = text.chars().map(|c| if fits(c) { c } else { '?' }).collect();
    if shown.is_empty() { "-".to_owned() } else { shown }
}

/// JSON in which the same characters stand escaped, so that it means the same and no terminal obeys it.
pub(crate) fn clean_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_unsafe) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        if is_unsafe(c) {
            // None of them is above U+FFFF.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// C0, C1, line and paragraph separators, and the marks that reorder what follows them.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}')
}
