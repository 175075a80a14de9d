//! Heads that must be refused before anything reaches an instance.
//!
//! Heads that two could read differently are in `smuggling`.

use model::admin::{Request, Settings};

use crate::backend::Backend;
use crate::stage::Stage;

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
