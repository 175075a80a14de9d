//! Makes foreign text harmless for one line on a terminal or a page.
//!
//! It does not escape for HTML; that is done where HTML is written.

/// Longest name of a version or instance that is shown, characters.
pub(crate) const NAME_MAX: usize = 64;
/// Longest sentence that is shown, characters.
pub(crate) const LINE_MAX: usize = 400;
/// Longest sentence with its evidence, characters.
pub(crate) const LINES_MAX: usize = 1_500;

/// `text` on one line: characters that control a terminal or the direction of writing, or that
/// cannot be seen, are spelled out; what goes beyond `max` characters is cut, and that is said.
pub(crate) fn line(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    let mut room = max;
    for c in text.trim().chars() {
        let shown = if c == '\t' { ' '.to_string() } else { visible(c) };
        let Some(rest) = room.checked_sub(shown.chars().count()) else {
            out.push('…');
            break;
        };
        room = rest;
        out.push_str(&shown);
    }
    out
}

/// A sentence and the lines below it, which are its evidence, on one line.
pub(crate) fn lines(text: &str, max: usize) -> String {
    line(&text.replace('\n', "; "), max)
}

/// The name of a version or instance.
pub(crate) fn name(text: &str) -> String {
    line(text, NAME_MAX)
}

fn visible(c: char) -> String {
    let unseen = c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}');
    if unseen { c.escape_unicode().to_string() } else { c.to_string() }
}

#[cfg(test)]
mod tests {
    use super::{line, lines};

    #[test]
    fn control_and_direction_characters_are_spelled_out() {
        assert_eq!(line("a\x1b[31mb\u{202e}c\nd\u{9b}", 100), r"a\u{1b}[31mb\u{202e}c\u{a}d\u{9b}");
    }

    #[test]
    fn evidence_follows_its_sentence() {
        assert_eq!(lines("1 is open\nGET /a\nand 2 more", 100), "1 is open; GET /a; and 2 more");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        let cut = line(&"x".repeat(10_000), 64);
        assert_eq!(cut.chars().count(), 65);
        assert!(cut.ends_with("x…"));
    }
}
