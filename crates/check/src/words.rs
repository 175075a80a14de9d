//! Text from outside made fit for a terminal, and figures put into words.
//!
//! An app may write anything into its log or its answers; nothing of it reaches a person before it
//! went through [`clean`]. This file does not escape for HTML: whoever draws a page does.

use std::time::Duration;

/// At most `most` characters of `bytes`, on one line, without characters that steer a terminal or
/// turn the direction of writing.
pub fn clean(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut line = String::new();
    for (count, c) in text.trim().chars().enumerate() {
        if count == most {
            line.push('…');
            break;
        }
        line.push(if steers(c) { ' ' } else { c });
    }
    line
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || c == '\u{feff}'
}

/// A span as a person would say it: `40 ms`, `2.5 s`.
pub fn span(time: Duration) -> String {
    let ms = time.as_millis();
    if ms < 1000 { format!("{ms} ms") } else { format!("{:.1} s", time.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use super::{clean, span};
    use std::time::Duration;

    #[test]
    fn nothing_that_steers_a_terminal_survives() {
        let said = clean(b"\x1b[31mred\r\nnext\x07 \xff \xe2\x80\xae end", 100);
        assert!(said.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{said:?}");
        assert!(said.contains("red") && said.ends_with("end"), "{said:?}");
    }

    #[test]
    fn long_text_is_cut_by_characters() {
        assert_eq!(clean("ééééé".as_bytes(), 3), "ééé…");
        assert_eq!(clean(b"abc", 3), "abc");
    }

    #[test]
    fn spans_read_well() {
        assert_eq!(span(Duration::from_millis(40)), "40 ms");
        assert_eq!(span(Duration::from_millis(2500)), "2.5 s");
    }
}
