//! Event streams: answers without an end, which count as tunnels and not as requests.
//!
//! How long they may be silent is in `silence`.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use model::admin::InstanceSeen;

use crate::backend::{Backend, Then};
use crate::framed::{Framed, get, next, run};
use crate::stage::{Stage, pool, retiring, wait_until};

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream ;charset=utf-8\r\n\
                      Transfer-Encoding: chunked\r\n\r\n";

/// An instance whose `/events` says `first`, then what it is told to; `None` breaks it off, and the
/// end of the telling is its end.
fn streaming() -> (Backend, Sender<Option<&'static str>>) {
    let (tell, told) = channel::<Option<&str>>();
    let told = Mutex::new(told);
    let backend = Backend::scripted("old", move |peer, head| {
        let path = head.split(' ').nth(1).unwrap_or("");
        match path {
            "/events" => peer.say(EVENTS),
            "/chunks" => peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "/head" => {
                peer.say(EVENTS);
                return Then::Keep;
            }
            _ => {
                peer.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
                peer.say("Content-Length: 10\r\n\r\n");
            }
        }
        peer.say(if path == "/known" { "first" } else { "5\r\nfirst\r\n" });
        for said in told.lock().unwrap().iter() {
            let Some(said) = said else { return Then::Close };
            peer.say(&format!("{:x}\r\n{said}\r\n", said.len()));
        }
        peer.say("0\r\n\r\n");
        Then::Keep
    });
    (backend, tell)
}

fn open(seen: &InstanceSeen) -> (u64, u64) {
    (seen.requests, seen.tunnels)
}

/// R10: to the drain it is a tunnel from its head on; it outlives the retirement of its pool, and its
/// end is seen.
#[test]
fn r10_an_event_stream_is_a_tunnel_and_outlives_its_pool() {
    let ((old, tell), new) = (streaming(), Backend::named("new"));
    let mut stage = Stage::before(&[&old]);
    let mut client = stage.client();
    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.take(10).unwrap(), "5\r\nfirst\r\n");
    assert_eq!(open(&stage.admin.instance("old").unwrap()), (0, 1));
    let seen = stage.admin.look();
    assert_eq!((seen.connections, seen.tunnelling), (1, 1));
    let pools = vec![retiring(pool(1, 0, &[&old])), pool(2, 10_000, &[&new])];
    for pools in [pools, vec![pool(2, 10_000, &[&new])]] {
        stage.publish(pools);
        assert_eq!(open(&stage.admin.instance("old").unwrap()), (0, 1));
        tell.send(Some("more")).unwrap();
        assert_eq!(client.take(9).unwrap(), "4\r\nmore\r\n");
    }
    drop(tell);
    assert_eq!(client.take(5).unwrap(), "0\r\n\r\n");
    wait_until("the stream's end is seen", || stage.admin.instance("old").is_none());
    assert_eq!(client.get("/").unwrap().body, "new", "the same connection goes on");
    assert_eq!(stage.admin.look().tunnelling, 0);
    let seen = stage.admin.release(1);
    assert_eq!((seen.requests, seen.tunnels, seen.answers), (1, 1, [0, 1, 0, 0, 0]));
    assert_eq!((seen.failed, seen.abandoned), (0, 0));
}

/// The same for a stream of an HTTP/2 connection, whose other streams are requests as ever.
#[test]
fn r10_an_event_stream_over_http2_is_a_tunnel_and_outlives_its_pool() {
    let ((old, tell), new) = (streaming(), Backend::named("new"));
    let mut stage = Stage::before(&[&old]);
    run(async {
        let mut client = Framed::plain(stage.address).await;
        let (answer, _) = client.begin(get("/events"), true).await.unwrap();
        let mut body = answer.await.unwrap().into_body();
        assert_eq!(next(&mut body).await.unwrap().unwrap(), "first");
        assert_eq!(open(&stage.admin.instance("old").unwrap()), (0, 1));
        let seen = stage.admin.look();
        assert_eq!((seen.connections, seen.tunnelling), (1, 0), "it may bring requests");
        let pools = vec![retiring(pool(1, 0, &[&old])), pool(2, 10_000, &[&new])];
        for pools in [pools, vec![pool(2, 10_000, &[&new])]] {
            stage.publish(pools);
            assert_eq!(open(&stage.admin.instance("old").unwrap()), (0, 1));
            tell.send(Some("more")).unwrap();
            assert_eq!(next(&mut body).await.unwrap().unwrap(), "more");
            assert_eq!(client.whole(get("/")).await.unwrap().body, "new");
        }
        drop(tell);
        // The end may come as a frame of its own.
        while let Some(content) = next(&mut body).await.unwrap() {
            assert_eq!(content, "");
        }
        wait_until("the stream's end is seen", || stage.admin.instance("old").is_none());
    });
    let (one, two) = (stage.admin.release(1), stage.admin.release(2));
    assert_eq!((one.requests, one.tunnels, one.answers), (1, 1, [0, 1, 0, 0, 0]));
    assert_eq!((two.requests, two.tunnels), (2, 0));
    assert_eq!((one.failed, one.abandoned), (0, 0));
}

/// One that is cut, and one whose client goes, leave the gate and are counted as any other answer.
#[test]
fn an_event_stream_that_breaks_off_leaves_and_is_counted() {
    let (old, tell) = streaming();
    let mut stage = Stage::before(&[&old]);
    for cut in [true, false] {
        let mut client = stage.client();
        client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().unwrap().status, 200);
        assert_eq!(client.take(10).unwrap(), "5\r\nfirst\r\n");
        if cut {
            tell.send(None).unwrap();
            assert_eq!(client.rest().unwrap_or_default(), "", "no end that looks like one");
        }
        drop(client);
        let gone = || open(&stage.admin.instance("old").unwrap()) == (0, 0);
        wait_until("the stream is gone", gone);
    }
    let seen = stage.admin.release(1);
    assert_eq!((seen.requests, seen.tunnels, seen.failed, seen.abandoned), (2, 2, 1, 1));
}

/// Only what has no end of its own: other streams, and events of which it is known how many there
/// are, are requests that are waited for.
#[test]
fn what_has_an_end_stays_a_request() {
    for path in ["/chunks", "/known"] {
        let (old, _tell) = streaming();
        let mut stage = Stage::before(&[&old]);
        let mut client = stage.client();
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.head().unwrap().status, 200);
        client.until("first").unwrap();
        assert_eq!(open(&stage.admin.instance("old").unwrap()), (1, 0), "{path}");
        let mut other = stage.client();
        other.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(other.head().unwrap().status, 200);
        assert_eq!(stage.admin.release(1).tunnels, 0, "{path}");
    }
}
