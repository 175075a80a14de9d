//! Many requests in mixed lanes through route switches: none may be lost. Messages through tunnels go beside
//! them and do not count as requests.
//!
//! A sample by default; one million through fifty switches with `CUTOVER_FULL=1`. Why one would be lost is
//! tried race by race, in `races`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::backend::{Backend, Peer, Then};
use crate::client::Client;
use crate::framed::{Framed, ask, get, whole};
use crate::stage::{Stage, pool, retiring};

/// Requests between two looks at the clock of a lane.
const ROUND: usize = 50;

/// The lane of messages through tunnels, behind those of requests.
const MESSAGES: usize = 3;

/// What the lanes have done together.
#[derive(Default)]
struct Tally {
    lanes: [AtomicU64; 4],
    over: AtomicBool,
}

impl Tally {
    /// Requests that were answered, messages left out.
    fn requests(&self) -> u64 {
        self.lanes[..MESSAGES].iter().map(|lane| lane.load(Ordering::Relaxed)).sum()
    }

    fn add(&self, lane: usize, count: usize) {
        self.lanes[lane].fetch_add(count as u64, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Answers with its name, or echoes lines once upgraded.
fn instance(name: &'static str) -> Backend {
    Backend::scripted(name, move |peer: &mut Peer, head| {
        if head.starts_with("GET /ws") {
            peer.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n");
            peer.say("Upgrade: websocket\r\n\r\n");
            while let Some(line) = peer.until("\n") {
                peer.say(&line);
            }
            return Then::Close;
        }
        if head.starts_with("POST") {
            peer.body(head);
        }
        peer.ok(name)
    })
}

fn kept(address: SocketAddr, tally: &Tally) {
    let mut client = Client::to(address);
    while !tally.is_over() {
        for number in 0..ROUND {
            let posts = number % 5 == 0;
            let answer = if posts { client.post("/", "body") } else { client.get("/") };
            let answer = answer.unwrap();
            assert_eq!((answer.status, answer.field("connection")), (200, None));
        }
        tally.add(0, ROUND);
    }
}

fn fresh(address: SocketAddr, tally: &Tally) {
    while !tally.is_over() {
        assert_eq!(Client::to(address).get("/").unwrap().status, 200);
        tally.add(1, 1);
    }
}

/// One connection of HTTP/2 that must outlive all switches.
async fn streams(address: SocketAddr, tally: &Tally) {
    let mut client = Framed::plain(address).await;
    while !tally.is_over() {
        let mut open = JoinSet::new();
        for number in 0..ROUND {
            let posts = number % 5 == 0;
            let request = if posts { ask(http::Method::POST, "/") } else { get("/") };
            open.spawn(whole(client.begin(request, true).await.unwrap().0));
        }
        for answer in open.join_all().await {
            assert_eq!(answer.unwrap().status.as_u16(), 200);
        }
        tally.add(2, ROUND);
    }
    client.driver.abort();
}

/// A tunnel that must outlive some switches, and lose no message.
fn tunnel(address: SocketAddr, tally: &Tally) {
    while !tally.is_over() {
        let mut client = Client::to(address);
        client.send(
            "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        assert_eq!(client.head().unwrap().status, 101);
        for message in 0..20 * ROUND {
            let line = format!("message {message}\n");
            client.send(&line);
            assert_eq!(client.until("\n").unwrap(), line);
            tally.add(MESSAGES, 1);
            if tally.is_over() {
                return;
            }
        }
    }
}

/// Waits until that many requests are done, or a lane has ended before its time.
fn reached(tally: &Tally, total: u64, lanes: &[ScopedJoinHandle<'_, ()>]) {
    while tally.requests() < total && !lanes.iter().any(ScopedJoinHandle::is_finished) {
        // Many polls would take the time from the lanes.
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Publishes the one release or the other.
fn switch(stage: &mut Stage, backends: &[Backend; 2], round: u64) {
    let (old, new) = (&[&backends[0]], &[&backends[1]]);
    stage.publish(if round.is_multiple_of(2) {
        vec![retiring(pool(1, 0, old)), pool(2, 10_000, new)]
    } else {
        vec![pool(1, 10_000, old), retiring(pool(2, 0, new))]
    });
}

#[test]
fn a_million_requests_through_fifty_switches_lose_none() {
    let full = std::env::var_os("CUTOVER_FULL").is_some_and(|value| value == "1");
    let (total, switches) = if full { (1_000_000, 50) } else { (20_000, 10) };
    let backends = [instance("one"), instance("two")];
    let mut stage = Stage::before(&[&backends[0]]);
    let (tally, address, began) = (Tally::default(), stage.address, Instant::now());
    std::thread::scope(|scope| {
        let mut lanes = Vec::new();
        for lane in [kept, kept, fresh, tunnel] {
            let tally = &tally;
            lanes.push(scope.spawn(move || lane(address, tally)));
        }
        let shared = &tally;
        lanes.push(scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(streams(address, shared));
        }));
        for round in 0..switches {
            reached(&tally, total * (round + 1) / (switches + 1), &lanes);
            switch(&mut stage, &backends, round);
        }
        reached(&tally, total, &lanes);
        tally.over.store(true, Ordering::Relaxed);
        for lane in lanes {
            lane.join().unwrap();
        }
    });
    let lanes: Vec<u64> = tally.lanes.iter().map(|lane| lane.load(Ordering::Relaxed)).collect();
    println!(
        "{} requests: {lanes:?} (kept, fresh, http/2; messages) in {:?}",
        tally.requests(),
        began.elapsed()
    );
    assert!(tally.requests() >= total);
    assert!(lanes.iter().all(|&count| count > total / 100), "a lane stood still: {lanes:?}");
    let (one, two) = (stage.admin.release(1), stage.admin.release(2));
    assert_eq!(one.failed + two.failed + one.replayed + two.replayed, 0);
    let answered = one.answers[1] + two.answers[1];
    assert_eq!(answered, tally.requests(), "answers and requests differ");
    assert!(one.answers[1] > 0 && two.answers[1] > 0);
}
