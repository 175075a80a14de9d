//! Races of the catalogue around a switch: who is asked, who is disturbed, and who must wait.
//!
//! Those of instances that leave are in `races_departing`; those of a proxy that ends are in `ending`.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use model::admin::{Reply, Request};
use model::{AppName, Generation, Pool};

use crate::backend::{Backend, Then};
use crate::client::Client;
use crate::framed::{Framed, get, run};
use crate::stage::{Stage, pool, retiring, routes, wait_until};

/// R5: connections that come while no proxy lives wait for the next one; none is refused.
#[test]
fn r05_connections_wait_while_there_is_no_proxy() {
    let backend = Backend::named("app");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..3 {
        let mut waiting: Vec<_> = (0..50).map(|_| Client::to(address)).collect();
        for (number, client) in waiting.iter_mut().enumerate() {
            // Some are still silent when the proxy comes.
            if number % 2 == 0 {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            }
        }
        let _stage = Stage::on(&listener, Some(vec![pool(1, 10_000, &[&backend])]));
        for (number, mut client) in waiting.into_iter().enumerate() {
            let answer = if number % 2 == 0 { client.answer() } else { client.post("/", "x") };
            assert_eq!(answer.unwrap().body, "app", "connection {number}");
        }
    }
}

/// R13: connections that live on, also such as carry many streams, are on the new release with their
/// next request.
#[test]
fn r13_kept_connections_are_on_the_new_release_at_once() {
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let mut stage = Stage::before(&[&old]);
    let mut kept = stage.client();
    run(async {
        let mut streams = Framed::plain(stage.address).await;
        for _ in 0..20 {
            assert_eq!(kept.get("/").unwrap().body, "old");
            assert_eq!(streams.whole(get("/")).await.unwrap().body, "old");
        }
        stage.publish(vec![retiring(pool(1, 0, &[&old])), pool(2, 10_000, &[&new])]);
        for _ in 0..100 {
            assert_eq!(kept.get("/").unwrap().body, "new");
            assert_eq!(streams.whole(get("/")).await.unwrap().body, "new");
        }
        streams.driver.abort();
    });
    assert_eq!((old.hits(), new.hits()), (40, 200));
}

/// R14: the instance of a name is where the routes say, not where it was.
#[test]
fn r14_an_instance_with_a_new_address_is_asked_there_at_once() {
    let at = |place: &'static str| Backend::scripted("one", move |peer, _| peer.ok(place));
    let (before, after) = (at("before"), at("after"));
    let mut stage = Stage::before(&[&before]);
    let mut clients: Vec<_> = (0..8).map(|_| stage.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").unwrap().body, "before");
    }
    stage.publish(vec![pool(1, 10_000, &[&after])]);
    before.kill();
    for client in &mut clients {
        assert_eq!(client.post("/", "").unwrap().body, "after", "a connection to the old address");
    }
    let seen = stage.admin.release(1);
    assert_eq!((seen.failed, seen.replayed, before.hits()), (0, 0, 8));
}

/// R21: one of two that is slow at first is given less, and what it takes is answered.
#[test]
fn r21_a_cold_instance_is_given_less_and_costs_nothing() {
    let cold = Backend::scripted("cold", |peer, _| {
        // What a cold cache costs.
        std::thread::sleep(Duration::from_millis(60));
        peer.ok("cold")
    });
    let warm = Backend::named("warm");
    let mut stage = Stage::before(&[&warm]);
    stage.publish(vec![pool(2, 10_000, &[&warm, &cold])]);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = stage.client();
                for _ in 0..40 {
                    assert_eq!(client.get("/").unwrap().status, 200);
                }
            });
        }
    });
    let (warm, cold) = (warm.hits(), cold.hits());
    assert_eq!(warm + cold, 240);
    assert!(cold > 0 && cold * 2 < warm, "{cold} cold, {warm} warm");
}

/// R21: all users go at once to a release whose first two hundred requests are slow, as after a switch from
/// nothing to everything: they wait for those, and none is lost, sent twice or refused.
#[test]
fn r21_a_switch_to_a_cold_release_costs_waiting_and_no_request() {
    const USERS: usize = 40;
    let cold = |name: &'static str| {
        let asked = AtomicU64::new(0);
        Backend::scripted(name, move |peer, _| {
            if asked.fetch_add(1, Ordering::SeqCst) < 100 {
                std::thread::sleep(Duration::from_millis(300));
            }
            peer.ok(name)
        })
    };
    let (old, new) = (Backend::named("old"), [cold("one"), cold("two")]);
    let mut stage = Stage::before(&[&old]);
    let (address, answered, warm) = (stage.address, AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for number in 0..USERS {
            let (answered, warm) = (&answered, &warm);
            scope.spawn(move || {
                let (mut client, mut since) = (Client::to(address), 0);
                // On from the switch until the slow ones are over.
                while since < 10 || warm.load(Ordering::SeqCst) < 400 {
                    if number % 4 == 0 {
                        client = Client::to(address);
                    }
                    let posts = number % 2 == 0;
                    let answer = if posts { client.post("/", "x") } else { client.get("/") };
                    let answer = answer.unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    answered.fetch_add(1, Ordering::SeqCst);
                    if answer.body != "old" {
                        since += 1;
                        warm.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        wait_until("users are on the old one", || answered.load(Ordering::SeqCst) > 400);
        let both = [&new[0], &new[1]];
        stage.publish(vec![retiring(pool(1, 0, &[&old])), pool(2, 10_000, &both)]);
    });
    let (before, after) = (stage.admin.release(1), stage.admin.release(2));
    assert_eq!((before.failed, after.failed, before.replayed, after.replayed), (0, 0, 0, 0));
    assert_eq!(before.answers[1] + after.answers[1], answered.into_inner());
    let hits = new.each_ref().map(Backend::hits);
    assert!(hits.iter().all(|hits| *hits >= 100), "both were cold, and warmed up: {hits:?}");
    assert_eq!((hits[0] + hits[1]) as u64, after.answers[1], "none was sent twice");
}

/// R22: requests that wait for an app that takes a pause wait all of them, and are all answered.
#[test]
fn r22_requests_that_wait_through_a_pause_are_all_answered() {
    let paused = Arc::new((Mutex::new(true), Condvar::new()));
    let gate = Arc::clone(&paused);
    let backend = Backend::scripted("app", move |peer, head| {
        if head.starts_with("POST") {
            peer.body(head);
        }
        let (paused, over) = &*gate;
        drop(over.wait_while(paused.lock().unwrap(), |paused| *paused).unwrap());
        peer.ok("app")
    });
    let mut stage = Stage::before(&[&backend]);
    let mut clients: Vec<_> = (0..300).map(|_| stage.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(if number % 2 == 0 {
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        } else {
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
        });
    }
    wait_until("all wait", || stage.admin.instance("app").unwrap().requests == 300);
    *paused.0.lock().unwrap() = false;
    paused.1.notify_all();
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().body, "app");
    }
    let seen = stage.admin.release(1);
    assert_eq!((seen.answers[1], seen.failed, seen.replayed), (300, 0, 0));
}

/// R27: nobody who saw a release sees an older one afterwards, neither on one connection nor, once the
/// switch is confirmed, on any.
#[test]
fn r27_nobody_goes_back_to_an_older_release() {
    let names = ["1", "2", "3", "4", "5"];
    let backends = names.map(Backend::named);
    let mut stage = Stage::before(&[&backends[0]]);
    let (over, sent, floor) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(1));
    std::thread::scope(|scope| {
        for fresh in [false, false, false, true] {
            let (address, over, sent, floor) = (stage.address, &over, &sent, &floor);
            scope.spawn(move || {
                let (mut client, mut last) = (Client::to(address), 1);
                while !over.load(Ordering::SeqCst) {
                    if fresh {
                        client = Client::to(address);
                    }
                    let confirmed = floor.load(Ordering::SeqCst);
                    let version = client.get("/").unwrap().body.parse::<u64>().unwrap();
                    assert!(version >= last.max(confirmed), "{version} after {last}, {confirmed}");
                    last = version;
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for release in 2..=5_u32 {
            let mark = sent.load(Ordering::SeqCst) + 100;
            wait_until("requests go on", || sent.load(Ordering::SeqCst) > mark);
            let (old, new) = (&backends[release as usize - 2], &backends[release as usize - 1]);
            stage.publish(vec![
                retiring(pool(release - 1, 0, &[old])),
                pool(release, 10_000, &[new]),
            ]);
            floor.store(u64::from(release), Ordering::SeqCst);
        }
        let mark = sent.load(Ordering::SeqCst) + 100;
        wait_until("requests go on", || sent.load(Ordering::SeqCst) > mark);
        over.store(true, Ordering::SeqCst);
    });
}

/// Publishes routes of an app of its own host.
fn publish(stage: &mut Stage, app: &str, generation: u64, pools: Vec<Pool>) {
    let (app, hosts) = (AppName::new(app).unwrap(), vec![format!("{app}.test")]);
    let routes = model::Routes { app, hosts, ..routes(generation, pools) };
    let expected = Generation(generation - 1);
    assert_eq!(stage.admin.ask(&Request::Publish { epoch: 1, expected, routes }), Reply::Done);
}

/// R28: while another app is switched again and again nobody of this one notices.
#[test]
fn r28_switches_of_another_app_do_not_disturb_this_one() {
    let mine = Backend::scripted("mine", |peer, head| {
        if head.starts_with("GET /ws") {
            peer.say(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            );
            while let Some(line) = peer.until("\n") {
                peer.say(&line);
            }
            return Then::Close;
        }
        peer.ok("mine")
    });
    let others = [Backend::named("one"), Backend::named("two")];
    let mut stage = Stage::bare();
    publish(&mut stage, "a", 1, vec![pool(1, 10_000, &[&mine])]);
    let (address, over, sent) = (stage.address, AtomicBool::new(false), AtomicU64::new(0));
    let mut tunnel = stage.client();
    tunnel.send("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(tunnel.head().unwrap().status, 101);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = Client::to(address);
                while !over.load(Ordering::SeqCst) {
                    let answer = client.get("/").unwrap();
                    assert_eq!((answer.body.as_str(), answer.field("connection")), ("mine", None));
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for generation in 1..=60 {
            let mark = sent.load(Ordering::SeqCst) + 5;
            wait_until("requests go on", || sent.load(Ordering::SeqCst) > mark);
            let other = &others[usize::from(generation % 2 == 0)];
            let release = u32::try_from(generation).unwrap();
            publish(&mut stage, "b", generation, vec![pool(release, 10_000, &[other])]);
            tunnel.send("still here\n");
            assert_eq!(tunnel.until("\n").unwrap(), "still here\n");
        }
        over.store(true, Ordering::SeqCst);
    });
    let seen = stage.admin.look().apps.into_iter().find(|one| one.routes.app.as_str() == "a");
    let release = &seen.unwrap().releases[0];
    assert_eq!((release.failed, release.replayed, release.tunnels), (0, 0, 1));
}
