//! Floods over HTTP/2 beside resets and continuations (see `http2_limits`): what costs the client nothing
//! costs us little, memory stays bounded, and others are served meanwhile.
//!
//! Clients that are slow, or ask too often, are in `slow` and `shares`.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use h2::Reason;

use crate::backend::Backend;
use crate::framed::{Raw, field, head};
use crate::stage::{Stage, wait_until};

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

/// Memory a flood of 4 MB may cost, bytes. Everything in this process counts, the test's own too.
const MAY_GROW: usize = 24 << 20;

/// Resident memory of this process, bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// Writes the same bytes until as many have gone, nothing moves any more, or the peer is gone; reads
/// nothing. Others ask meanwhile.
fn flood(stream: &mut TcpStream, stage: &Stage, burst: &[u8], total: usize) {
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    while sent < total && stream.write_all(burst).is_ok() {
        sent += burst.len();
        let began = Instant::now();
        assert_eq!(stage.client().get("/").unwrap().body, "app");
        assert!(began.elapsed() < Duration::from_secs(5), "others waited {:?}", began.elapsed());
    }
}

/// SETTINGS (CVE-2019-9515), PING (CVE-2019-9512), empty DATA (CVE-2019-9518), PRIORITY, WINDOW_UPDATE,
/// frames of unknown kinds, and requests that are refused.
#[test]
fn floods_cost_little_and_harm_nobody_else() {
    let backend = Backend::named("app");
    let mut stage = Stage::before(&[&backend]);
    let bad = head(&[&GET[..], &[("connection", "x")]].concat());
    let (settings, priority) = ([0, 3, 0, 0, 0, 100], [0, 0, 0, 0, 16]);
    for (name, one) in [
        ("settings", frame(4, 0, 0, &settings.repeat(10))),
        ("empty settings", frame(4, 0, 0, b"")),
        ("pings", frame(6, 0, 0, b"12345678")),
        ("priorities", frame(2, 0, 1, &priority)),
        ("windows", frame(8, 0, 0, &1_u32.to_be_bytes())),
        ("unknown kinds", frame(0xee, 0xff, 0, &[0; 100])),
        ("empty data", frame(0, 0, 1, b"")),
        ("refused requests", frame(1, 5, 3, &bad)),
    ] {
        let before = resident();
        let mut raw = Raw::to(stage.address);
        raw.frame(1, 4, 1, &head(&[&GET[1..], &[(":method", "POST")]].concat())).unwrap();
        let burst = one.repeat((256 << 10) / one.len());
        flood(&mut raw.0.stream, &stage, &burst, 4 << 20);
        let grown = resident().saturating_sub(before);
        assert!(grown < MAY_GROW, "{name}: {grown} bytes more");
        drop(raw);
        wait_until("its request is gone", || stage.admin.instance("app").unwrap().requests == 0);
    }
}

/// An integer behind a prefix of that many bits (RFC 7541 section 5.1).
fn integer(first: u8, bits: u32, number: usize) -> Vec<u8> {
    let most = (1_usize << bits) - 1;
    if number < most {
        return vec![first | u8::try_from(number).unwrap()];
    }
    let mut out = vec![first | u8::try_from(most).unwrap()];
    let mut rest = number - most;
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
    out
}

/// A few bytes that stand for many (CVE-2016-6581): one entry of the table, named again and again.
#[test]
fn a_bomb_of_compressed_fields_is_not_unpacked() {
    let backend = Backend::named("app");
    let mut stage = Stage::before(&[&backend]);
    let before = resident();
    for _ in 0..20 {
        let mut raw = Raw::to(stage.address);
        // Literal with incremental indexing, a new name.
        let mut first = head(&GET);
        first.extend_from_slice(&[0x40, 1, b'a']);
        first.extend_from_slice(&integer(0, 7, 3_900));
        first.extend_from_slice(&[b'x'; 3_900]);
        raw.frame(1, 5, 1, &first).unwrap();
        let bomb = [head(&GET), vec![0xbe; 16_000]].concat();
        for number in 1..50 {
            if raw.frame(1, 5, 2 * number + 1, &bomb).is_err() {
                break;
            }
        }
        assert_eq!(stage.client().get("/").unwrap().body, "app");
    }
    wait_until("all are gone", || stage.admin.instance("app").unwrap().requests == 0);
    assert!(backend.heads.lock().unwrap().iter().all(|head| head.len() < 32 * 1024));
    assert!(backend.hits() <= 40, "{} requests", backend.hits());
    let grown = resident().saturating_sub(before);
    assert!(grown < MAY_GROW, "{grown} bytes more");
}

/// Kind, flags, stream, content.
type Frame = (u8, u8, u32, &'static [u8]);

/// GET / of the host `a` (RFC 7541 appendix A).
const TOP: &[u8] = b"\x82\x86\x84\x01\x01a";

/// Frames that may not be, and the reason that is given; a general code may stand in place of a special one
/// (RFC 9113 section 5.4).
const BROKEN: &[(&str, &[Frame], Reason)] = &[
    ("DATA on stream 0", &[(0, 0, 0, b"x")], Reason::PROTOCOL_ERROR),
    ("DATA on an idle stream", &[(0, 0, 1, b"x")], Reason::PROTOCOL_ERROR),
    ("DATA with too much padding", &[(1, 4, 1, TOP), (0, 8, 1, b"\x09x")], Reason::PROTOCOL_ERROR),
    ("HEADERS on stream 0", &[(1, 5, 0, TOP)], Reason::PROTOCOL_ERROR),
    ("HEADERS on an even stream", &[(1, 5, 2, TOP)], Reason::PROTOCOL_ERROR),
    ("HEADERS on a lower stream", &[(1, 5, 5, TOP), (1, 5, 3, TOP)], Reason::PROTOCOL_ERROR),
    (
        "HEADERS that do not decompress",
        &[(1, 5, 1, b"\xff\xff\xff\xff\xff\x0f")],
        Reason::PROTOCOL_ERROR,
    ),
    ("HEADERS of an index that is not there", &[(1, 5, 1, b"\xfe")], Reason::PROTOCOL_ERROR),
    (
        "a frame between HEADERS and CONTINUATION",
        &[(1, 1, 1, TOP), (6, 0, 0, b"12345678")],
        Reason::PROTOCOL_ERROR,
    ),
    ("CONTINUATION of nothing", &[(9, 4, 1, TOP)], Reason::PROTOCOL_ERROR),
    ("PRIORITY on stream 0", &[(2, 0, 0, &[0; 5])], Reason::PROTOCOL_ERROR),
    ("RST_STREAM on stream 0", &[(3, 0, 0, &[0; 4])], Reason::PROTOCOL_ERROR),
    ("RST_STREAM on an idle stream", &[(3, 0, 1, &[0; 4])], Reason::PROTOCOL_ERROR),
    ("RST_STREAM of five bytes", &[(1, 4, 1, TOP), (3, 0, 1, &[0; 5])], Reason::PROTOCOL_ERROR),
    ("SETTINGS on a stream", &[(4, 0, 1, b"")], Reason::PROTOCOL_ERROR),
    ("SETTINGS of five bytes", &[(4, 0, 0, &[0; 5])], Reason::PROTOCOL_ERROR),
    ("SETTINGS: an answer with content", &[(4, 1, 0, &[0; 6])], Reason::PROTOCOL_ERROR),
    ("SETTINGS: push 2", &[(4, 0, 0, &[0, 2, 0, 0, 0, 2])], Reason::PROTOCOL_ERROR),
    ("SETTINGS: a window of 2^31", &[(4, 0, 0, &[0, 4, 0x80, 0, 0, 0])], Reason::PROTOCOL_ERROR),
    ("SETTINGS: frames of 1 byte", &[(4, 0, 0, &[0, 5, 0, 0, 0, 1])], Reason::PROTOCOL_ERROR),
    ("PUSH_PROMISE", &[(5, 4, 1, b"\0\0\0\x02\x82\x86\x84")], Reason::PROTOCOL_ERROR),
    ("PING on a stream", &[(6, 0, 1, b"12345678")], Reason::PROTOCOL_ERROR),
    ("PING of seven bytes", &[(6, 0, 0, b"1234567")], Reason::PROTOCOL_ERROR),
    ("GOAWAY on a stream", &[(7, 0, 1, &[0; 8])], Reason::PROTOCOL_ERROR),
    ("WINDOW_UPDATE of 0", &[(8, 0, 0, &[0; 4])], Reason::PROTOCOL_ERROR),
    ("WINDOW_UPDATE of three bytes", &[(8, 0, 0, &[0; 3])], Reason::PROTOCOL_ERROR),
    (
        "WINDOW_UPDATE beyond 2^31",
        &[(8, 0, 0, b"\x7f\xff\xff\xff"), (8, 0, 0, b"\x7f\xff\xff\xff")],
        Reason::FLOW_CONTROL_ERROR,
    ),
    ("WINDOW_UPDATE on an idle stream", &[(8, 0, 1, &[0, 0, 0, 1])], Reason::PROTOCOL_ERROR),
    ("a frame larger than announced", &[(0, 0, 1, &[0; 20_000])], Reason::FRAME_SIZE_ERROR),
];

/// RFC 9113 sections 5 and 6: each of these is an error of the connection, said as such.
#[test]
fn broken_frames_end_the_connection_with_their_reason() {
    let backend = Backend::named("app");
    let stage = Stage::before(&[&backend]);
    let mut other = Vec::new();
    for (name, frames, reason) in BROKEN {
        let mut raw = Raw::to(stage.address);
        for (kind, flags, stream, content) in *frames {
            raw.frame(*kind, *flags, *stream, content).unwrap();
        }
        raw.0.stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let found = raw.ended(u32::MAX);
        if found.as_ref() != Some(reason) {
            other.push((name, found));
        }
    }
    assert!(other.is_empty(), "ended for another reason: {other:?}");
}

/// A request whose fields come in pieces, beside one of every kind that may be ignored, is served.
#[test]
fn what_must_be_ignored_is_ignored() {
    let backend = Backend::named("app");
    let stage = Stage::before(&[&backend]);
    let mut raw = Raw::to(stage.address);
    let get = [head(&GET), field("x-long", "1")].concat();
    let (one, two) = get.split_at(7);
    for frames in [
        frame(0xee, 0, 0, b"unknown kind"),
        frame(4, 0, 0, &[0xfa, 0xce, 0, 0, 0, 1]),
        frame(2, 0, 9, &[0, 0, 0, 0, 16]),
        // Padded, with the priority of old, in three pieces; reserved bits and unknown flags set.
        frame(1, 0x29, 0x8000_0001, &[&[3][..], &[0, 0, 0, 0, 16], one, &[0; 3]].concat()),
        frame(9, 0, 1, b""),
        frame(9, 0x44, 1, two),
        frame(6, 1, 0, b"12345678"),
    ] {
        raw.bytes(&frames).unwrap();
    }
    let status = loop {
        let (kind, _, stream, content) = raw.next().unwrap();
        assert!(kind != 7 && kind != 3, "{kind} {content:?}");
        if (kind, stream) == (1, 1) {
            break content[0];
        }
    };
    assert_eq!(status, 0x88);
    assert_eq!(backend.hits(), 1);
}
