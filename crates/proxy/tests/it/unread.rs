//! POST on connections that instances close under it: sent again when nobody can have read it, and never
//! done twice.
//!
//! Other failures are in `failures`.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::backend::{Backend, Then};
use crate::stage::Stage;

/// Requests that are sent.
const ALL: u64 = 500;

/// An instance that ends nearly each connection without a word, so many microseconds after its answer; every
/// tenth request, on a connection that was kept, has its effect and no answer. Notes which requests it has read.
fn closing(done: &Arc<Mutex<BTreeMap<String, usize>>>) -> Backend {
    let done = Arc::clone(done);
    Backend::scripted("closing", move |peer, head| {
        let id = peer.body(head).unwrap();
        let number: u64 = id.trim().parse().unwrap();
        *done.lock().unwrap().entry(id).or_default() += 1;
        if number % 10 == 9 {
            return Then::Close;
        }
        peer.ok("done");
        if number % 10 == 8 {
            return Then::Keep;
        }
        // From at once to well behind the next request.
        let until = Instant::now() + Duration::from_micros(number % 50 * 8);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        let _ = peer.stream.shutdown(Shutdown::Both);
        Then::Close
    })
}

#[test]
fn a_post_that_crosses_a_close_is_done_once_or_fails_honestly() {
    let done = Arc::default();
    let backend = closing(&done);
    let mut stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    let mut answered = 0;
    for number in 0..ALL {
        let answer = client.post("/", &format!("{number:6}")).unwrap();
        assert!(matches!(answer.status, 200 | 502), "{answer:?}");
        answered += u64::from(answer.status == 200);
    }
    let done = done.lock().unwrap();
    assert!(done.values().all(|times| *times == 1), "done twice: {done:?}");
    assert!(done.len() as u64 >= answered);
    let release = stage.admin.release(1);
    assert_eq!((release.answers[1], release.failed), (answered, ALL - answered), "all are counted");
    println!("{answered} of {ALL} were answered well");
    // How many cross the close is the machine's affair: with a close every time, on a busy one a tenth.
    assert!(answered * 2 > ALL, "{answered} of {ALL}");
}

/// What came with the head and is small travels on connections that are there already, and so does what
/// has no body; the rest gets a fresh one, since it could not be sent again.
#[test]
fn only_what_could_be_sent_again_is_sent_on_a_reused_connection() {
    let backend = Backend::scripted("demo-1-1", |peer, head| {
        peer.body(head);
        peer.ok("ok")
    });
    let stage = Stage::before(&[&backend]);
    let opened = || backend.connections.load(std::sync::atomic::Ordering::SeqCst);
    // One connection, one thread, one pool.
    let mut client = stage.client();
    for (body, more) in [(10, 1), (10, 0), (1_000, 0), (17_000, 1), (17_000, 1), (10, 0)] {
        let before = opened();
        assert_eq!(client.post("/", &"x".repeat(body)).unwrap().status, 200);
        assert_eq!(opened() - before, more, "{body} bytes");
    }
    let before = opened();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    );
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(opened() - before, 1, "whose end is not known beforehand");
}

/// A small body is there for the next instance, too.
#[test]
fn a_put_with_a_small_body_is_sent_again_whole() {
    let ([dying, living], bodies) = Backend::dying_and_living();
    let stage = Stage::before(&[&dying, &living]);
    let mut client = stage.client();
    for _ in 0..10 {
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nwhole");
        assert_eq!(client.answer().unwrap().body, "stored");
    }
    let bodies = bodies.lock().unwrap();
    assert!(bodies.len() > 10 && bodies.iter().all(|body| body == "whole"), "{bodies:?}");
}
