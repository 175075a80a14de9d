//! What HTTP/2 clients may not do: malformed requests, and floods of what costs them nothing.
//!
//! What they may do is in `http2`.

use std::io::Read;
use std::time::Duration;

use h2::Reason;
use http::Method;

use crate::backend::{Backend, Then};
use crate::client::Client;
use crate::framed::{Framed, Raw, ask, get, head, run};
use crate::stage::{Stage, wait_until};

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

/// END_STREAM and END_HEADERS.
const BOTH: u8 = 5;

/// RFC 9113 section 8.2 and 8.3. Most cost only their stream.
#[test]
fn malformed_requests_are_refused_and_reach_nobody() {
    let backend = Backend::named("app");
    let stage = Stage::before(&[&backend]);
    let with = |more: &[(&'static str, &'static str)]| head(&[&GET[..], more].concat());
    let bad = [
        with(&[("connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("upgrade", "websocket")]),
        with(&[("keep-alive", "5")]),
        with(&[("te", "gzip")]),
        with(&[("Upper", "case")]),
        with(&[("a b", "c")]),
        with(&[("a", "b\r\nc: d")]),
        with(&[("a", "b\0c")]),
        with(&[(":path", "/twice")]),
        with(&[("a", "b"), (":status", "200")]),
        with(&[("content-length", "5")]),
        head(&GET[1..]),
        head(&[GET[0], GET[2], GET[3]]),
        head(&[GET[0], GET[1], GET[3]]),
    ];
    for fields in bad {
        let mut raw = Raw::to(stage.address);
        raw.frame(1, BOTH, 1, &fields).unwrap();
        let reason = raw.ended(1);
        assert_eq!(reason, Some(Reason::PROTOCOL_ERROR), "{}", String::from_utf8_lossy(&fields));
    }
    assert_eq!(backend.hits(), 0);
    let mut raw = Raw::to(stage.address);
    raw.frame(1, BOTH, 1, &with(&[("connection", "close")])).unwrap();
    raw.frame(1, BOTH, 3, &head(&GET)).unwrap();
    wait_until("the good one is served", || backend.hits() == 1);
    assert!(backend.heads.lock().unwrap()[0].starts_with("GET / HTTP/1.1\r\nhost: a\r\n"));
}

#[test]
fn what_the_strict_parser_refuses_is_refused_here_too() {
    let backend = Backend::scripted("app", |peer, head| {
        // It answers only what it has read to its end.
        match peer.body(head) {
            Some(_) => peer.ok("app"),
            None => Then::Close,
        }
    });
    let stage = Stage::before(&[&backend]);
    run(async {
        let mut client = Framed::plain(stage.address).await;
        let connect = http::Request::builder().method(Method::CONNECT).uri("a.test:443");
        let answer = client.whole(connect.body(()).unwrap()).await.unwrap();
        assert_eq!(answer.status.as_u16(), 405);
        let mut other = get("/");
        other.headers_mut().insert("host", "other.test".parse().unwrap());
        assert_eq!(client.whole(other).await.unwrap().status.as_u16(), 400);
        let mut many = get("/");
        for number in 0..101 {
            let name = http::HeaderName::from_bytes(format!("a{number}").as_bytes()).unwrap();
            many.headers_mut().insert(name, "b".parse().unwrap());
        }
        assert_eq!(client.whole(many).await.unwrap().status.as_u16(), 431);
        let mut long = get("/");
        long.headers_mut().insert("a", "x".repeat(40_000).parse().unwrap());
        assert_eq!(client.whole(long).await.unwrap().status.as_u16(), 431);
        let mut trailers = http::HeaderMap::new();
        trailers.insert("content-length", "3".parse().unwrap());
        let (answer, mut stream) = client.begin(ask(Method::POST, "/"), false).await.unwrap();
        stream.send_trailers(trailers).unwrap();
        assert_eq!(answer.await.unwrap().status().as_u16(), 400);
    });
    // The instance saw the head of the last one, and never its end.
    assert!(backend.hits() <= 1);
}

/// A connection speaks one protocol from its first byte on.
#[test]
fn a_later_request_does_not_change_the_protocol() {
    let backend = Backend::named("app");
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    assert_eq!(client.get("/").unwrap().status, 200);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 505);
    assert_eq!(client.rest().unwrap(), "");
}

/// CVE-2023-44487: requests that are broken off as soon as they are sent.
#[test]
fn a_flood_of_resets_ends_the_connection() {
    let backend = Backend::scripted("slow", |peer, _| {
        let _ = peer.stream.read(&mut [0; 1]);
        Then::Close
    });
    let mut stage = Stage::before(&[&backend]);
    let mut raw = Raw::to(stage.address);
    // One after the other, so that each is taken in before it is broken off.
    let fields = head(&GET);
    let mut sent = 0;
    for number in 0..2_000_u32 {
        let stream = 2 * number + 1;
        if raw.frame(1, BOTH, stream, &fields).is_err() {
            break;
        }
        if number % 16 == 15 {
            wait_until("they were taken in or it is over", || {
                let seen = stage.admin.look();
                seen.connections == 0 || stage.admin.release(1).requests > u64::from(number)
            });
        }
        if raw.frame(3, 0, stream, &8_u32.to_be_bytes()).is_err() {
            break;
        }
        sent = number + 1;
    }
    assert!((200..600).contains(&sent), "it was let go on for {sent} requests");
    assert_eq!(raw.goaway(), Some(Reason::ENHANCE_YOUR_CALM));
    wait_until("nothing is left", || stage.admin.instance("slow").unwrap().requests == 0);

    // All at once: they are broken off before they are taken in.
    let mut raw = Raw::to(stage.address);
    let mut burst = Vec::new();
    for number in 0..2_000_u32 {
        let stream = 2 * number + 1;
        burst.extend_from_slice(&[0, 0, u8::try_from(fields.len()).unwrap(), 1, BOTH]);
        burst.extend_from_slice(&stream.to_be_bytes());
        burst.extend_from_slice(&fields);
        burst.extend_from_slice(&[0, 0, 4, 3, 0]);
        burst.extend_from_slice(&stream.to_be_bytes());
        burst.extend_from_slice(&8_u32.to_be_bytes());
    }
    let before = stage.admin.release(1).requests;
    // The connection may end while it is still being written to.
    let _ = raw.bytes(&burst);
    assert_eq!(raw.goaway(), Some(Reason::ENHANCE_YOUR_CALM));
    assert!(stage.admin.release(1).requests < before + 600);
}

/// A user who is in a hurry is no flood.
#[test]
fn many_broken_off_among_answered_ones_are_no_flood() {
    let backend = Backend::scripted("app", |peer, head| {
        if head.starts_with("GET /slow") {
            let _ = peer.stream.read(&mut [0; 1]);
            return Then::Close;
        }
        peer.ok("app")
    });
    let mut stage = Stage::before(&[&backend]);
    run(async {
        let mut client = Framed::plain(stage.address).await;
        for _ in 0..600 {
            let (_, mut stream) = client.begin(get("/slow"), true).await.unwrap();
            assert_eq!(client.whole(get("/")).await.unwrap().body, "app");
            stream.send_reset(Reason::CANCEL);
        }
        assert_eq!(client.whole(get("/")).await.unwrap().body, "app");
    });
    wait_until("nothing is left", || stage.admin.instance("app").unwrap().requests == 0);
}

#[test]
fn a_flood_of_continuations_ends_the_connection() {
    let backend = Backend::named("app");
    let stage = Stage::before(&[&backend]);
    let mut raw = Raw::to(stage.address);
    raw.frame(1, 1, 1, &head(&GET)).unwrap();
    // Empty ones; the end of the head never comes.
    for _ in 0..1_000 {
        if raw.frame(9, 0, 1, b"").is_err() {
            break;
        }
    }
    assert_eq!(raw.goaway(), Some(Reason::ENHANCE_YOUR_CALM));
    assert_eq!(backend.hits(), 0);
}

#[test]
fn more_streams_than_announced_are_refused() {
    let backend = Backend::scripted("slow", |peer, _| {
        let _ = peer.stream.read(&mut [0; 1]);
        Then::Close
    });
    let mut stage = Stage::before(&[&backend]);
    let mut raw = Raw::to(stage.address);
    let (kind, _, _, settings) = raw.next().unwrap();
    assert_eq!(kind, 4);
    let announced = settings.chunks(6).find(|one| one[..2] == [0, 3]).unwrap();
    assert_eq!(u32::from_be_bytes(announced[2..].try_into().unwrap()), 128);
    for number in 0..129 {
        raw.frame(1, BOTH, 2 * number + 1, &head(&GET)).unwrap();
    }
    assert_eq!(raw.ended(257), Some(Reason::REFUSED_STREAM));
    wait_until("the others are under way", || {
        stage.admin.instance("slow").unwrap().requests == 128
    });
}

/// A preface that never becomes a connection, and one that says nothing more, do not stay for good.
#[test]
fn a_broken_preface_is_the_end() {
    let backend = Backend::named("app");
    let mut stage = Stage::before(&[&backend]);
    let mut client = Client::to(stage.address);
    client.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    client.stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    let mut said = Vec::new();
    let _ = client.stream.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP/1"), "{said:?}");
    wait_until("it is gone", || stage.admin.look().connections == 0);
}
