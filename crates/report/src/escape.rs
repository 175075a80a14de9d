//! Makes foreign text plain where markup is written: HTML, SVG, XML and Markdown.
//!
//! It cleans first (`clean`), because a saved report may have been edited. It writes no markup itself.

use std::fmt::Write as _;

use crate::clean;

/// Longest text that is shown in one place, characters.
const MOST: usize = 2_000;

/// Text for HTML, SVG and XML: harmless between tags and inside quoted attributes.
pub(crate) fn markup(text: &str) -> String {
    let text = clean::line(text, MOST);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Text for Markdown as GitHub reads it, also inside a table: no markup, no link, nobody is mentioned.
///
/// Signs that mean something are written as numeric entities, which can stand for no structure; a
/// backslash would not do, because a table is cut into cells before backslashes are looked at.
pub(crate) fn markdown(text: &str) -> String {
    let text = clean::line(text, MOST);
    let mut out = String::with_capacity(text.len());
    let mut before = '\0';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        // What would be made a link although nobody marked it as one.
        let link = match c {
            ':' => next == Some('/'),
            '.' => before.eq_ignore_ascii_case(&'w'),
            _ => false,
        };
        if link || "&<>\"'\\`*_[]#|~$@".contains(c) {
            let _ = write!(out, "&#{};", u32::from(c));
        } else {
            out.push(c);
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{markdown, markup};

    #[test]
    fn nothing_that_means_something_is_left() {
        assert_eq!(markup("<a b='c'>&\"\u{ffff}"), "&lt;a b=&#39;c&#39;&gt;&amp;&quot;\\u{ffff}");
        assert_eq!(markdown("v1 | **b**"), "v1 &#124; &#42;&#42;b&#42;&#42;");
        assert_eq!(markdown("http://x www.x a@b #1"), "http&#58;//x www&#46;x a&#64;b &#35;1");
        assert_eq!(markdown("a\nb"), "a\\u{a}b".replace('\\', "&#92;"));
        assert_eq!(markdown("12:02:10 · 3.1 ms (50 %)"), "12:02:10 · 3.1 ms (50 %)");
    }
}
