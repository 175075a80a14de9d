//! Fuzz bodies of what rules look at: queries with their escapes, and cookies.
//!
//! Which release a mark leads to is not tried here.

use fuzz::corpus;

use super::{cookies, decoded, parameters};

#[test]
fn escapes_of_a_query_stand_for_their_bytes() {
    fuzz::run(corpus!("cookies").words(&["%", "%4", "%41", "+", "&", "=", "?"]), |case| {
        // Whatever is escaped comes back, however it is mixed.
        let mut escaped = Vec::new();
        for byte in &case.bytes {
            match (case.random.bool(), *byte) {
                (_, b' ') => escaped.push(b'+'),
                (true, plain) if !b"%+".contains(&plain) => escaped.push(plain),
                (true, other) => escaped.extend(format!("%{other:02x}").bytes()),
                (false, other) => escaped.extend(format!("%{other:02X}").bytes()),
            }
        }
        assert!(decoded(&escaped).eq(case.bytes.iter().copied()));
        assert!(decoded(&case.bytes).count() <= case.bytes.len());
        let text = case.text();
        let all: Vec<_> = parameters(&text).collect();
        let query = text.split_once('?').map_or("", |(_, query)| query);
        assert!(all.len() <= query.split('&').count());
        for (name, value) in all {
            assert!(!name.contains(&b'&') && !name.contains(&b'=') && !value.contains(&b'&'));
        }
    });
}

#[test]
fn cookies_are_pairs_whatever_the_line() {
    fuzz::run(corpus!("cookies").words(&[";", "; ", "=", "a=b", "\"", "\t"]), |case| {
        let pairs: Vec<_> = cookies(&case.bytes).collect();
        let parts = case.bytes.split(|byte| *byte == b';');
        assert_eq!(pairs.len(), parts.filter(|part| part.contains(&b'=')).count());
        for (name, value) in pairs {
            assert!(!name.contains(&b'=') && !name.contains(&b';') && !value.contains(&b';'));
            assert_eq!((name, value), (name.trim_ascii(), value.trim_ascii()));
        }
    });
}
