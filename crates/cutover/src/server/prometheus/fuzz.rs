//! Fuzz body of what a Prometheus answers: values, or why there are none in a line that can be shown.
//!
//! What a value means is not asked here, but in `gauge`.

use fuzz::corpus;

use super::{encoded, read};

#[test]
fn an_answer_is_values_or_a_line_that_says_why_not() {
    let words = &[
        "\"value\":",
        "\"resultType\":",
        "null",
        "[]",
        "\"NaN\"",
        "1e999",
        "\\u001b[31m",
        "\"error\":",
    ];
    fuzz::run(corpus!("prometheus").words(words), |case| {
        match read(case.random.u16(..), &case.bytes, None) {
            Ok(values) => assert!(values.len() <= case.bytes.len() / 4),
            Err(why) => {
                assert!(
                    !why.is_empty() && !why.contains(char::is_control),
                    "{}",
                    why.escape_debug()
                );
                assert!(why.chars().count() < 8 * case.bytes.len() + 100);
            }
        }
    });
}

#[test]
fn a_query_is_one_word_whatever_it_is() {
    fuzz::run(corpus!("prometheus").words(&["&", "#", " ", "%", "\u{e9}"]), |case| {
        let (text, mut bytes) = (case.text(), Vec::new());
        let word = encoded(&text);
        let mut rest = word.as_bytes();
        while let Some((first, behind)) = rest.split_first() {
            let plain = first.is_ascii_alphanumeric() || b"-_.~".contains(first);
            assert!(plain || *first == b'%', "{word}");
            if plain {
                bytes.push(*first);
                rest = behind;
                continue;
            }
            let hex = std::str::from_utf8(&behind[..2]).unwrap();
            bytes.push(u8::from_str_radix(hex, 16).unwrap());
            rest = &behind[2..];
        }
        assert_eq!(bytes, text.as_bytes());
    });
}
