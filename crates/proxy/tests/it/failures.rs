//! Instances that fail: what is sent again, what is not, and what the client sees.
//!
//! POST on connections that were closed unread is in `unread`; who fails again and again, in `outliers`.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::backend::{Backend, Then};
use crate::client::Client;
use crate::stage::{Stage, pool, wait_until};

/// An instance that takes requests and drops the connection without a word.
fn deaf(name: &str) -> Backend {
    Backend::scripted(name, |peer, head| {
        if head.starts_with("POST") {
            peer.body(head);
        }
        Then::Close
    })
}

/// R6: one of two instances dies under load; no GET fails, however unaware the routes are.
#[test]
fn r06_a_killed_instance_costs_no_get() {
    let backends = [Backend::named("one"), Backend::named("two")];
    let mut stage = Stage::before(&[&backends[0], &backends[1]]);
    let begun = Barrier::new(5);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = stage.client();
                for number in 0..400 {
                    if number == 50 {
                        begun.wait();
                    }
                    let answer = client.get("/").unwrap();
                    assert_eq!(answer.status, 200, "request {number}: {}", answer.body);
                }
            });
        }
        begun.wait();
        backends[0].kill();
    });
    let release = stage.admin.release(1);
    assert_eq!(release.failed, 0);
    assert_eq!(release.answers, [0, 1_600, 0, 0, 0]);
}

/// R20: a replay goes to another instance at once, and a refusing one is left alone for a moment.
#[test]
fn r20_a_replay_goes_elsewhere_and_at_once() {
    let (dead, alive) = (Backend::named("dead"), Backend::named("alive"));
    dead.kill();
    let mut stage = Stage::before(&[&dead, &alive]);
    let began = Instant::now();
    let mut client = stage.client();
    for _ in 0..100 {
        assert_eq!(client.post("/", "x").unwrap().body, "alive");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let release = stage.admin.release(1);
    assert!((1..=20).contains(&release.replayed), "avoided for a second: {}", release.replayed);
}

/// R19: a request that may have had an effect is sent once and answered honestly.
#[test]
fn r19_a_post_is_executed_at_most_once() {
    let backends = [deaf("one"), deaf("two"), deaf("three")];
    let mut stage = Stage::before(&[&backends[0], &backends[1], &backends[2]]);
    let mut client = stage.client();
    let answer = client.post("/", "pay").unwrap();
    assert_eq!(answer.status, 502);
    let executed: usize = backends.iter().map(Backend::hits).sum();
    assert_eq!(executed, 1);
    let tried = answer.field("x-cutover-instance").unwrap().to_owned();
    assert!(backends.iter().any(|one| one.name == tried && one.hits() == 1), "{tried}");
    let release = stage.admin.release(1);
    assert_eq!((release.failed, release.replayed), (1, 0));

    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 502, "no body makes it no safer");
    assert_eq!(backends.iter().map(Backend::hits).sum::<usize>(), 2);

    // A GET tries three instances, then fails as honestly; one with a key is as good as a GET.
    assert_eq!(client.get("/").unwrap().status, 502);
    assert_eq!(backends.iter().map(Backend::hits).sum::<usize>(), 2 + 3);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 502);
    assert_eq!(backends.iter().map(Backend::hits).sum::<usize>(), 2 + 3 + 3);
}

/// R2: an instance closes idle connections at the very pace of the requests. A GET never fails; a POST
/// that the instance's close crosses fails honestly, is counted, and is rare: it needs a close between
/// our look at the connection and our first byte, for which a busy machine leaves room.
#[test]
fn r02_stale_connections_cost_neither_get_nor_post() {
    let idle = Duration::from_millis(50);
    let backend = Backend::with_idle("short", idle, |peer, head| {
        if head.starts_with("POST") {
            peer.body(head);
        }
        peer.ok("short")
    });
    let mut stage = Stage::before(&[&backend]);
    let crossed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for jitter in 0..6_u64 {
            let crossed = &crossed;
            let mut client = stage.client();
            scope.spawn(move || {
                for number in 0..50 {
                    let posts = number % 2 == 1;
                    let answer = if posts { client.post("/", "x") } else { client.get("/") };
                    let status = answer.unwrap().status;
                    if posts && status == 502 {
                        crossed.fetch_add(1, Ordering::SeqCst);
                    } else {
                        assert_eq!(status, 200);
                    }
                    // The pause is what is tested: around the instance's own limit.
                    std::thread::sleep(Duration::from_micros(49_000 + jitter * 400));
                }
            });
        }
    });
    let release = stage.admin.release(1);
    let crossed = crossed.into_inner() as u64;
    assert!(crossed <= 3, "{crossed} of 150");
    assert_eq!(release.answers[1], 300 - crossed);
    assert_eq!(release.failed, crossed, "counted");
}

/// A pooled connection that dies after it took a GET is no reason to fail it either.
#[test]
fn r02_a_get_on_a_connection_that_dies_is_sent_again_freshly() {
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    // Every second request finds the connection closed under it.
    let backend = Backend::scripted("odd", move |peer, _| {
        if count.fetch_add(1, Ordering::SeqCst) % 2 == 1 { Then::Close } else { peer.ok("odd") }
    });
    let mut stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    for _ in 0..50 {
        assert_eq!(client.get("/").unwrap().status, 200);
    }
    assert!(served.load(Ordering::SeqCst) > 90, "the pool was used and its connections died");
    assert_eq!(stage.admin.release(1).failed, 0);
}

/// The candidate dies right after the switch: requests return to the release that stands by.
#[test]
fn a_dead_candidate_is_replayed_to_the_standby_release() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut stage = Stage::before(&[&old]);
    stage.publish(vec![pool(1, 0, &[&old]), pool(2, 10_000, &[&new])]);
    let mut client = stage.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").unwrap().body, "new", "standby takes no first try");
    }
    new.kill();
    for _ in 0..20 {
        assert_eq!(client.get("/").unwrap().body, "old");
        assert_eq!(client.post("/", "x").unwrap().body, "old", "no connection: nothing was sent");
    }
    let new = stage.admin.release(2);
    assert_eq!((new.replayed, new.failed), (40, 0));
}

#[test]
fn nobody_there_is_said_honestly() {
    let mut stage = Stage::bare();
    let mut client = stage.client();
    assert_eq!(client.get("/").unwrap().status, 404, "no app");
    stage.publish(vec![pool(1, 10_000, &[])]);
    let answer = client.get("/").unwrap();
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut dead = pool(1, 10_000, &[]);
    dead.instances.push(model::Instance { id: model::InstanceId("gone".into()), address: gone });
    stage.publish(vec![dead]);
    let answer = client.post("/", "x").unwrap();
    assert_eq!((answer.status, answer.field("x-cutover-instance")), (502, Some("gone")));
    assert_eq!(client.get("/").unwrap().status, 502, "and the connection goes on");
}

/// R11: an instance that dies in mid-body must never look like a whole answer.
#[test]
fn r11_a_truncated_body_is_seen_as_truncated() {
    for (head, body) in [
        ("Content-Length: 100\r\n", "1234567890"),
        ("Transfer-Encoding: chunked\r\n", "5\r\n12345\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\n123"),
        ("Transfer-Encoding: chunked\r\n", "5\r\n12345\r\nzz\r\n"),
    ] {
        let backend = Backend::scripted("cut", move |peer, _| {
            peer.say(&format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}"));
            Then::Close
        });
        let mut stage = Stage::before(&[&backend]);
        for version in ["1.1", "1.0"] {
            let mut client = stage.client();
            client.send(&format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
            let answer = client.answer();
            let refused = answer.as_ref().is_ok_and(|answer| answer.status == 502);
            assert!(answer.is_err() || refused, "{version} {head} {body}: {answer:?}");
        }
        assert_eq!(stage.admin.release(1).failed, 2);
    }
}

/// An answer that is not HTTP is refused as a whole.
#[test]
fn malformed_answers_become_502() {
    for bad in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "SSH-2.0-x\r\n\r\n",
    ] {
        let backend = Backend::scripted("bad", move |peer, _| {
            peer.say(bad);
            Then::Keep
        });
        let stage = Stage::before(&[&backend]);
        let answer = stage.client().get("/").unwrap();
        assert_eq!(answer.status, 502, "{bad:?} became {answer:?}");
    }
}

/// A client that gives up in mid-answer leaves nothing open.
#[test]
fn a_client_that_goes_frees_the_gate() {
    let backend = Backend::scripted("endless", |peer, _| {
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("{:x}\r\n{}\r\n", 60_000, "x".repeat(60_000));
        while std::io::Write::write_all(&mut peer.stream, chunk.as_bytes()).is_ok() {}
        Then::Close
    });
    let mut stage = Stage::before(&[&backend]);
    let mut client = Client::to(stage.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(stage.admin.instance("endless").unwrap().requests, 1);
    drop(client);
    wait_until("the gate is empty", || stage.admin.instance("endless").unwrap().requests == 0);
    assert_eq!(stage.admin.release(1).failed, 0, "that was not the instance's fault");
}
