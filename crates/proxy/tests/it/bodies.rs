//! Bodies of every shape, in both directions.
//!
//! Framing that two could read differently is in `smuggling`, how large a body may be in `sizes`.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use model::AppName;
use model::admin::Request;

use crate::backend::{Backend, Then};
use crate::stage::Stage;

/// R3: an instance answers early while a big upload is still coming; the answer arrives whole and no
/// reset of ours destroys it. The short one is said by an instance that closes over unread data and
/// so resets its own connection; what it had said before counts.
#[test]
fn r03_an_early_answer_to_a_large_upload_arrives_whole() {
    for (length, abrupt) in [(2_000, true), (200_000, false)] {
        let backend = Backend::scripted("early", move |peer, _| {
            peer.say(&format!("HTTP/1.1 413 Too Large\r\nContent-Length: {length}\r\n\r\n"));
            peer.say(&"n".repeat(length));
            while !abrupt && peer.take(60_000).is_some() {}
            Then::Close
        });
        let mut stage = Stage::before(&[&backend]);
        for _ in 0..10 {
            let mut client = stage.client();
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n");
            let mut stream = client.stream.try_clone().unwrap();
            let writer = std::thread::spawn(move || {
                // May fail once the proxy has closed; what matters is what the reader gets.
                let _ = std::io::Write::write_all(&mut stream, &vec![b'x'; 8_000_000]);
            });
            let answer = client.answer().unwrap_or_else(|error| {
                panic!("{length}: {error}, {:?}", stage.admin.release(1));
            });
            assert_eq!((answer.status, answer.body.len()), (413, length));
            writer.join().unwrap();
        }
    }
}

/// A short rest of a body is read away and the connection goes on.
#[test]
fn an_early_answer_to_a_short_upload_keeps_the_connection() {
    let backend = Backend::scripted("early", |peer, head| {
        peer.ok("early");
        if head.starts_with("POST") { Then::Close } else { Then::Keep }
    });
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\nxxx");
    assert_eq!(client.answer().unwrap().body, "early");
    client.send(&"x".repeat(59_997));
    assert_eq!(client.get("/").unwrap().body, "early");
}

/// Both directions at once: each echoed chunk is seen before the next is sent.
#[test]
fn a_body_streams_both_ways_at_the_same_time() {
    let backend = Backend::scripted("echo", |peer, _| {
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        loop {
            let Some(chunk) = peer.until("\r\n").and_then(|size| Some(size + &peer.until("\r\n")?))
            else {
                return Then::Close;
            };
            peer.say(&chunk);
            if chunk.starts_with('0') {
                return Then::Keep;
            }
        }
    });
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    for number in 0..20 {
        let chunk = format!("4\r\n{number:04}\r\n");
        client.send(&chunk);
        assert_eq!(client.take(chunk.len()).unwrap(), chunk);
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.take(5).unwrap(), "0\r\n\r\n");
}

#[test]
fn chunks_and_trailers_pass_both_ways() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let backend = Backend::scripted("chunks", move |peer, head| {
        tell.lock().unwrap().send(peer.body(head)).unwrap();
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
        peer.say("3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n");
        Then::Keep
    });
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send("2\r\nhi\r\n0\r\nX-Mine: 1\r\n\r\n");
        let answer = client.answer().unwrap();
        assert_eq!(answer.body, "abcdefg|X-Sum: 7");
        assert_eq!(answer.field("trailer"), Some("x-sum"));
        assert_eq!(told.recv().unwrap().unwrap(), "2\r\nhi\r\n0\r\nX-Mine: 1\r\n\r\n");
    }
    assert_eq!(backend.connections.load(std::sync::atomic::Ordering::SeqCst), 2, "POSTs are fresh");
}

#[test]
fn answers_without_a_length_are_framed_for_the_client() {
    let backend = Backend::scripted("close", |peer, head| {
        let version = if head.starts_with("GET /old") { "1.0" } else { "1.1" };
        peer.say(&format!("HTTP/{version} 200 OK\r\n\r\nuntil the"));
        peer.say(" end");
        Then::Close
    });
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    for path in ["/", "/old", "/"] {
        let answer = client.get(path).unwrap();
        assert_eq!(answer.body, "until the end");
        assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
    }
    client.send("GET / HTTP/1.0\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!(
        (answer.body.as_str(), answer.field("connection")),
        ("until the end", Some("close"))
    );
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let backend = Backend::scripted("heads", |peer, head| {
        let path = head.split(' ').nth(1).unwrap_or("");
        match path {
            "/204" => peer.say("HTTP/1.1 204 No Content\r\n\r\n"),
            "/304" => peer.say("HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n"),
            _ => peer.say("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"),
        }
        Then::Keep
    });
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    for _ in 0..2 {
        assert_eq!(client.get("/204").unwrap().status, 204);
        assert_eq!(client.get("/304").unwrap().status, 304);
        client.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.head().unwrap();
        assert_eq!((head.status, head.field("content-length")), (200, Some("12")));
    }
    assert_eq!(backend.connections.load(std::sync::atomic::Ordering::SeqCst), 1, "one pooled");
}

#[test]
fn a_client_that_expects_100_gets_it_from_the_instance() {
    let backend = Backend::scripted("expects", |peer, head| {
        if head.contains("/no") {
            peer.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
            return Then::Close;
        }
        peer.say("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        let body = peer.body(head).unwrap_or_default();
        peer.ok(&body)
    });
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
    };
    client.send(&head("/"));
    assert_eq!(client.head().unwrap().field("link"), Some("x"));
    assert_eq!(client.head().unwrap().status, 100);
    client.send("body");
    assert_eq!(client.answer().unwrap().body, "body");
    client.send(&head("/no"));
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.field("connection")), (401, Some("close")));
    assert_eq!(client.rest().unwrap(), "");
}

#[test]
fn http_1_0_clients_are_answered_in_their_way() {
    let backend = Backend::scripted("old", |peer, head| {
        if head.starts_with("GET /chunked") {
            peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            peer.say("3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n");
            return Then::Keep;
        }
        peer.ok("plain")
    });
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.answer().unwrap();
        assert_eq!(
            (answer.body.as_str(), answer.field("connection")),
            ("plain", Some("keep-alive"))
        );
    }
    client.send("GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!((answer.body.as_str(), answer.field("transfer-encoding")), ("abcde", None));
    let mut client = stage.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().unwrap().field("connection"), Some("close"));
    assert_eq!(client.rest().unwrap(), "");
}

/// What a client sends ahead is answered in order.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::scripted("echo", |peer, head| {
        let path = head.split(' ').nth(1).unwrap_or("").to_owned();
        let body = peer.body(head).unwrap_or_default();
        peer.ok(&(path + &body))
    });
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy\
         GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    for expected in ["/1", "/2xy", "/3"] {
        assert_eq!(client.answer().unwrap().body, expected);
    }
    assert_eq!(client.rest().unwrap(), "");
}

#[test]
fn an_injected_fault_cuts_the_next_bodies_short() {
    let backend = Backend::named("whole");
    let mut stage = Stage::before(&[&backend]);
    let app = AppName::new("demo").unwrap();
    stage.admin.done(&Request::Truncate { app, bodies: 2 });
    for cut in [true, true, false] {
        let answer = stage.client().get("/");
        assert_eq!(answer.is_err(), cut, "{answer:?}");
    }
}

/// A slow reader holds the instance back instead of filling the proxy's memory.
#[test]
fn a_slow_client_slows_the_instance_down() {
    let written = Arc::new(Mutex::new(0_usize));
    let count = Arc::clone(&written);
    let total = 60_000_000_usize;
    let backend = Backend::scripted("big", move |peer, _| {
        peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n"));
        for _ in 0..60 {
            if std::io::Write::write_all(&mut peer.stream, &vec![b'x'; 1_000_000]).is_err() {
                return Then::Close;
            }
            *count.lock().unwrap() += 1_000_000;
        }
        Then::Keep
    });
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().unwrap();
    let mut seen = usize::MAX;
    crate::stage::wait_until("the instance stands still", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = *written.lock().unwrap();
        std::mem::replace(&mut seen, now) == now
    });
    assert!(seen < total / 2, "{seen} of {total} bytes are somewhere in between");
    let mut left = total;
    while left > 0 {
        left -= client.take(left.min(1_000_000)).unwrap().len();
    }
}
