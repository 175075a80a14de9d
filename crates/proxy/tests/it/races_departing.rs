//! Races of instances that leave: told too early, gone too soon, or closing on their own account.
//!
//! Those around a switch are in `races`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::backend::{Backend, Then};
use crate::client::Client;
use crate::stage::{Stage, pool, retiring, wait_until};

/// Requests of both kinds on kept and on fresh connections until it is over; each must be answered
/// well, but for those POST that may be refused honestly.
struct Load {
    over: AtomicBool,
    sent: AtomicU64,
    /// POST that were answered with 502.
    refused: AtomicU64,
}

impl Load {
    fn new() -> Self {
        Self { over: AtomicBool::new(false), sent: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    fn run(&self, address: std::net::SocketAddr, number: usize) {
        let mut client = Client::to(address);
        while !self.over.load(Ordering::SeqCst) {
            if number == 0 {
                client = Client::to(address);
            }
            let posts = number % 2 == 1;
            let answer = if posts { client.post("/", "x") } else { client.get("/") };
            let answer = answer.unwrap();
            if posts && answer.status == 502 {
                self.refused.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            assert_eq!(answer.status, 200, "{}", answer.body);
            self.sent.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn goes_on(&self, requests: u64) {
        let mark = self.sent.load(Ordering::SeqCst) + requests;
        wait_until("requests go on", || self.sent.load(Ordering::SeqCst) > mark);
    }

    fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// Takes a few milliseconds between the head and the end of its answers.
fn unhurried(name: &str) -> Backend {
    let body = name.to_owned();
    Backend::scripted(name, move |peer, head| {
        if head.starts_with("POST") {
            peer.body(head);
        }
        peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
        std::thread::sleep(Duration::from_millis(5));
        peer.say(&body);
        Then::Keep
    })
}

/// R8: an instance that ends the moment it is told costs nothing, because nobody is there any more.
#[test]
fn r08_an_instance_that_ends_the_moment_it_is_drained_costs_nothing() {
    let mut old = unhurried("v1");
    let mut stage = Stage::before(&[&old]);
    let (load, mut waited) = (Load::new(), 0);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (load, address) = (&load, stage.address);
            scope.spawn(move || load.run(address, number));
        }
        for release in 2..=12_u32 {
            load.goes_on(10);
            let new = unhurried(&format!("v{release}"));
            let pools =
                vec![retiring(pool(release - 1, 0, &[&old])), pool(release, 10_000, &[&new])];
            stage.publish(pools);
            let open = |stage: &mut Stage| {
                stage.admin.instance(&old.name).map_or(0, |instance| instance.requests)
            };
            waited += u64::from(open(&mut stage) > 0);
            wait_until("nothing is open there", || open(&mut stage) == 0);
            old.kill();
            stage.publish(vec![pool(release, 10_000, &[&new])]);
            old = new;
        }
        load.goes_on(10);
        load.end();
    });
    assert!(waited > 0, "no switch found anything open: nothing was shown");
    assert_eq!(load.refused.into_inner(), 0);
    let releases = stage.admin.app().releases;
    let bad: u64 = releases.iter().map(|one| one.failed + one.replayed).sum();
    assert_eq!(bad, 0, "{releases:?}");
}

/// R9: an instance that stops accepting, and says so on the connections it has, before anybody was
/// told of it, costs nothing while there is another; but for a POST in each connection that the kernel
/// had taken for it and that is reset now: nobody can know that it was not read.
#[test]
fn r09_an_instance_that_closes_before_anybody_knows_costs_nothing() {
    let leaving = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&leaving);
    let one = Backend::scripted("one", move |peer, head| {
        if head.starts_with("POST") {
            peer.body(head);
        }
        if told.load(Ordering::SeqCst) {
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\none");
            return Then::Close;
        }
        peer.ok("one")
    });
    let two = Backend::named("two");
    let mut stage = Stage::before(&[&one, &two]);
    let load = Load::new();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (load, address) = (&load, stage.address);
            scope.spawn(move || load.run(address, number));
        }
        load.goes_on(100);
        assert!(one.hits() > 0);
        leaving.store(true, Ordering::SeqCst);
        one.stop_accepting();
        load.goes_on(300);
        load.end();
    });
    let (sent, refused) = (load.sent.into_inner(), load.refused.into_inner());
    let release = stage.admin.release(1);
    assert_eq!((release.failed, release.answers[1]), (refused, sent));
    assert!(refused <= 2, "{refused}, and only two users send POST");
}
