//! Switching routes under load: nothing is lost, no connection is closed, counts are exact.
//!
//! Single races at a switch are in `races`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use crate::backend::{Backend, Then};
use crate::client::Answer;
use crate::load::{USERS, under_load};
use crate::stage::{Stage, pool, retiring, wait_until};

/// R23 and R10: switching back and forth while requests of all kinds run loses none of them.
#[test]
fn r23_a_switch_under_load_loses_nothing_and_closes_no_connection() {
    let backends = [Backend::named("old"), Backend::named("new")];
    let mut stage = Stage::before(&[&backends[0]]);
    let versions: [[AtomicU64; 2]; USERS] = Default::default();
    let check = |user: usize, answer: &Answer| {
        let new = answer.body == "new";
        let version = if new { "v2" } else { "v1" };
        assert_eq!(answer.field("x-cutover-version"), Some(version));
        assert_eq!(answer.field("x-cutover-instance"), Some(answer.body.as_str()));
        versions[user][usize::from(new)].fetch_add(1, Ordering::Relaxed);
    };
    let sent = under_load(
        stage.address,
        |_| false,
        check,
        |sent| {
            for round in 0..60 {
                let mark = sent.load(Ordering::Relaxed) + 50;
                wait_until("requests go on", || sent.load(Ordering::Relaxed) > mark);
                let (old, new) = (&[&backends[0]], &[&backends[1]]);
                stage.publish(if round % 2 == 0 {
                    vec![retiring(pool(1, 0, old)), pool(2, 10_000, new)]
                } else {
                    vec![pool(1, 10_000, old), retiring(pool(2, 0, new))]
                });
            }
        },
    );
    let both = |user: &[AtomicU64; 2]| user.iter().all(|count| count.load(Ordering::Relaxed) > 0);
    assert!(versions.iter().all(both), "{versions:?}");
    assert!(sent > 3_000, "only {sent}");
    let (one, two) = (stage.admin.release(1), stage.admin.release(2));
    assert_eq!(one.answers[1] + two.answers[1], sent);
    assert_eq!(one.failed + two.failed + one.replayed + two.replayed, 0);
}

/// After a publication was confirmed no request reaches what left, however old its connection.
#[test]
fn after_the_reply_nothing_new_reaches_the_old_release() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut stage = Stage::before(&[&old]);
    let mut clients: Vec<_> = (0..8).map(|_| stage.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").unwrap().body, "old");
    }
    stage.publish(vec![pool(2, 10_000, &[&new])]);
    let before = old.hits();
    for client in &mut clients {
        assert_eq!(client.get("/").unwrap().body, "new");
    }
    assert_eq!(old.hits(), before);
    assert!(stage.admin.instance("old").is_none(), "nothing is open there");
}

/// R18: the open count falls to zero when the last byte is out, not before, however long that takes;
/// nobody is told to end before it does, so no stop timeout can be shorter than a request.
#[test]
fn r18_a_drain_lasts_until_the_last_byte_is_out() {
    let (tell, told) = channel::<()>();
    let told = Mutex::new(told);
    let old = Backend::scripted("old", move |peer, _| {
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
        told.lock().unwrap().recv().unwrap();
        peer.say("67890");
        Then::Keep
    });
    let new = Backend::named("new");
    let mut stage = Stage::before(&[&old]);
    let mut client = stage.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.take(5).unwrap(), "12345");
    stage.publish(vec![retiring(pool(1, 0, &[&old])), pool(2, 10_000, &[&new])]);
    for _ in 0..20 {
        assert_eq!(stage.admin.instance("old").unwrap().requests, 1);
        assert_eq!(stage.client().get("/").unwrap().body, "new");
    }
    stage.publish(vec![pool(2, 10_000, &[&new])]);
    assert_eq!(stage.admin.instance("old").unwrap().requests, 1, "it stays visible when it left");
    tell.send(()).unwrap();
    assert_eq!(client.take(5).unwrap(), "67890");
    wait_until("the old instance is empty", || stage.admin.instance("old").is_none());
    assert_eq!(client.get("/").unwrap().body, "new", "the same connection goes on");
}

/// An instance that slowly takes a big upload keeps its count until the answer is out (R29).
#[test]
fn r29_an_upload_in_flight_at_the_switch_arrives_whole() {
    let received = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&received);
    let old = Backend::scripted("old", move |peer, _| {
        let mut left = 4_000_000_usize;
        while left > 0 {
            let now = left.min(50_000);
            let Some(bytes) = peer.take(now) else { return Then::Close };
            left -= bytes.len();
            count.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        }
        peer.ok("old")
    });
    let new = Backend::named("new");
    let mut stage = Stage::before(&[&old]);
    let mut client = stage.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n");
    client.send(&"x".repeat(1_000_000));
    wait_until("the upload began", || received.load(Ordering::SeqCst) > 0);
    stage.publish(vec![retiring(pool(1, 0, &[&old])), pool(2, 10_000, &[&new])]);
    assert_eq!(stage.admin.instance("old").unwrap().requests, 1);
    client.send(&"x".repeat(3_000_000));
    assert_eq!(client.answer().unwrap().body, "old");
    assert_eq!(received.load(Ordering::SeqCst), 4_000_000);
    assert_eq!(client.get("/").unwrap().body, "new");
}
