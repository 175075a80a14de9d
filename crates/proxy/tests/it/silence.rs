//! Silence: event streams and long polls last as long as their clients, and no longer.
//!
//! Clients that keep silent on purpose are in `slow`.

use std::io::Read;
use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use model::admin::{Request, Settings};

use crate::backend::{Backend, Then};
use crate::client::Client;
use crate::stage::{Stage, wait_until};

/// An instance that is silent until it is told to go on, after a head and one event (`/events`) or
/// before anything (`/poll`). It says when its connection is closed from the other side.
fn silent() -> (Backend, Sender<()>, Receiver<()>) {
    let (go, gone) = (channel::<()>(), channel());
    let (going, tell) = (Mutex::new(go.1), Mutex::new(gone.0));
    let backend = Backend::scripted("silent", move |peer, head| {
        let events = head.starts_with("GET /events");
        if events {
            peer.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
            peer.say("Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        }
        peer.stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        while going.lock().unwrap().try_recv().is_err() {
            if matches!(peer.stream.read(&mut [0; 1]), Ok(0)) {
                tell.lock().unwrap().send(()).unwrap();
                return Then::Close;
            }
        }
        peer.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        if events {
            peer.say("3\r\ntwo\r\n0\r\n\r\n");
            return Then::Keep;
        }
        peer.ok("news")
    });
    (backend, go.0, gone.1)
}

fn configure(stage: &mut Stage, answer_begins_ms: u64, answer_silence_ms: u64) {
    let settings = Settings { answer_begins_ms, answer_silence_ms, ..Settings::default() };
    stage.admin.done(&Request::Configure { settings });
}

fn open(stage: &Stage, path: &str) -> Client {
    let mut client = stage.client();
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    if path == "/events" {
        assert_eq!(client.head().unwrap().status, 200);
        assert_eq!(client.take(8).unwrap(), "3\r\none\r\n");
    }
    client
}

/// Polls and event streams at the instance.
fn open_at(stage: &mut Stage) -> u64 {
    let seen = stage.admin.instance("silent").unwrap();
    seen.requests + seen.tunnels
}

#[test]
fn silence_is_limited_only_by_what_was_configured() {
    let (backend, go, gone) = silent();
    let mut stage = Stage::before(&[&backend]);
    configure(&mut stage, 300, 300);
    assert_eq!(open(&stage, "/poll").answer().unwrap().status, 504);
    gone.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(open(&stage, "/events").until("two").is_err());
    gone.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(stage.admin.release(1).failed, 2);

    configure(&mut stage, 0, 0);
    let (mut poll, mut events) = (open(&stage, "/poll"), open(&stage, "/events"));
    assert!(gone.recv_timeout(Duration::from_millis(1_200)).is_err(), "nobody is cut");
    for _ in 0..2 {
        go.send(()).unwrap();
    }
    assert_eq!(poll.answer().unwrap().body, "news");
    assert_eq!(events.take(13).unwrap(), "3\r\ntwo\r\n0\r\n\r\n");
}

/// A client that resets its connection is noticed at once, one that closes it soon after; both
/// before and in the midst of an answer, and also behind a request that was sent ahead.
#[test]
fn a_client_that_vanishes_during_silence_frees_the_instance() {
    let (backend, _go, gone) = silent();
    let mut stage = Stage::before(&[&backend]);
    for (path, ahead) in [("/events", ""), ("/poll", ""), ("/poll", "GET / HTTP/1.1\r\n")] {
        let mut client = open(&stage, path);
        client.send(ahead);
        wait_until("the request is there", || open_at(&mut stage) == 1);
        let began = Instant::now();
        rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
        drop(client);
        gone.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(began.elapsed() < Duration::from_secs(3), "{path}: {:?}", began.elapsed());
    }
    let clients = ["/events", "/poll"].map(|path| open(&stage, path));
    wait_until("both are there", || open_at(&mut stage) == 2);
    drop(clients);
    for _ in 0..2 {
        gone.recv_timeout(Duration::from_secs(10)).unwrap();
    }
    wait_until("the gate is empty", || open_at(&mut stage) == 0);
    let release = stage.admin.release(1);
    assert_eq!((release.abandoned, release.failed), (5, 0));
}

/// A client may end its side and read on.
#[test]
fn a_half_closed_client_gets_its_answer() {
    let (backend, go, gone) = silent();
    let stage = Stage::before(&[&backend]);
    let mut client = open(&stage, "/poll");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(gone.recv_timeout(Duration::from_millis(500)).is_err(), "it is waited for");
    go.send(()).unwrap();
    assert_eq!(client.answer().unwrap().body, "news");
}
