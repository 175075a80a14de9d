//! Requests that two parsers could read differently, on real sockets: what the instance gets to see of
//! each row of the table in `smuggled`.

use std::io::Write as _;

use crate::backend::Backend;
use crate::smuggled::{BODIES, Expected, HEADS, PASSED, Row};
use crate::stage::Stage;

/// An instance that answers whole requests only, and says so.
fn recording() -> Backend {
    Backend::scripted("app", |peer, head| {
        let lower = head.to_lowercase();
        if lower.contains("\r\ncontent-length: ") || lower.contains("\r\ntransfer-encoding: ") {
            match peer.body(head) {
                Some(_) => return peer.ok("whole"),
                None => return crate::backend::Then::Close,
            }
        }
        peer.ok("whole")
    })
}

fn run(rows: &[Row], backend: &Backend, stage: &Stage) {
    let mut other = Vec::new();
    for Row(name, bytes, expected) in rows {
        let before = backend.hits();
        let mut client = stage.client();
        client.stream.write_all(bytes).unwrap();
        let answer = client.answer().unwrap_or_else(|error| panic!("{name}: {error}"));
        let seen = || backend.heads.lock().unwrap()[before..].to_vec();
        match expected {
            Expected::Refused(status) => {
                if answer.status != *status {
                    other.push((name, answer.status, answer.body.clone()));
                }
                assert_eq!(answer.field("connection"), Some("close"), "{name}");
                assert_eq!(client.rest().unwrap(), "", "{name}: nothing follows");
                assert_eq!(seen(), [""; 0], "{name}: it reached an instance");
            }
            Expected::Cut(status) => {
                assert_eq!(answer.status, *status, "{name}: {}", answer.body);
                assert_eq!(client.rest().unwrap(), "", "{name}: nothing follows");
                assert!(seen().len() <= 1, "{name}: two requests");
                assert!(!seen().concat().contains("/smuggled"), "{name}: {:?}", seen());
            }
            Expected::Passed { holds, lacks } => {
                assert_eq!((answer.status, answer.body.as_str()), (200, "whole"), "{name}");
                let [head] = &seen()[..] else { panic!("{name}: {:?}", seen()) };
                let head = head.to_lowercase();
                for part in *holds {
                    assert_eq!(head.matches(part).count(), 1, "{name}: {part:?} in {head}");
                }
                for part in *lacks {
                    assert!(!head.contains(part), "{name}: {part:?} in {head}");
                }
            }
        }
    }
    assert!(other.is_empty(), "refused with another status: {other:?}");
}

/// RFC 9112 section 11.2: refused before anything reaches an instance.
#[test]
fn ambiguous_heads_are_refused_and_reach_nobody() {
    let backend = recording();
    let stage = Stage::before(&[&backend]);
    run(HEADS, &backend, &stage);
    assert_eq!(backend.hits(), 0);
}

/// Broken chunks are noticed on the way: the instance never sees the end of such a request.
#[test]
fn ambiguous_chunks_are_refused_and_never_end_a_request() {
    let backend = recording();
    let stage = Stage::before(&[&backend]);
    run(BODIES, &backend, &stage);
}

/// What can be said in one way only is passed on as one request, cleaned.
#[test]
fn odd_requests_with_one_meaning_arrive_as_one_clean_request() {
    let backend = recording();
    let stage = Stage::before(&[&backend]);
    run(PASSED, &backend, &stage);
}

/// Two requests that were sent are two, one that was sent is one: also when the second lies in the
/// body of the first.
#[test]
fn a_request_in_a_body_is_a_body() {
    let backend = recording();
    let stage = Stage::before(&[&backend]);
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = stage.client();
    let length = inner.len();
    for sent in [
        format!("POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{inner}"),
        format!("GET /two HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{inner}"),
        format!(
            "POST /three HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{inner}\r\n0\r\n\r\n"
        ),
    ] {
        client.send(&sent);
        assert_eq!(client.answer().unwrap().body, "whole");
    }
    let heads = backend.heads.lock().unwrap().clone();
    let paths: Vec<_> = heads.iter().filter_map(|head| head.split(' ').nth(1)).collect();
    assert_eq!(paths, ["/one", "/two", "/three"]);
}

/// The same from the other side: answers that could be read in two ways never reach a user, and their
/// connection carries nothing more.
#[test]
fn ambiguous_answers_are_an_honest_502() {
    for (name, answer) in [
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab"),
        ("equal lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab"),
        ("a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab"),
        ("a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab"),
        (
            "both",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("odd coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("coding in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("bare line feed", "HTTP/1.1 200 OK\nContent-Length: 2\n\nab"),
        ("bare carriage return", "HTTP/1.1 200 OK\r\nA: b\rContent-Length: 2\r\n\r\nab"),
        ("folded", "HTTP/1.1 200 OK\r\nA: b\r\n c: d\r\nContent-Length: 0\r\n\r\n"),
        ("blank before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nab"),
        ("a zero byte", "HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n"),
        ("a switch that nobody asked for", "HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n"),
        ("a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
        ("another protocol", "SSH-2.0-x\r\n\r\n"),
        (
            "a broken chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n",
        ),
    ] {
        let backend = Backend::scripted("app", move |peer, _| {
            peer.say(answer);
            crate::backend::Then::Keep
        });
        let stage = Stage::before(&[&backend]);
        let mut client = stage.client();
        let said = client.post("/", "x").unwrap();
        assert_eq!(said.status, 502, "{name}: {}", said.head);
        assert_eq!(backend.hits(), 1, "{name}");
    }
}
