//! Fuzz bodies of what strangers say where instances are: messages of DNS, and a catalog.
//!
//! What becomes of instances that were named is not tried here.

use fuzz::corpus;
use model::Catalog;
use serde_json::Value;

use super::catalog;
use super::message::{Data, Question, Read, Wanted, read, write};

/// The question that the corpus answers.
fn question() -> Question {
    Question { id: 0x1234, name: "_shop._tcp.v1.test".to_owned(), wanted: Wanted::Srv }
}

#[test]
fn messages_of_dns_are_read_or_not() {
    fuzz::run(corpus!("dns").words(&["\u{c0}\u{c}", "\u{1}a", "\u{21}", "\u{5}"]), |case| {
        let Read::Answer { records, .. } = read(&case.bytes, &question()) else { return };
        // Each record takes at least its head.
        assert!(records.len() * 11 <= case.bytes.len());
        for record in &records {
            let names = match &record.data {
                Data::Alias(to) | Data::Service { target: to, .. } => [&record.owner, to],
                Data::Address(_) | Data::Other => [&record.owner, &record.owner],
            };
            let plain = |c: char| c.is_ascii_graphic() && !c.is_ascii_uppercase();
            assert!(names.iter().all(|name| name.len() <= 255 && name.chars().all(plain)));
        }
    });
}

#[test]
fn names_are_asked_about_or_not_and_an_answer_to_them_is_theirs() {
    fuzz::run(corpus!("dns-names").words(&[".", "_", "-", "xn--"]), |case| {
        let wanted = [Wanted::A, Wanted::Aaaa, Wanted::Srv][usize::from(case.random.u8(..3))];
        let name = case.text().to_ascii_lowercase();
        let asked = Question { id: case.random.u16(..), name, wanted };
        let Some(mut message) = write(&asked) else { return };
        assert_eq!(read(&message, &asked), Read::Foreign);
        message[2] |= 0x80;
        assert_eq!(read(&message, &asked), Read::Answer { code: 0, records: Vec::new() });
        let other = Question { id: asked.id ^ 1, ..asked };
        assert_eq!(read(&message, &other), Read::Foreign);
    });
}

#[test]
fn a_catalog_names_addresses_and_what_cannot_be_used() {
    let words =
        &["\"Service\":", "\"Port\":", "70000", "null", "[]", "\"::1\"", "\\u001b", "\"v1\""];
    fuzz::run(corpus!("consul").words(words), |case| {
        let Ok(answer) = serde_json::from_slice::<Value>(&case.bytes) else { return };
        for tag in [None, Some("v1".to_owned())] {
            let wanted = Catalog {
                agent: ([127, 0, 0, 1], 8500).into(),
                secure: None,
                service: "shop".into(),
                tag,
                meta: [("version".to_owned(), "v1".to_owned())].into(),
                token: None,
            };
            let Some(heard) = catalog::read(&answer, &wanted) else { continue };
            let all = answer.as_array().unwrap().len();
            assert!(heard.addresses.len() + heard.odd.len() <= all);
            assert!(heard.addresses.iter().all(|address| address.port() > 0));
            for odd in &heard.odd {
                assert!(!odd.contains(char::is_control), "{}", odd.escape_debug());
            }
        }
    });
}
