//! Requests that wait while an app that can run only one copy is replaced.
//!
//! That the app comes back in time is its controller's affair.

use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::admin::{HoldSeen, Request};
use model::{Generation, Hold};
use tokio::task::JoinSet;

use crate::backend::{Backend, Then};
use crate::framed::{Framed, get, run, whole};
use crate::load::{USERS, under_load};
use crate::stage::{Stage, pool, retiring, routes, wait_until};

const LONG: Hold = Hold { wait_ms: 20_000, requests: 1_000, bytes: 64 << 20 };

fn held(stage: &mut Stage) -> HoldSeen {
    stage.admin.app().held
}

fn waits(stage: &mut Stage, how_many: u64) {
    wait_until("requests wait", || held(stage).now == how_many);
}

/// Old and new never run at the same time, users go on all the while, and none of them fails.
#[test]
fn a_replacement_of_the_only_copy_costs_waiting_and_nothing_else() {
    let backends = [Backend::named("old"), Backend::named("new")];
    let mut stage = Stage::before(&[&backends[0]]);
    let fresh = |user| user % 3 == 0;
    let sent = under_load(
        stage.address,
        fresh,
        |_, _| {},
        |sent| {
            for round in 0..20_usize {
                let mark = sent.load(Ordering::Relaxed) + 20;
                wait_until("requests go on", || sent.load(Ordering::Relaxed) > mark);
                let (old, new) = (round % 2, (round + 1) % 2);
                let number = |at: usize| u32::try_from(at + 1).unwrap();
                stage.hold(vec![retiring(pool(number(old), 0, &[&backends[old]]))], LONG);
                wait_until("the old one is empty", || {
                    stage.admin.instance(&backends[old].name).is_none_or(|one| one.requests == 0)
                });
                stage.hold(vec![], LONG);
                waits(&mut stage, USERS as u64);
                stage.publish(vec![pool(number(new), 10_000, &[&backends[new]])]);
            }
        },
    );
    let (one, two) = (stage.admin.release(1), stage.admin.release(2));
    assert_eq!(one.answers[1] + two.answers[1], sent);
    let seen = held(&mut stage);
    assert_eq!((seen.now, seen.bytes, seen.refused), (0, 0, 0));
    assert!(seen.total >= 120, "{seen:?}");
}

/// What is open on the old instance finishes while others wait.
#[test]
fn what_is_open_finishes_first() {
    let (tell, told) = channel::<()>();
    let told = Mutex::new(told);
    let old = Backend::scripted("old", move |peer, _| {
        told.lock().unwrap().recv().unwrap();
        peer.ok("old")
    });
    let new = Backend::named("new");
    let mut stage = Stage::before(&[&old]);
    let (mut first, mut second) = (stage.client(), stage.client());
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("it is open", || stage.admin.instance("old").is_some_and(|one| one.requests == 1));
    stage.hold(vec![retiring(pool(1, 0, &[&old]))], LONG);
    second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    waits(&mut stage, 1);
    assert_eq!(stage.admin.instance("old").unwrap().requests, 1);
    tell.send(()).unwrap();
    assert_eq!(first.answer().unwrap().body, "old");
    stage.publish(vec![pool(2, 10_000, &[&new])]);
    assert_eq!(second.answer().unwrap().body, "new");
}

#[test]
fn beyond_a_bound_there_is_a_full_answer_at_once() {
    let old = Backend::named("old");
    let mut stage = Stage::before(&[&old]);
    stage.hold(vec![], Hold { wait_ms: 300, requests: 2, ..LONG });
    let mut clients: Vec<_> = (0..2).map(|_| stage.client()).collect();
    let began = Instant::now();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    waits(&mut stage, 2);
    let third = stage.client().get("/").unwrap();
    assert_eq!((third.status, third.field("retry-after")), (503, Some("1")));
    assert!(began.elapsed() < Duration::from_millis(290), "it waited: {:?}", began.elapsed());
    for client in &mut clients {
        let late = client.answer().unwrap();
        assert_eq!((late.status, late.field("retry-after")), (503, Some("1")), "{}", late.body);
        assert_eq!(late.field("connection"), None, "the connection goes on");
    }
    assert!(began.elapsed() >= Duration::from_millis(300));
    let seen = held(&mut stage);
    assert_eq!((seen.now, seen.bytes, seen.total, seen.refused), (0, 0, 2, 3));
    assert!(seen.longest_ms >= 300, "{seen:?}");
    // A body that is on its way takes a buffer, and there is no room for one.
    stage.publish(vec![pool(1, 10_000, &[&old])]);
    stage.hold(vec![], Hold { bytes: 8_000, ..LONG });
    assert_eq!(stage.client().post("/", "body").unwrap().status, 503);
    stage.publish(vec![pool(1, 10_000, &[&old])]);
    assert_eq!(clients[0].get("/").unwrap().body, "old");
}

#[test]
fn whoever_goes_away_frees_its_place() {
    let old = Backend::named("old");
    let mut stage = Stage::before(&[&old]);
    stage.hold(vec![], Hold { requests: 2, ..LONG });
    run(async {
        let mut framed = Framed::plain(stage.address).await;
        let (answer, stream) = framed.sender.send_request(get("/"), true).unwrap();
        let reset = stage.client();
        rustix::net::sockopt::set_socket_linger(&reset.stream, Some(Duration::ZERO)).unwrap();
        let mut reset = reset;
        reset.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        tokio::task::yield_now().await;
        while held(&mut stage).now < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        drop((answer, reset));
        let mut stream = stream;
        stream.send_reset(h2::Reason::CANCEL);
        let gone = Instant::now();
        while held(&mut stage).now > 0 {
            assert!(gone.elapsed() < Duration::from_secs(10), "their places are not free");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert_eq!(old.hits(), 0);
    let mut client = stage.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    waits(&mut stage, 1);
    stage.publish(vec![pool(1, 10_000, &[&old])]);
    assert_eq!(client.answer().unwrap().body, "old");
    assert_eq!(held(&mut stage).bytes, 0);
}

#[test]
fn streams_of_one_connection_wait_beside_each_other() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut stage = Stage::before(&[&old]);
    stage.hold(vec![retiring(pool(1, 0, &[&old]))], LONG);
    run(async {
        let framed = Framed::plain(stage.address).await;
        let mut answers = JoinSet::new();
        for _ in 0..20 {
            let (answer, _) = framed.sender.clone().send_request(get("/"), true).unwrap();
            answers.spawn(async move { whole(answer).await.unwrap() });
        }
        while held(&mut stage).now < 20 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stage.publish(vec![pool(2, 10_000, &[&new])]);
        while let Some(answer) = answers.join_next().await {
            let answer = answer.unwrap();
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "new"));
        }
    });
}

/// R22: two thousand wait, and all are answered by the new release; one more than may wait has a full answer at
/// once. (A toy instance has a thread for each connection, so there are no more of them here.)
#[test]
fn r22_two_thousand_that_are_held_are_all_answered_and_what_is_beyond_is_told() {
    const CONNECTIONS: usize = 20;
    const STREAMS: usize = 100;
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut stage = Stage::before(&[&old]);
    let most = u32::try_from(CONNECTIONS * STREAMS).unwrap();
    let bounds = Hold { wait_ms: 60_000, requests: most, ..LONG };
    stage.hold(vec![retiring(pool(1, 0, &[&old]))], bounds);
    run(async {
        let (mut connections, mut answers) = (Vec::new(), JoinSet::new());
        for _ in 0..CONNECTIONS {
            let mut framed = Framed::plain(stage.address).await;
            for _ in 0..STREAMS {
                let (answer, _) = framed.begin(get("/"), true).await.unwrap();
                answers.spawn(async move { whole(answer).await.unwrap() });
            }
            connections.push(framed);
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while held(&mut stage).now < most.into() {
            assert!(Instant::now() < deadline, "{:?}", held(&mut stage));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let beyond = stage.client().get("/").unwrap();
        assert_eq!((beyond.status, beyond.field("retry-after")), (503, Some("1")));
        stage.publish(vec![pool(2, 10_000, &[&new])]);
        while let Some(answer) = answers.join_next().await {
            let answer = answer.unwrap();
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "new"));
        }
    });
    let (seen, answered) = (held(&mut stage), stage.admin.release(2));
    assert_eq!((seen.now, seen.bytes, seen.refused), (0, 0, 1), "{seen:?}");
    assert_eq!((answered.answers[1], answered.failed, answered.replayed), (most.into(), 0, 0));
    assert_eq!(new.hits(), most as usize);
}

/// First come, first served: each client waits before the next one asks.
#[test]
fn they_go_on_in_the_order_in_which_they_came_and_not_all_at_once() {
    let (order, most) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (came, at) = (Arc::clone(&order), Arc::clone(&most));
    let new = Backend::scripted("new", move |peer, head| {
        came.lock().unwrap().push(head.split(' ').nth(1).unwrap().to_owned());
        at.lock().unwrap().push(Instant::now());
        peer.ok("new");
        Then::Close
    });
    let mut stage = Stage::bare();
    stage.hold(vec![], LONG);
    let mut clients = Vec::new();
    for number in 0..64 {
        let mut client = stage.client();
        client.send(&format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        clients.push(client);
        waits(&mut stage, number + 1);
    }
    stage.publish(vec![pool(2, 10_000, &[&new])]);
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().body, "new");
    }
    // Those of one step may overtake each other on their way, and on a busy machine the threads of the instance those of
    // the next one: nobody waits two steps longer than whoever came after.
    let order = order.lock().unwrap();
    for (turn, path) in order.iter().enumerate() {
        let number: usize = path[1..].parse().unwrap();
        assert!(turn.abs_diff(number) < 32, "{path} had turn {turn}: {order:?}");
    }
    let times = most.lock().unwrap();
    let took = times[63].duration_since(times[0]);
    assert!(took >= Duration::from_millis(10), "all at once: {took:?}");
}

/// A hold that gives traffic away, or has no bounds, is refused.
#[test]
fn a_hold_must_be_one() {
    let old = Backend::named("old");
    let mut stage = Stage::bare();
    for (pools, hold) in [
        (vec![pool(1, 10_000, &[&old])], LONG),
        (vec![], Hold { requests: 0, ..LONG }),
        (vec![], Hold { wait_ms: 0, ..LONG }),
    ] {
        let routes = model::Routes { hold: Some(hold), ..routes(1, pools) };
        let order = Request::Publish { epoch: 1, expected: Generation(0), routes };
        assert!(stage.admin.refused(&order).what.contains("a hold needs bounds"));
    }
}
