//! Small bodies that follow their heads: they come whole before an instance is asked, take a connection that
//! is there already, and are sent again as those that came with their heads.
//!
//! Clients that are slow on purpose are in `slow`; what came with its head is in `unread`.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{Method, Request as Head};

use crate::asking::comes;
use crate::backend::Backend;
use crate::client::Client;
use crate::framed::{Framed, ask, get, run, whole};
use crate::stage::{Stage, pool, retiring, wait_until};

/// More than is gathered.
const LARGE: usize = 17_000;

/// An instance that echoes bodies.
fn echo(name: &str) -> Backend {
    Backend::scripted(name, |peer, head| {
        let body = peer.body(head).unwrap_or_default();
        peer.ok(&body)
    })
}

/// A request with a body of so many bytes, announced.
fn announced(method: Method, bytes: usize) -> Head<()> {
    let mut request = ask(method, "/");
    request.headers_mut().insert("content-length", bytes.into());
    request
}

/// Sends a head and then its body, as a client that is slow: that is what is tested. Where it comes all at once
/// all the same, it is answered in the same way.
fn after_its_head(client: &mut Client, method: &str, body: &str) {
    let length = body.len();
    client.send(&format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    for part in body.as_bytes().chunks(body.len().div_ceil(3)) {
        std::thread::sleep(std::time::Duration::from_millis(20));
        client.send(std::str::from_utf8(part).unwrap());
    }
}

#[test]
fn a_small_body_that_follows_its_head_takes_a_connection_that_is_there() {
    let backend = echo("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    let opened = || backend.connections.load(Ordering::SeqCst);
    let mut client = stage.client();
    for (bytes, more) in [(10, 1), (10, 0), (16_384, 0), (LARGE, 1), (10, 0)] {
        let (before, body) = (opened(), "x".repeat(bytes));
        after_its_head(&mut client, "POST", &body);
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.body == body), (200, true), "{bytes} bytes");
        assert_eq!(opened() - before, more, "{bytes} bytes");
    }
    // What is behind it is the next request.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    client.send("cdGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().unwrap().body, "abcd");
    assert_eq!(client.answer().unwrap().body, "");
    let seen = stage.admin.release(1);
    assert_eq!((seen.answers[1], seen.failed, seen.replayed), (7, 0, 0));
}

#[test]
fn a_small_body_over_http2_takes_a_connection_that_is_there() {
    let backend = echo("demo-1-1");
    let stage = Stage::before(&[&backend]);
    let opened = || backend.connections.load(Ordering::SeqCst);
    run(async {
        // One connection, one thread, one pool.
        let mut client = Framed::plain(stage.address).await;
        for (bytes, more) in [(10, 1), (10, 0), (16_384, 0), (LARGE, 1), (10, 0)] {
            let (before, body) = (opened(), "x".repeat(bytes));
            let answer = client.upload(announced(Method::POST, bytes), &body).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.body == body), (200, true), "{bytes} bytes");
            assert_eq!(opened() - before, more, "{bytes} bytes");
        }
        // In several frames, whose last one is empty.
        let before = opened();
        let (answer, mut stream) = client.begin(announced(Method::POST, 6), false).await.unwrap();
        for part in ["ab", "cd", "ef"] {
            stream.send_data(part.into(), false).unwrap();
            tokio::task::yield_now().await;
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert_eq!(whole(answer).await.unwrap().body, "abcdef");
        assert_eq!(opened(), before);
        let unknown = client.upload(ask(Method::POST, "/"), "x").await.unwrap();
        assert_eq!(unknown.body, "1\r\nx\r\n0\r\n\r\n");
        assert_eq!(opened() - before, 1, "whose end is not known beforehand");
    });
}

/// Each instance but one dies of every request.
#[test]
fn a_small_body_that_was_gathered_is_sent_again_whole_where_its_method_allows_it() {
    let ([dying, living], bodies) = Backend::dying_and_living();
    let mut stage = Stage::before(&[&dying, &living]);
    let mut client = stage.client();
    for _ in 0..10 {
        after_its_head(&mut client, "PUT", "whole");
        assert_eq!(client.answer().unwrap().body, "stored");
    }
    run(async {
        let mut client = Framed::plain(stage.address).await;
        for _ in 0..10 {
            let answer = client.upload(announced(Method::PUT, 5), "whole").await.unwrap();
            assert_eq!(answer.body, "stored");
        }
    });
    {
        let bodies = bodies.lock().unwrap();
        assert!(bodies.len() > 20 && bodies.iter().all(|body| body == "whole"), "{bodies:?}");
    }
    // A POST that somebody has read is done once.
    stage.publish(vec![pool(1, 10_000, &[&dying])]);
    let before = dying.hits();
    after_its_head(&mut client, "POST", "whole");
    assert_eq!(client.answer().unwrap().status, 502);
    assert_eq!(dying.hits(), before + 1);
}

/// A switch does not wait for who is slow, and who is slow goes where the routes are by then.
#[test]
fn who_is_still_sending_a_small_body_holds_no_drain_and_goes_to_the_new_release() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut stage = Stage::before(&[&old]);
    let mut client = stage.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    run(async {
        let mut framed = Framed::plain(stage.address).await;
        let (answer, mut stream) = framed.begin(announced(Method::POST, 4), false).await.unwrap();
        stream.send_data("ab".into(), false).unwrap();
        // Answered on the same connection: the stream before it was taken in.
        assert_eq!(framed.whole(get("/")).await.unwrap().body, "old");
        wait_until("nobody is inside", || stage.admin.instance("old").unwrap().requests == 0);
        // Both serve; new requests go to one of them.
        stage.publish(vec![pool(1, 0, &[&old]), pool(2, 10_000, &[&new])]);
        stream.send_data("cd".into(), true).unwrap();
        assert_eq!(whole(answer).await.unwrap().body, "new");
    });
    stage.publish(vec![retiring(pool(1, 0, &[&old])), pool(2, 10_000, &[&new])]);
    client.send("cd");
    assert_eq!(client.answer().unwrap().body, "new");
    assert_eq!((old.hits(), new.hits()), (1, 2));
}

#[test]
fn who_goes_away_in_the_midst_of_a_small_body_costs_no_instance_anything() {
    let backend = Backend::named("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    let half = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab";
    for _ in 0..5 {
        stage.client().send(half);
    }
    run(async {
        let mut framed = Framed::plain(stage.address).await;
        let (_answer, mut stream) = framed.begin(announced(Method::POST, 4), false).await.unwrap();
        stream.send_data("ab".into(), false).unwrap();
        assert_eq!(framed.whole(get("/")).await.unwrap().body, "demo-1-1");
        stream.send_reset(h2::Reason::CANCEL);
        let labels = [("app", "demo"), ("class", "client-gone")];
        comes(&stage.socket, "cutover_refusals_total", &labels, 6);
        framed.driver.abort();
    });
    wait_until("the connections are gone", || stage.admin.look().connections == 0);
    let seen = stage.admin.release(1);
    assert_eq!((backend.hits(), seen.requests, seen.abandoned, seen.failed), (1, 1, 0, 0));
}
