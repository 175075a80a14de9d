//! Hostile text made fit for a record: short and without control characters.
//!
//! It does not escape for any medium; who draws HTML escapes HTML.

use std::fmt::Write as _;

/// Longest detail of an attempt, characters.
const DETAIL_MAX: usize = 300;

/// Longest version or instance name kept, characters.
const NAME_MAX: usize = 120;

/// The first characters of an odd answer or error, with control characters spelled out.
pub(crate) fn detail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::new();
    for c in text.trim().chars().take(DETAIL_MAX) {
        if c.is_control() {
            plain.extend(c.escape_debug());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// A version or instance name as the answer said it, cut; `None` when nothing is left of it.
pub(crate) fn name(bytes: &[u8]) -> Option<String> {
    let text: String = String::from_utf8_lossy(bytes).trim().chars().take(NAME_MAX).collect();
    (!text.is_empty()).then_some(text)
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{detail, name};

    #[test]
    fn terminal_escapes_do_not_get_through_and_nothing_grows() {
        assert_eq!(detail(b"\x1b[31mred\x07\r\n"), "\\u{1b}[31mred\\u{7}");
        assert_eq!(detail(&[b'x'; 10_000]).len(), 300);
        assert_eq!(detail(b"\xff\xfe"), "\u{fffd}\u{fffd}");
        assert_eq!(name(&[b'v'; 10_000]).unwrap().len(), 120);
        assert_eq!(name(b"  "), None);
    }
}
