//! Fuzz body of the request line of those who ask for metrics: whatever is asked is answered once, and told
//! only to who asks for it.
//!
//! What the metrics say is not looked at.

use fuzz::corpus;
use memchr::memmem;

use super::whole;
use crate::metrics::Dialect;

const TOLD: &str = "cutover_requests_total 1\n";

#[test]
fn whatever_is_asked_has_one_answer_and_only_the_metrics_are_told() {
    let words = &["GET ", "HEAD ", "/metrics", "?", "#", " HTTP/1.1\r\n", "\r\n\r\n", "Accept: "];
    fuzz::run(corpus!("asking").words(words), |case| {
        let answer = whole(&case.bytes, |dialect| match dialect {
            Dialect::OpenMetrics => format!("{TOLD}# EOF\n"),
            Dialect::Prometheus => TOLD.to_owned(),
        });
        let end = memmem::find(&answer, b"\r\n\r\n").unwrap() + 4;
        let (head, content) = answer.split_at(end);
        let head = std::str::from_utf8(head).unwrap();
        assert!(head.ends_with("connection: close\r\n\r\n") && head.is_ascii(), "{head}");
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next();
        let length: usize = length.unwrap().parse().unwrap();
        let ends = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let first = case.bytes.split(ends).find(|line| !line.is_empty()).unwrap_or_default();
        let asks = |method: &str| {
            let rest = first.strip_prefix(format!("{method} /metrics").as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b" ") || rest.starts_with(b"?"))
        };
        match head.get(9..12).unwrap() {
            "200" if content.is_empty() => assert!(asks("HEAD") && length >= TOLD.len()),
            "200" => assert!(asks("GET") && length == content.len()),
            "404" if content.is_empty() => assert!(first.starts_with(b"HEAD ")),
            "400" | "404" | "405" => {
                assert!(length == content.len() && !answer.ends_with(TOLD.as_bytes()));
            }
            other => panic!("{other}"),
        }
    });
}
