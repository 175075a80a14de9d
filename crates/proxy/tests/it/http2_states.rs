//! Streams, windows and fields of HTTP/2 in every state in which something may not be (RFC 9113 sections 3 to 8,
//! RFC 7541), each by hand; whole kinds of broken frames stand in `floods`, requests as text in `downgrade`.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use h2::Reason;

use crate::backend::{Backend, Then};
use crate::client::Client;
use crate::framed::{Raw, field, head};
use crate::stage::Stage;

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
    /// The connection ended for this reason.
    Ended(Reason),
    /// That stream was reset, and its connection lives.
    Reset(Reason),
    /// It was answered; the first byte of the head (an indexed `:status`, RFC 7541 appendix A).
    Answered(u8),
}

use Became::{Answered, Ended, Reset};

const BROKEN: Became = Ended(Reason::PROTOCOL_ERROR);
const OK: Became = Answered(0x88);
const BAD_REQUEST: Became = Answered(0x8c);

/// Kind, flags, stream, content.
type Frame = (u8, u8, u32, &'static [u8]);

/// GET and POST of `/`, and GET of `/index.html`, which is never answered.
const GET: &[u8] = b"\x82\x86\x84\x01\x01a";
const POST: &[u8] = b"\x83\x86\x84\x01\x01a";
const SLOW: &[u8] = b"\x82\x86\x85\x01\x01a";

/// Until stream 1, or its connection, comes to something.
fn became(raw: &mut Raw, wanted: u32) -> Option<Became> {
    while let Some((kind, _, stream, content)) = raw.next() {
        let reason =
            |at: usize| Reason::from(u32::from_be_bytes(content[at..at + 4].try_into().unwrap()));
        match kind {
            1 if stream == wanted => return Some(Answered(content[0])),
            3 if stream == wanted => return Some(Reset(reason(0))),
            7 => return Some(Ended(reason(4))),
            _ => {}
        }
    }
    None
}

/// Answers all but one path, what has a body when it has read it.
fn backend() -> Backend {
    Backend::scripted("app", |peer, head| {
        if head.starts_with("GET /index.html") {
            let _ = peer.stream.read(&mut [0; 1]);
            return Then::Close;
        }
        let chunked = head.contains("\r\ntransfer-encoding: ");
        if !chunked {
            return peer.ok("app");
        }
        loop {
            let Some(size) = peer.until("\r\n") else { return Then::Close };
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            if size == 0 {
                peer.until("\r\n");
                break;
            }
            peer.take(size + 2);
        }
        peer.ok("app")
    })
}

/// Sends these at once; what becomes of that stream.
fn sent(stage: &Stage, frames: &[Frame], wanted: u32) -> Option<Became> {
    let mut raw = Raw::to(stage.address);
    raw.0.stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut all = Vec::new();
    for (kind, flags, stream, content) in frames {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        all.extend([&length[1..], &[*kind, *flags], &stream.to_be_bytes(), content].concat());
    }
    raw.bytes(&all).unwrap();
    became(&mut raw, wanted)
}

/// What is sent, the stream that is looked at, and what becomes of it. An error of a stream may be taken for one of
/// the connection, and a general code may stand in place of a special one (section 5.4).
const ROWS: &[(&str, &[Frame], u32, Became)] = &[
    // 4.2, 4.3
    ("DATA of 2^14 bytes", &[(1, 4, 1, POST), (0, 1, 1, &[b'x'; 16_384])], 1, OK),
    ("too large HEADERS", &[(1, 5, 1, &[0; 16_385])], 1, Ended(Reason::FRAME_SIZE_ERROR)),
    ("another stream's HEADERS within a head", &[(1, 1, 1, GET), (1, 5, 3, GET)], 1, BROKEN),
    ("an unknown kind within a head", &[(1, 1, 1, GET), (0xee, 0, 1, b"x")], 1, BROKEN),
    ("DATA within a head", &[(1, 0, 1, POST), (0, 1, 1, b"x")], 1, BROKEN),
    // 5.1
    ("DATA behind the end", &[(1, 5, 1, SLOW), (0, 0, 1, b"x")], 1, BROKEN),
    ("HEADERS behind the end", &[(1, 5, 1, SLOW), (1, 5, 1, SLOW)], 1, BROKEN),
    ("CONTINUATION behind the end", &[(1, 5, 1, SLOW), (9, 4, 1, GET)], 1, BROKEN),
    (
        "WINDOW_UPDATE, PRIORITY and RST_STREAM behind the end",
        &[
            (1, 5, 1, SLOW),
            (8, 0, 1, &[0, 0, 0, 1]),
            (2, 0, 1, &[0, 0, 0, 0, 16]),
            (3, 0, 1, &[0, 0, 0, 8]),
            (1, 5, 3, GET),
        ],
        3,
        OK,
    ),
    (
        "PRIORITY and WINDOW_UPDATE of a stream that was reset",
        &[
            (1, 5, 1, SLOW),
            (3, 0, 1, &[0, 0, 0, 8]),
            (2, 0, 1, &[0, 0, 0, 0, 16]),
            (8, 0, 1, &[0, 0, 0, 1]),
            (1, 5, 3, GET),
        ],
        3,
        OK,
    ),
    // 5.4.2, 7
    (
        "RST_STREAM for an unknown reason",
        &[(1, 5, 1, SLOW), (3, 0, 1, &[0xff; 4]), (1, 5, 3, GET)],
        3,
        OK,
    ),
    // 6.2, 6.3, 6.10
    ("HEADERS with too much padding", &[(1, 0x0d, 1, b"\x09\x82\x86\x84")], 1, BROKEN),
    ("CONTINUATION on stream 0", &[(1, 1, 1, GET), (9, 4, 0, b"")], 1, BROKEN),
    ("CONTINUATION of a whole head", &[(1, 4, 1, POST), (9, 4, 1, b"")], 1, BROKEN),
    ("CONTINUATION behind DATA", &[(1, 4, 1, POST), (0, 0, 1, b"x"), (9, 4, 1, b"")], 1, BROKEN),
    // 6.5
    ("SETTINGS: frames of 2^24 bytes", &[(4, 0, 0, &[0, 5, 1, 0, 0, 0])], 1, BROKEN),
    // 6.9
    ("WINDOW_UPDATE of 0 on a stream", &[(1, 4, 1, POST), (8, 0, 1, &[0; 4])], 1, BROKEN),
    (
        "WINDOW_UPDATE beyond 2^31 on a stream",
        &[(1, 5, 1, SLOW), (8, 0, 1, b"\x7f\xff\xff\xff")],
        1,
        Reset(Reason::FLOW_CONTROL_ERROR),
    ),
    (
        "SETTINGS that widen a window beyond 2^31",
        &[(1, 5, 1, SLOW), (8, 0, 1, b"\x7f\xff\x00\x00"), (4, 0, 0, &[0, 4, 0, 1, 0, 0])],
        1,
        Ended(Reason::FLOW_CONTROL_ERROR),
    ),
    // 6.8
    (
        "GOAWAY for an unknown reason",
        &[(1, 5, 1, GET), (7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff])],
        1,
        OK,
    ),
    // 8.1
    (
        "a second head that is no trailers",
        &[(1, 4, 1, POST), (1, 4, 1, b"\0\x01a\x01b")],
        1,
        Reset(Reason::PROTOCOL_ERROR),
    ),
    // h2 drops it.
    ("a pseudo field in trailers", &[(1, 4, 1, POST), (1, 5, 1, b"\x82")], 1, OK),
    ("an upper-case name in trailers", &[(1, 4, 1, POST), (1, 5, 1, b"\0\x01A\x01b")], 1, BROKEN),
    (
        "a blank before a value in trailers",
        &[(1, 4, 1, POST), (1, 5, 1, b"\0\x01a\x02 b")],
        1,
        BAD_REQUEST,
    ),
    // RFC 7541, 4.2, 5.2, 6.1, 6.3
    ("index 0", &[(1, 5, 1, b"\x82\x86\x84\x80")], 1, BROKEN),
    (
        "a literal of an index that is not there",
        &[(1, 5, 1, b"\x82\x86\x84\x7f\x10\x01b")],
        1,
        BROKEN,
    ),
    ("a size of the table at the end", &[(1, 5, 1, b"\x82\x86\x84\x01\x01a\x21")], 1, BROKEN),
    (
        "a larger table than was allowed",
        &[(1, 5, 1, b"\x3f\xe2\x1f\x82\x86\x84\x01\x01a")],
        1,
        BROKEN,
    ),
    // One byte of padding, zeros as padding, the end of string as text.
    ("a padding of 8 bits", &[(1, 5, 1, b"\x82\x86\x84\0\x01x\x82\x1f\xff")], 1, BROKEN),
    ("a padding of zeros", &[(1, 5, 1, b"\x82\x86\x84\0\x01x\x81\x18")], 1, BROKEN),
    ("the end of string", &[(1, 5, 1, b"\x82\x86\x84\0\x01x\x84\xff\xff\xff\xff")], 1, BROKEN),
];

#[test]
fn what_comes_in_the_wrong_state_is_told_so() {
    let backend = backend();
    let stage = Stage::before(&[&backend]);
    let mut other = Vec::new();
    for (name, frames, wanted, expected) in ROWS {
        let found = sent(&stage, frames, *wanted);
        if found != Some(*expected) {
            other.push((name, found));
        }
    }
    assert!(other.is_empty(), "something else became of it: {other:?}");
}

type Fields = &'static [(&'static str, &'static str)];

/// Section 8.2.1 and 8.3.1: fields that make a request malformed.
const MALFORMED: &[(&str, Fields)] = &[
    (
        "an empty path",
        &[(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "a")],
    ),
    ("two methods", &[(":method", "GET"), (":method", "GET"), (":scheme", "http"), (":path", "/")]),
    (
        "two schemes",
        &[(":method", "GET"), (":scheme", "http"), (":scheme", "http"), (":path", "/")],
    ),
    (
        "two authorities",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            (":authority", "a"),
        ],
    ),
    (
        "CONNECT with a path",
        &[(":method", "CONNECT"), (":scheme", "http"), (":path", "/"), (":authority", "a:1")],
    ),
];

/// Blanks around a value.
const BLANKS: [&str; 4] = [" b", "b ", "\tb", "b\t"];

#[test]
fn malformed_fields_reach_nobody() {
    let backend = backend();
    let stage = Stage::before(&[&backend]);
    let ask = |fields: &[u8]| {
        let mut raw = Raw::to(stage.address);
        raw.0.stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        raw.frame(1, 5, 1, fields).unwrap();
        became(&mut raw, 1)
    };
    for (name, fields) in MALFORMED {
        let found = ask(&head(fields));
        assert_eq!(found, Some(Reset(Reason::PROTOCOL_ERROR)), "{name}");
    }
    for value in BLANKS {
        let found = ask(&[GET, &field("a", value)].concat());
        assert_eq!(found, Some(BAD_REQUEST), "{value:?}");
    }
    assert_eq!(backend.hits(), 0);
    assert_eq!(ask(&[GET, &field("a", "")].concat()), Some(OK));
}

/// A stream whose number was used is not used again, whoever ended it.
#[test]
fn a_stream_that_has_ended_takes_no_second_request() {
    let backend = backend();
    let stage = Stage::before(&[&backend]);
    for resets in [false, true] {
        let mut raw = Raw::to(stage.address);
        raw.0.stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        raw.frame(1, 5, 1, if resets { SLOW } else { GET }).unwrap();
        if resets {
            raw.frame(3, 0, 1, &8_u32.to_be_bytes()).unwrap();
        } else {
            // Up to the end of the answer.
            while raw.next().is_some_and(|(kind, flags, _, _)| kind != 0 || flags & 1 == 0) {}
        }
        let before = backend.hits();
        raw.frame(1, 5, 1, GET).unwrap();
        raw.frame(1, 5, 3, GET).unwrap();
        let found = became(&mut raw, 1);
        let refused = [Ended(Reason::STREAM_CLOSED), BROKEN, Reset(Reason::STREAM_CLOSED)];
        assert!(found.is_some_and(|found| refused.contains(&found)), "{resets}: {found:?}");
        assert!(backend.hits() <= before + 1, "{resets}: it was asked again");
    }
}

/// Section 6.9.2: a window that changes while a stream is open, also to less than nothing.
#[test]
fn windows_follow_the_settings() {
    let backend = backend();
    let stage = Stage::before(&[&backend]);
    let mut raw = Raw::to(stage.address);
    let window = |size: u32| [&[0, 4][..], &size.to_be_bytes()].concat();
    raw.frame(4, 0, 0, &window(1)).unwrap();
    raw.frame(1, 5, 1, GET).unwrap();
    let data = |raw: &mut Raw| loop {
        let (kind, _, stream, content) = raw.next().expect("DATA");
        if (kind, stream) == (0, 1) {
            break String::from_utf8(content).unwrap();
        }
    };
    assert_eq!(data(&mut raw), "a");
    // 0 - 1 = -1, and 1 more is nothing yet.
    raw.frame(4, 0, 0, &window(0)).unwrap();
    raw.frame(8, 0, 1, &1_u32.to_be_bytes()).unwrap();
    raw.frame(6, 0, 0, b"no data!").unwrap();
    let pong = loop {
        let (kind, flags, _, content) = raw.next().expect("an answer to the PING");
        assert_ne!(kind, 0, "DATA without a window");
        if kind == 6 {
            break (flags, content);
        }
    };
    assert_eq!(pong, (1, b"no data!".to_vec()));
    raw.frame(8, 0, 1, &1_u32.to_be_bytes()).unwrap();
    assert_eq!(data(&mut raw), "p");
    raw.frame(4, 0, 0, &window(9)).unwrap();
    assert_eq!(data(&mut raw), "p");
}

/// Sections 3.4, 6.5.3 and 6.7: what a server owes in answer, once.
#[test]
fn settings_come_first_and_are_answered_and_so_are_pings() {
    let backend = backend();
    let stage = Stage::before(&[&backend]);
    let mut raw = Raw::to(stage.address);
    raw.frame(6, 1, 0, b"answered").unwrap();
    raw.frame(4, 0, 0, &[0, 3, 0, 0, 0, 9]).unwrap();
    raw.frame(6, 0, 0, b"question").unwrap();
    raw.frame(1, 5, 1, GET).unwrap();
    let (kind, flags, stream, _) = raw.next().unwrap();
    assert_eq!((kind, flags, stream), (4, 0, 0), "its preface is SETTINGS");
    let (mut settings, mut pings) = (0, Vec::new());
    loop {
        let (kind, flags, _, content) = raw.next().unwrap();
        match kind {
            4 => {
                assert_eq!((flags, content.len()), (1, 0));
                settings += 1;
            }
            6 => pings.push((flags, content)),
            1 => break,
            _ => {}
        }
    }
    assert_eq!((settings, pings), (2, vec![(1, b"question".to_vec())]));

    // A client whose preface is something else.
    let mut client = Client::to(stage.address);
    client.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut raw = Raw(client);
    raw.frame(6, 0, 0, b"question").unwrap();
    let (kind, flags, ..) = raw.next().unwrap();
    assert_eq!((kind, flags), (4, 0));
    // Its window may have been on the way already; its end need not be said (section 3.4).
    while let Some((kind, ..)) = raw.next() {
        assert_eq!(kind, 8, "neither an answer to the PING nor anything else");
    }
    assert_eq!(raw.0.stream.read(&mut [0]).unwrap(), 0, "the connection is not closed");
}

/// Section 8.3.1: OPTIONS of the server itself has the path `*`.
#[test]
fn options_of_the_whole_server_pass() {
    let backend = backend();
    let stage = Stage::before(&[&backend]);
    let mut raw = Raw::to(stage.address);
    let fields = [(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), (":authority", "a")];
    raw.frame(1, 5, 1, &head(&fields)).unwrap();
    assert_eq!(became(&mut raw, 1), Some(OK));
    let heads = backend.heads.lock().unwrap();
    assert!(heads[0].starts_with("OPTIONS * HTTP/1.1\r\nhost: a\r\n"), "{}", heads[0]);
}
