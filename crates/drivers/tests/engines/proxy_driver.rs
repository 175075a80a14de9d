//! The driver of the own proxy against a fake admin socket: what is sent, and that nothing the other
//! side does makes it panic or wait for ever.
//!
//! The real proxy keeps the contract end to end, not here.

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::common::fake_proxy;
use drivers::router::proxy::Proxy;
use drivers::router::{Open, Router};
use fake_proxy::{FakeProxy, Mood};
use model::admin::{KeyPair, Observation, Request, Settings};
use model::{AppName, Generation, Instance, InstanceId, Kind, Pool, PoolState, ReleaseId, Routes};
use model::{Version, Weight};

fn routes(instances: u16) -> Routes {
    let instance = |n: u16| Instance {
        id: InstanceId(format!("demo-1-{n}")),
        address: ([127, 0, 0, 1], 20_000 + n).into(),
    };
    Routes {
        app: AppName::new("demo").unwrap(),
        generation: Generation(99),
        hosts: vec![],
        path_prefix: "/".into(),
        pools: vec![Pool {
            release: ReleaseId(1),
            version: Version::new("v1").unwrap(),
            weight: Weight::ALL,
            state: PoolState::Serving,
            instances: (1..=instances).map(instance).collect(),
        }],
        rules: vec![],
        hold: None,
        hand_over: None,
        spread: model::Spread::default(),
    }
}

#[tokio::test]
async fn publishing_carries_the_next_generation_and_the_counters_come_back() {
    let fake = FakeProxy::start();
    let proxy = Proxy::new(&fake.socket());
    let want = routes(2);
    let have = proxy.look(&want.app).await.unwrap();
    assert_eq!((have.routes.clone(), have.pid), (None, Some(7)));
    let plan = proxy.plan(Some(&want), &have);
    assert_eq!(plan.changes[0].words, "route demo (generation 1): v1 100.00% on 2");
    proxy.act(&plan.changes[0], 3).await.unwrap();
    let have = proxy.look(&want.app).await.unwrap();
    assert_eq!(have.routes.as_ref().unwrap().generation, Generation(1));
    assert_eq!((have.open_on(ReleaseId(1)).requests, have.open_on(ReleaseId(1)).tunnels), (2, 4));
    let each: Vec<_> = have.instances.iter().map(|(id, open)| (id.0.as_str(), *open)).collect();
    let open = Open { requests: 1, tunnels: 2 };
    assert_eq!(each, [("demo-1-1", open), ("demo-1-2", open)]);
    assert_eq!((have.totals[&ReleaseId(1)].requests, have.epoch), (10, 3));
    assert!(proxy.plan(Some(&want), &have).settled());
    assert_eq!(fake.state.lock().unwrap().accepted, 1, "one connection for all");
}

#[tokio::test]
async fn a_refusal_is_passed_on_in_the_proxys_words() {
    let fake = FakeProxy::start();
    let proxy = Proxy::new(&fake.socket());
    let fault = proxy.truncate(&routes(1).app, 1).await.unwrap_err();
    assert_eq!((fault.kind, fault.what.as_str()), (Kind::Conflict, "faults are not allowed"));
    assert!(proxy.seen().await.is_ok(), "the connection is still good");
    assert_eq!(fake.state.lock().unwrap().accepted, 1);
    proxy.stop(500).await.unwrap();
    assert_eq!(fake.state.lock().unwrap().asked.last(), Some(&Request::stop(500)));
}

#[tokio::test]
async fn listening_sockets_travel_both_ways() {
    let fake = FakeProxy::start();
    let proxy = Proxy::new(&fake.socket());
    let sockets: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    for socket in &sockets {
        proxy.send_listener(socket.as_fd(), socket.local_addr().unwrap()).await.unwrap();
    }
    let taken = proxy.take_listeners().await.unwrap();
    let mut back = taken.into_iter().map(|(address, fd)| (address, TcpListener::from(fd)));
    for socket in sockets {
        let address = socket.local_addr().unwrap();
        drop(socket);
        let (said, listener) = back.next().unwrap();
        assert_eq!((said, listener.local_addr().unwrap()), (address, address));
    }
}

#[tokio::test]
async fn settings_certificates_and_tls_listeners_are_sent_as_they_are() {
    let fake = FakeProxy::start();
    let proxy = Proxy::new(&fake.socket());
    let settings = Settings { answer_begins_ms: 7, ..Settings::default() };
    let pairs = vec![KeyPair { chain: "a.pem".into(), key: "b.pem".into() }];
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    proxy.configure(&settings).await.unwrap();
    proxy.certify(&pairs).await.unwrap();
    let metrics = Some("127.0.0.1:9180".parse().unwrap());
    let observation = Observation { access_log: None, metrics };
    proxy.observe(&observation).await.unwrap();
    proxy.send_tls_listener(socket.as_fd(), address).await.expect("one descriptor comes along");
    let asked = fake.state.lock().unwrap().asked.clone();
    let sent = [
        Request::Configure { settings },
        Request::Certify { pairs, forgiving: false },
        Request::Observe { observation },
        Request::ListenTls { address },
    ];
    assert_eq!(asked, sent);
}

#[tokio::test]
async fn a_proxy_that_restarted_is_asked_over_a_new_connection() {
    let fake = FakeProxy::start();
    fake.state.lock().unwrap().hang_up = true;
    let proxy = Proxy::new(&fake.socket());
    for _ in 0..20 {
        proxy.seen().await.unwrap();
    }
    assert_eq!(fake.state.lock().unwrap().accepted, 20);
}

#[tokio::test]
async fn nobody_there_says_so() {
    let proxy = Proxy::new(std::path::Path::new("/does/not/exist"));
    let fault = proxy.seen().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Environment);
    assert!(fault.what.contains("`/does/not/exist` cannot be reached"), "{fault:?}");
}

#[tokio::test]
async fn silence_and_endless_half_answers_end_after_two_seconds() {
    let fake = FakeProxy::start();
    let proxy = Proxy::new(&fake.socket());
    fake.mood(Mood::Silent);
    let begun = Instant::now();
    let fault = proxy.seen().await.unwrap_err();
    assert!(fault.what.contains("did not answer within 2 s"), "{fault:?}");
    assert!(begun.elapsed() < Duration::from_secs(4));
    fake.mood(Mood::Says(br#"{"reply":"seen","#.to_vec()));
    let fault = proxy.seen().await.unwrap_err();
    assert!(fault.what.contains("closed in mid-answer"), "{fault:?}");
    fake.mood(Mood::Says(b"{\"reply\":\"listeners\",\"addresses\":[\"127.0.0.1:1\"]}\n".to_vec()));
    assert!(proxy.take_listeners().await.is_err(), "an address without its descriptor");
    fake.mood(Mood::Honest);
    proxy.seen().await.expect("it recovers");
}

#[tokio::test]
async fn what_is_open_on_a_proxy_beside_it_counts_until_that_one_is_gone() {
    let (fake, beside) = (FakeProxy::start(), FakeProxy::start());
    let (proxy, want) = (Proxy::new(&fake.socket()), routes(1));
    beside.state.lock().unwrap().seen.pid = 8;
    proxy.beside(&beside.socket());
    proxy.beside(&beside.socket());
    // It is told of routes, each on top of what it carries itself.
    Proxy::new(&beside.socket())
        .carry(2, Routes { generation: Generation(7), ..routes(1) })
        .await
        .unwrap();
    let plan = proxy.plan(Some(&want), &proxy.look(&want.app).await.unwrap());
    proxy.act(&plan.changes[0], 3).await.unwrap();
    let told = beside.state.lock().unwrap().seen.apps[0].routes.clone();
    assert_eq!((told.generation, told.same_as(&want)), (Generation(8), true));
    let have = proxy.look(&want.app).await.unwrap();
    let open = have.open_on(ReleaseId(1));
    assert_eq!((open.requests, open.tunnels), (2, 4), "one instance, on both");
    assert_eq!(have.totals[&ReleaseId(1)].requests, 10, "its totals are its own");
    let counters: Vec<_> = have.counters.keys().map(String::as_str).collect();
    assert_eq!(counters, ["7/1", "8/1"], "each is followed by itself");
    assert_eq!(have.routes.as_ref().unwrap().generation, Generation(1));
    let named = proxy.offenders(&want.app, &[InstanceId("demo-1-1".into())]).await.unwrap();
    assert_eq!((named.oldest.len(), named.more), (2, 2), "of both");
    // One that does not answer is no reason to believe that nothing is open there.
    beside.mood(Mood::Says(b"nonsense\n".to_vec()));
    assert!(proxy.look(&want.app).await.is_err());
    beside.mood(Mood::Honest);
    assert!(proxy.look(&want.app).await.is_ok());
    // Nobody serves its socket any more: a file that is left, as after a kill.
    std::fs::remove_file(beside.socket()).unwrap();
    beside.state.lock().unwrap().hang_up = true;
    assert!(proxy.look(&want.app).await.is_ok(), "the kept connection still answers");
    let have = proxy.look(&want.app).await.unwrap();
    assert_eq!(have.open_on(ReleaseId(1)).requests, 1);
}

/// What is not in effect everywhere is not in effect: else an instance is ended to which a proxy that is
/// being replaced still sends its clients.
#[tokio::test]
async fn routes_that_a_proxy_beside_it_refuses_are_told_again_and_not_settled() {
    let (fake, beside) = (FakeProxy::start(), FakeProxy::start());
    let (proxy, old) = (Proxy::new(&fake.socket()), routes(1));
    beside.state.lock().unwrap().seen.pid = 8;
    proxy.beside(&beside.socket());
    let app = &old.app;
    let plan = proxy.plan(Some(&old), &proxy.look(app).await.unwrap());
    proxy.act(&plan.changes[0], 3).await.unwrap();
    let have = proxy.look(app).await.unwrap();
    assert!(proxy.plan(Some(&old), &have).settled() && have.elsewhere.is_empty());
    // It has heard of a later controller.
    beside.state.lock().unwrap().seen.epoch = 9;
    let moved = Routes { pools: of_release_2(&old.pools), ..old.clone() };
    let plan = proxy.plan(Some(&moved), &have);
    proxy.act(&plan.changes[0], 3).await.unwrap();
    let (one, two) = (InstanceId("demo-1-1".into()), InstanceId("demo-2-1".into()));
    for _ in 0..2 {
        let have = proxy.look(app).await.unwrap();
        assert!(have.routes.as_ref().unwrap().same_as(&moved), "its own are the new ones");
        assert!(have.routed(&one) && have.routed(&two) && have.elsewhere.contains(&one));
        let plan = proxy.plan(Some(&moved), &have);
        assert_eq!(plan.changes.len(), 1);
        let words = &plan.changes[0].words;
        assert!(
            words.starts_with("have the proxy that is being replaced (pid 8) route demo"),
            "{words}"
        );
        let next = proxy.foretell(&plan.changes[0], &have).unwrap();
        assert!(proxy.plan(Some(&moved), &next).settled(), "what it is to lead to");
        let fault = proxy.act(&plan.changes[0], 3).await.unwrap_err();
        assert_eq!(fault.kind, Kind::Environment, "no race that the next look settles");
        assert!(
            fault.what.contains("(pid 8)") && fault.what.ends_with("an older epoch"),
            "{fault}"
        );
    }
    // Going back is no reason to wait: it never left.
    let have = proxy.look(app).await.unwrap();
    let back = proxy.plan(Some(&old), &have);
    proxy.act(&back.changes[0], 3).await.unwrap();
    assert!(proxy.plan(Some(&old), &proxy.look(app).await.unwrap()).settled());
    // Forgotten by one, it is to be forgotten by all; and one that takes it is late no more.
    let plan = proxy.plan(None, &proxy.look(app).await.unwrap());
    proxy.act(&plan.changes[0], 3).await.unwrap();
    let have = proxy.look(app).await.unwrap();
    let plan = proxy.plan(None, &have);
    assert_eq!(
        plan.changes[0].words,
        "have the proxy that is being replaced (pid 8) withdraw demo"
    );
    beside.state.lock().unwrap().seen.epoch = 0;
    proxy.act(&plan.changes[0], 3).await.unwrap();
    let have = proxy.look(app).await.unwrap();
    assert!(proxy.plan(None, &have).settled() && !have.routed(&one));
    // What was planned on other routes than it carries now is planned anew.
    let fault = proxy.act(&plan.changes[0], 3).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Conflict);
}

fn of_release_2(pools: &[Pool]) -> Vec<Pool> {
    let instance = |one: &Instance| Instance {
        id: InstanceId(one.id.0.replace("-1-", "-2-")),
        address: one.address,
    };
    let pool = |pool: &Pool| Pool {
        release: ReleaseId(2),
        instances: pool.instances.iter().map(instance).collect(),
        ..pool.clone()
    };
    pools.iter().map(pool).collect()
}
