//! Text of strangers as the two formats of the access log write it.
//!
//! What is written is printable ASCII, whatever was sent: no line can be begun, ended or coloured by
//! what a client says.

/// Writes a JSON string: characters outside ASCII and control characters as `\uXXXX`, bytes that are
/// no UTF-8 as U+FFFD.
pub(crate) fn json(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| !plain(*byte)) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        rest = &rest[odd_of_json(out, rest)..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Writes the first character, which is not plain; gives its length.
fn odd_of_json(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let [first, ..] = text else { return 0 };
    if matches!(first, b'"' | b'\\') {
        out.extend_from_slice(&[b'\\', *first]);
        return 1;
    }
    let whole = text.utf8_chunks().next();
    let Some(chunk) = whole else { return text.len() };
    let Some(character) = chunk.valid().chars().next() else {
        out.extend_from_slice(b"\\ufffd");
        return chunk.invalid().len().max(1);
    };
    let mut room = [0; 2];
    for unit in character.encode_utf16(&mut room) {
        let [high, low] = unit.to_be_bytes();
        out.extend_from_slice(b"\\u");
        hex(out, high);
        hex(out, low);
    }
    character.len_utf8()
}

/// Writes text in quotes as common web servers do: what is not printable ASCII as `\xXX`.
pub(crate) fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            _ if plain(*byte) => out.push(*byte),
            _ => {
                out.extend_from_slice(b"\\x");
                hex(out, *byte);
            }
        }
    }
}

const fn plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

fn hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use super::{json, quoted};

    fn as_json(text: &[u8]) -> String {
        let mut out = Vec::new();
        json(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn whatever_is_sent_stays_one_printable_string() {
        assert_eq!(as_json(b"plain"), r#""plain""#);
        assert_eq!(as_json(b"a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(as_json(b"\r\n\x1b[31m\x7f"), r#""\u000d\u000a\u001b[31m\u007f""#);
        assert_eq!(as_json("\u{e4}\u{1f600}\u{9b}".as_bytes()), r#""\u00e4\ud83d\ude00\u009b""#);
        assert_eq!(as_json(b"a\xff\xfeb\xe2\x82"), r#""a\ufffd\ufffdb\ufffd""#);
        let mut out = Vec::new();
        quoted(&mut out, b"a\"\\\n\xff ");
        assert_eq!(out, br#"a\"\\\x0a\xff "#);
    }

    #[test]
    fn readers_of_json_get_back_what_was_sent() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..random.usize(..24)).map(|_| random.u8(..)).collect();
            let line = as_json(&bytes);
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
            let read: String = serde_json::from_str(&line).unwrap();
            assert_eq!(read, String::from_utf8_lossy(&bytes), "{bytes:?}");
        }
    }
}
