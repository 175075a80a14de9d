//! Heads that must be refused before anything reaches an instance.

use std::time::{Duration, Instant};

use model::admin::{Request, Settings};

use crate::backend::Backend;
use crate::stage::Stage;

/// RFC 9112 section 11.2: whatever two parsers could read differently.
const SMUGGLED: [(&str, u16); 38] = [
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabc", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nabc", 400),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c: d\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\n A: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\nHost: a\n\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nA: b\rContent-Length: 3\r\n\r\nabc", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nA: b\nB: c\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nA\x01: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417),
];

#[test]
fn ambiguous_heads_are_refused_and_reach_nobody() {
    let backend = Backend::named("app");
    let stage = Stage::before(&[&backend]);
    for (text, status) in SMUGGLED {
        let mut client = stage.client();
        client.send(text);
        let answer = client.answer().unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(answer.status, status, "{text:?}");
        assert_eq!(answer.field("connection"), Some("close"), "{text:?}");
        assert_eq!(client.rest().unwrap(), "", "nothing follows: {text:?}");
    }
    assert_eq!(backend.hits(), 0);
}

/// Broken chunks are noticed on the way: the instance never sees the end of such a request.
#[test]
fn ambiguous_chunks_are_refused_and_never_end_a_request() {
    let backend = Backend::scripted("app", |peer, head| {
        peer.body(head);
        peer.ok("whole")
    });
    let stage = Stage::before(&[&backend]);
    for chunks in [
        "-3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3 ;a=b\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n",
        "3\r\nabc\r\n0\r\nHost: b\r\n\r\n",
        "3\r\nabc\r\n0\r\nA : b\r\n\r\n",
        "3\r\nabc\r\n0\r\nA: b\n\r\n",
    ] {
        let mut client = stage.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(chunks);
        let answer = client.answer().unwrap_or_else(|error| panic!("{chunks:?}: {error}"));
        assert_eq!(answer.status, 400, "{chunks:?} {}", answer.body);
        assert_eq!(client.rest().unwrap(), "", "{chunks:?}");
    }
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let backend = Backend::named("app");
    let stage = Stage::before(&[&backend]);
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(101));
    for head in [long, many] {
        let mut client = stage.client();
        client.send(&head);
        assert_eq!(client.answer().unwrap().status, 431);
    }
    assert_eq!(backend.hits(), 0);
    let fits = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(30_000));
    let mut client = stage.client();
    client.send(&fits);
    assert_eq!(client.answer().unwrap().status, 200);
}

/// A head that drips is given up after ten seconds, however busily it drips.
#[test]
fn a_slow_head_is_given_up() {
    let backend = Backend::named("app");
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    let began = Instant::now();
    client.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    let answer = loop {
        match client.answer() {
            Ok(answer) => break answer,
            Err(_) => client.send("A: b\r\n"),
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it was never given up");
    };
    assert_eq!(answer.status, 408);
    assert!(began.elapsed() > Duration::from_secs(9), "{:?}", began.elapsed());
}

#[test]
fn what_the_instance_is_told_and_what_it_cannot_say() {
    let backend = Backend::scripted("app", |peer, _| {
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Cutover-Version: lie\r\n");
        peer.say("Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX-End: 2\r\n\r\nok");
        crate::backend::Then::Keep
    });
    let stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    client.send(
        "GET /x HTTP/1.1\r\nHost: Shop.test:81\r\nX-Forwarded-For: 9.9.9.9\r\nTE: trailers\r\n\r\n",
    );
    let answer = client.answer().unwrap();
    assert_eq!(answer.field("x-cutover-version"), Some("v1"));
    assert!(!answer.head.contains("lie") && !answer.head.contains("x-hop"), "{}", answer.head);
    assert!(!answer.head.contains("keep-alive"), "{}", answer.head);
    assert_eq!(answer.field("x-end"), Some("2"));
    let head = backend.heads.lock().unwrap()[0].clone();
    for line in [
        "host: Shop.test:81\r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
        "x-forwarded-proto: http\r\n",
        "x-forwarded-host: Shop.test:81\r\n",
        "x-request-id: ",
    ] {
        assert!(head.contains(line), "{line:?} is missing in {head}");
    }
    assert!(!head.to_lowercase().contains("trailers"), "{head}");
}

/// Claims of a sender are believed only after it was named; the id of a request goes both ways.
#[test]
fn who_asked_is_believed_of_trusted_senders_only() {
    let backend = Backend::scripted("app", |peer, _| {
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Request-Id: mine\r\n\r\n");
        crate::backend::Then::Keep
    });
    let mut stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    for (trusted, line) in [
        (None, "x-forwarded-for: 127.0.0.1\r\n"),
        (Some("10.0.0.0/8"), "x-forwarded-for: 127.0.0.1\r\n"),
        (Some("127.0.0.0/8"), "x-forwarded-for: 9.9.9.9, 127.0.0.1\r\n"),
    ] {
        if let Some(network) = trusted {
            let trusted = vec![network.parse().unwrap()];
            let settings = Settings { trusted, ..Settings::default() };
            stage.admin.done(&Request::Configure { settings });
        }
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\n");
        client.send("X-Request-Id: its-own\r\n\r\n");
        let answer = client.answer().unwrap();
        assert_eq!(answer.field("x-request-id"), Some("its-own"));
        assert!(!answer.head.contains("mine"), "{}", answer.head);
        let head = backend.heads.lock().unwrap().last().unwrap().clone();
        assert!(head.contains(line) && head.contains("x-request-id: its-own\r\n"), "{head}");
    }
    stage.publish(Vec::new());
    let refused = client.get("/").unwrap();
    assert_eq!((refused.status, refused.field("x-request-id").unwrap().len()), (503, 32));
}
