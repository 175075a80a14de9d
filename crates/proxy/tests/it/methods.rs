//! OPTIONS and HEAD reach the instance as they were asked, and their answers end where they end.
//!
//! Which methods may be sent a second time is in `failures`.

use std::sync::atomic::Ordering;

use http::Method;

use crate::backend::{Backend, Then};
use crate::framed::{Framed, Raw, ask, get, head, run};
use crate::stage::Stage;

/// Answers as the method asks: HEAD tells of a body that does not come, OPTIONS says what is allowed.
fn app() -> Backend {
    Backend::scripted("app", |peer, head| {
        let mut words = head.split(' ');
        match (words.next().unwrap(), words.next().unwrap()) {
            ("HEAD", "/chunks") => {
                peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            }
            ("HEAD", _) => peer.say("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"),
            ("OPTIONS", "*") => peer.say("HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n"),
            ("OPTIONS", _) => {
                let body = peer.body(head).unwrap_or_default();
                let length = body.len();
                peer.say(&format!("HTTP/1.1 200 OK\r\nAllow: PUT\r\nContent-Length: {length}\r\n"));
                peer.say(&format!("\r\n{body}"));
            }
            _ => return peer.ok("app"),
        }
        Then::Keep
    })
}

fn asked(backend: &Backend) -> String {
    let heads = backend.heads.lock().unwrap();
    heads.last().unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn options_and_head_are_carried_as_they_are() {
    let backend = app();
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    for _ in 0..2 {
        client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.field("allow")), (204, Some("get")));
        assert_eq!(asked(&backend), "OPTIONS * HTTP/1.1");

        client.send("OPTIONS /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
        let answer = client.answer().unwrap();
        assert_eq!((answer.body.as_str(), answer.field("allow")), ("body", Some("put")));
        assert_eq!(asked(&backend), "OPTIONS /x?y HTTP/1.1");

        for (path, length) in [("/x?y", Some("12")), ("/chunks", None)] {
            client.send(&format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let head = client.head().unwrap();
            assert_eq!((head.status, head.field("content-length")), (200, length));
            assert_eq!(asked(&backend), format!("HEAD {path} HTTP/1.1"));
            assert_eq!(client.get("/").unwrap().body, "app", "{path}: its end was found");
        }
    }
    assert_eq!(backend.connections.load(Ordering::SeqCst), 1, "and on the instance's side too");
    client.send("GET * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 400, "for OPTIONS alone");
}

#[test]
fn so_they_are_as_frames() {
    let backend = app();
    let stage = Stage::before(&[&backend]);
    run(async {
        let mut client = Framed::plain(stage.address).await;
        let answer = client.whole(ask(Method::OPTIONS, "/x?y")).await.unwrap();
        assert_eq!((answer.body.as_str(), answer.field("allow")), ("", Some("PUT")));
        assert_eq!(asked(&backend), "OPTIONS /x?y HTTP/1.1");
        for (path, length) in [("/x?y", Some("12")), ("/chunks", None)] {
            let answer = client.whole(ask(Method::HEAD, path)).await.unwrap();
            assert_eq!((answer.body.as_str(), answer.field("content-length")), ("", length));
            assert_eq!(asked(&backend), format!("HEAD {path} HTTP/1.1"));
        }
        assert_eq!(client.whole(get("/")).await.unwrap().body, "app");
    });
    // No client says it with a host of its own.
    let mut raw = Raw::to(stage.address);
    let fields = [(":method", "OPTIONS"), (":scheme", "http"), (":authority", "a"), (":path", "*")];
    raw.frame(1, 5, 1, &head(&fields)).unwrap();
    let answer = std::iter::from_fn(|| raw.next()).find(|frame| (frame.0, frame.2) == (1, 1));
    // An indexed `:status: 204` (RFC 7541 appendix A).
    assert_eq!(answer.unwrap().3[0], 0x89);
    assert_eq!(asked(&backend), "OPTIONS * HTTP/1.1");
}
