//! Requests over HTTP/2 that would be something else as text (RFC 9113 sections 8.2, 8.3 and 10.3):
//! refused, and no instance sees two where one was sent.
//!
//! The same tricks over HTTP/1.1 are in `smuggling`.

use h2::Reason;

use crate::backend::{Backend, Peer, Then};
use crate::framed::{Raw, head};
use crate::stage::Stage;

/// What must become of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Became {
    /// It was reset, or its connection ended, for this reason.
    Reset(Reason),
    /// It was answered; the first byte of the head (an indexed `:status`, RFC 7541 appendix A).
    Answered(u8),
}

use Became::{Answered, Reset};

const BAD: Became = Reset(Reason::PROTOCOL_ERROR);
const OK: Became = Answered(0x88);
const BAD_REQUEST: Became = Answered(0x8c);

const TOP: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

type Fields = &'static [(&'static str, &'static str)];

/// Fields in place of the first four (an empty value takes one away) and behind them, DATA, and what
/// becomes of it.
const ROWS: &[(&str, Fields, Fields, &str, Became)] = &[
    ("a plain one", &[], &[("a", "b")], "", OK),
    ("a length that is right", &[], &[("content-length", "3")], "abc", OK),
    ("a request in the body", &[], &[], "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n", OK),
    ("chunks in the body", &[], &[], "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", OK),
    ("transfer-encoding", &[], &[("transfer-encoding", "chunked")], "0\r\n\r\n", BAD),
    ("connection", &[], &[("connection", "close")], "", BAD),
    ("upgrade", &[], &[("upgrade", "h2c")], "", BAD),
    ("proxy-connection", &[], &[("proxy-connection", "close")], "", BAD),
    ("te: chunked", &[], &[("te", "chunked")], "", BAD),
    ("line ends in a value", &[], &[("a", "b\r\ntransfer-encoding: chunked")], "", BAD),
    ("a line feed in a value", &[], &[("a", "b\nc: d")], "", BAD),
    ("a carriage return in a value", &[], &[("a", "b\rc")], "", BAD),
    ("a zero byte in a value", &[], &[("a", "b\0c")], "", BAD),
    ("line ends in a name", &[], &[("a\r\nb", "c")], "", BAD),
    ("a colon in a name", &[], &[("transfer-encoding:chunked\r\na", "b")], "", BAD),
    ("a blank in a name", &[], &[("transfer-encoding ", "chunked")], "", BAD),
    ("an empty name", &[], &[("", "b")], "", BAD),
    ("an upper-case name", &[], &[("Content-Length", "3")], "abc", BAD),
    ("lengths spelt with _", &[], &[("transfer_encoding", "chunked")], "abc", OK),
    (
        "two equal lengths",
        &[],
        &[("content-length", "3"), ("content-length", "3")],
        "abc",
        BAD_REQUEST,
    ),
    ("two lengths", &[], &[("content-length", "3"), ("content-length", "4")], "abc", BAD),
    ("a list of lengths", &[], &[("content-length", "3,3")], "abc", BAD),
    ("a signed length", &[], &[("content-length", "+3")], "abc", BAD),
    ("less than its length", &[], &[("content-length", "4")], "abc", BAD),
    ("more than its length", &[], &[("content-length", "2")], "abc", BAD),
    ("more than no length", &[], &[("content-length", "0")], "abc", BAD),
    ("line ends in the path", &[(":path", "/ HTTP/1.1\r\nx: y")], &[], "", BAD),
    ("a blank in the path", &[(":path", "/a b")], &[], "", BAD),
    ("a path without slash", &[(":path", "x")], &[], "", BAD),
    // The parser of URIs drops it.
    ("a fragment in the path", &[(":path", "/a#b")], &[], "", OK),
    ("no path", &[(":path", "")], &[], "", BAD),
    ("two paths", &[], &[(":path", "/b")], "", BAD),
    ("line ends in the method", &[(":method", "GET / HTTP/1.1\r\nx:")], &[], "", BAD),
    ("a blank in the method", &[(":method", "GET /smuggled")], &[], "", BAD),
    ("no method", &[(":method", "")], &[], "", BAD),
    ("no scheme", &[(":scheme", "")], &[], "", BAD),
    ("line ends in the authority", &[(":authority", "a\r\nx: y")], &[], "", BAD),
    ("a user in the authority", &[(":authority", "u@a")], &[], "", BAD_REQUEST),
    ("a path in the authority", &[(":authority", "a/b")], &[], "", BAD),
    ("another host", &[], &[("host", "b")], "", BAD_REQUEST),
    ("two hosts", &[(":authority", "")], &[("host", "a"), ("host", "b")], "", BAD_REQUEST),
    ("no host at all", &[(":authority", "")], &[], "", BAD_REQUEST),
    ("a pseudo field that is none", &[], &[(":other", "x")], "", BAD),
    ("a pseudo field of answers", &[], &[(":status", "200")], "", BAD),
    ("a pseudo field behind others", &[(":path", "")], &[("a", "b"), (":path", "/")], "", BAD),
    ("the tunnel of RFC 8441", &[(":method", "CONNECT")], &[(":protocol", "websocket")], "", BAD),
];

fn fields(instead: Fields, more: Fields) -> Vec<(&'static str, &'static str)> {
    let other = |(name, value)| {
        let found = instead.iter().find(|(other, _)| *other == name);
        (name, found.map_or(value, |(_, value)| *value))
    };
    let kept = TOP.into_iter().map(other).filter(|(_, value)| !value.is_empty());
    kept.chain(more.iter().copied()).collect()
}

/// Reads up to the end or the answer of stream 1.
fn became(raw: &mut Raw) -> Option<Became> {
    while let Some((kind, _, stream, content)) = raw.next() {
        let reason =
            |at: usize| Reset(u32::from_be_bytes(content[at..at + 4].try_into().unwrap()).into());
        match kind {
            1 if stream == 1 => return Some(Answered(content[0])),
            3 if stream == 1 => return Some(reason(0)),
            7 => return Some(reason(4)),
            _ => {}
        }
    }
    None
}

/// Reads a body as a server does that heeds sizes and nothing else.
fn body(peer: &mut Peer, head: &str) -> Option<()> {
    if head.contains("\r\ncontent-length: ") {
        return peer.body(head).map(drop);
    }
    while head.contains("\r\ntransfer-encoding: ") {
        let size = usize::from_str_radix(peer.until("\r\n")?.trim(), 16).ok()?;
        peer.take(size + 2)?;
        if size == 0 {
            break;
        }
    }
    Some(())
}

#[test]
fn what_would_be_something_else_as_text_is_refused() {
    let backend = Backend::scripted("app", |peer, head| match body(peer, head) {
        Some(()) => peer.ok("app"),
        None => Then::Close,
    });
    let stage = Stage::before(&[&backend]);
    let mut other = Vec::new();
    for (name, instead, more, data, expected) in ROWS {
        let mut raw = Raw::to(stage.address);
        let end = u8::from(data.is_empty());
        let row = [("x-row", *name)];
        raw.frame(1, 4 | end, 1, &head(&[&fields(instead, more)[..], &row].concat())).unwrap();
        if !data.is_empty() {
            // The stream may be gone already.
            let _ = raw.frame(0, 1, 1, data.as_bytes());
        }
        let found = became(&mut raw);
        if found.as_ref() != Some(expected) {
            other.push((name, found));
        }
    }
    assert!(other.is_empty(), "it became something else: {other:?}");
    // What is still under way has ended with the proxy.
    drop(stage);
    let mut rows = Vec::new();
    for head in backend.heads.lock().unwrap().iter() {
        let lower = head.to_lowercase();
        let row = lower.split("\r\nx-row: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        rows.push(row.unwrap_or_else(|| panic!("nobody sent this: {head}")).to_owned());
        assert!(!lower.contains("\r\nx: y"), "{head}");
        let lengths = ["content-length:", "transfer-encoding:", "transfer_encoding:"];
        let count: usize = lengths.iter().map(|length| lower.matches(length).count()).sum();
        assert!(count <= 1 && lower.matches("\r\nhost:").count() == 1, "{head}");
        assert!(lower.starts_with("post /"), "{head}");
    }
    let count = rows.len();
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), count, "one of them arrived twice");
}
