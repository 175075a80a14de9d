//! How large requests may be, and how long they may take: what goes beyond is refused by the right
//! status, counted, and frees the instance.
//!
//! Clients that are slow on purpose are in `slow`.

use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use http::Method;
use model::admin::{Request, Settings};
use model::limits::{AppLimits, Limits};
use model::{AppName, Instance, InstanceId};

use crate::asking::comes;
use crate::backend::{Backend, Then};
use crate::framed::{Framed, ask, get, run};
use crate::stage::{Stage, pool, wait_until};

/// Far above the limits here, and far below the usual ones.
const SOON: Duration = Duration::from_secs(5);

fn limited(stage: &mut Stage, limits: Limits, apps: Vec<AppLimits>) {
    let settings = Settings { limits, apps, ..Settings::default() };
    stage.admin.done(&Request::Configure { settings });
}

fn own(request_ms: Option<u64>, body_bytes: Option<u64>) -> AppLimits {
    let app = AppName::new("demo").unwrap();
    AppLimits { app, answer_begins_ms: None, answer_silence_ms: None, request_ms, body_bytes }
}

fn refused(stage: &Stage, class: &str, count: u64) {
    let labels = [("app", "demo"), ("class", class)];
    comes(&stage.socket, "cutover_refusals_total", &labels, count);
}

/// After an instance was asked.
fn failed(stage: &Stage, class: &str, count: u64) {
    comes(&stage.socket, "cutover_failures_total", &[("class", class)], count);
}

#[test]
fn a_body_that_is_announced_too_large_is_refused_before_it_is_read() {
    let (backend, _) = Backend::reading("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    limited(&mut stage, Limits { body_bytes: 10, ..Limits::default() }, Vec::new());
    let mut client = stage.client();
    assert_eq!(client.post("/", "0123456789").unwrap().body, "10");
    let answer = client.post("/", "0123456789x").unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (413, "the body is too large\n"));
    assert_eq!(client.post("/", "again").unwrap().body, "5", "the connection goes on");
    // Nothing of the body is sent by who asks first.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 413);
    run(async {
        let mut framed = Framed::plain(stage.address).await;
        let long =
            http::Request::post("http://a/").header("content-length", "11").body(()).unwrap();
        let (answer, _stream) = framed.begin(long, false).await.unwrap();
        assert_eq!(answer.await.unwrap().status(), 413);
    });
    assert_eq!(backend.hits(), 2);
    refused(&stage, "body-too-large", 3);
}

#[test]
fn a_body_that_becomes_too_large_is_broken_off_and_framing_does_not_count() {
    let (backend, told) = Backend::reading("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    limited(&mut stage, Limits { body_bytes: 10, ..Limits::default() }, Vec::new());
    let chunked = |count: usize| {
        let chunks = "1\r\nx\r\n".repeat(count);
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
    };
    let mut client = stage.client();
    client.send(&chunked(10));
    assert_eq!(client.answer().unwrap().status, 200);
    let eleven = chunked(11);
    let (before, after) = eleven.split_at(chunked(10).len() - 5);
    client.send(before);
    wait_until("it is under way", || backend.hits() == 2);
    client.send(after);
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.field("connection")), (413, Some("close")));
    told.recv_timeout(SOON).unwrap();
    run(async {
        let mut framed = Framed::plain(stage.address).await;
        let ten = framed.upload(ask(Method::POST, "/"), "0123456789").await.unwrap();
        assert_eq!(ten.status, 200);
        let (answer, mut stream) = framed.begin(ask(Method::POST, "/"), false).await.unwrap();
        stream.send_data("0123456789".into(), false).unwrap();
        wait_until("it is under way", || backend.hits() == 4);
        stream.send_data("x".into(), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 413);
        told.recv_timeout(SOON).unwrap();
    });
    failed(&stage, "body-too-large", 2);
    wait_until("the instance is free", || stage.admin.instance("demo-1-1").unwrap().requests == 0);
    assert_eq!(stage.admin.release(1).failed, 0, "it is not the instance's fault");
}

#[test]
fn an_app_may_take_more_than_others() {
    let (backend, _) = Backend::reading("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    let limits = || Limits { body_bytes: 1, ..Limits::default() };
    limited(&mut stage, limits(), vec![own(None, Some(5))]);
    assert_eq!(stage.client().post("/", "12345").unwrap().body, "5");
    assert_eq!(stage.client().post("/", "123456").unwrap().status, 413);
    limited(&mut stage, limits(), vec![own(None, Some(0))]);
    assert_eq!(stage.client().post("/", &"x".repeat(100_000)).unwrap().body, "100000");
}

#[test]
fn heads_may_be_as_large_as_is_said() {
    let backend = Backend::named("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    let limits = Limits { head_bytes: 1_024, fields: 4, ..Limits::default() };
    limited(&mut stage, limits, Vec::new());
    let ask = |more: &str| {
        let mut client = stage.client();
        client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n"));
        client.answer().unwrap().status
    };
    let long = |bytes: usize| format!("A: {}\r\n", "x".repeat(bytes));
    assert_eq!((ask(&long(900)), ask(&long(1_024))), (200, 431));
    assert_eq!(
        (ask("A: 1\r\nB: 2\r\nC: 3\r\n"), ask("A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n")),
        (200, 431)
    );
    run(async {
        let mut framed = Framed::plain(stage.address).await;
        let with = |bytes: usize| {
            let long = "x".repeat(bytes);
            http::Request::get("http://a/").header("a", long).body(()).unwrap()
        };
        assert_eq!(framed.whole(with(900)).await.unwrap().status, 200);
        assert_eq!(framed.whole(with(1_024)).await.unwrap().status, 431);
        let mut many = http::Request::get("http://a/");
        for name in ["a", "b", "c", "d"] {
            many = many.header(name, "1");
        }
        assert_eq!(framed.whole(many.body(()).unwrap()).await.unwrap().status, 431);
    });
    comes(&stage.socket, "cutover_unrouted_total", &[("class", "too-large")], 4);
}

/// Keeps `/wait` for as long as it is not told to go on, `/half` after half of its answer.
fn slow() -> (Backend, Sender<()>) {
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let backend = Backend::scripted("demo-1-1", move |peer, head| {
        if head.starts_with("GET /half") {
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
        } else if head.starts_with("GET /events") {
            peer.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
            peer.say("Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        }
        let _ = gone.lock().unwrap().recv();
        if head.starts_with("GET /events") {
            peer.say("3\r\ntwo\r\n0\r\n\r\n");
            return Then::Keep;
        }
        Then::Close
    });
    (backend, go)
}

/// Whoever was waited for is named; an event stream may last.
#[test]
fn a_request_takes_no_longer_than_it_may() {
    let (backend, go) = slow();
    let mut stage = Stage::before(&[&backend]);
    limited(&mut stage, Limits { request_ms: 300, ..Limits::default() }, Vec::new());
    let began = Instant::now();
    let mut events = stage.client();
    events.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(events.head().unwrap().status, 200);
    assert_eq!(events.until("one\r\n").unwrap(), "3\r\none\r\n");
    // It holds the instance's only ear: all else waits.
    let mut late = stage.client();
    let answer = late.get("/").unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (504, "the request took too long\n"));
    let mut half = stage.client();
    half.send("GET /half HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(half.head().unwrap().status, 200);
    assert!(half.take(4).is_err(), "it is not taken for whole");
    failed(&stage, "overdue", 2);
    let mut sender = stage.client();
    sender.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    assert_eq!(sender.answer().unwrap().status, 408);
    refused(&stage, "slow-client", 1);
    run(async {
        let mut framed = Framed::plain(stage.address).await;
        assert_eq!(framed.whole(get("/")).await.unwrap().status, 504);
        assert!(framed.whole(get("/half")).await.is_err());
    });
    assert!(began.elapsed() < 2 * SOON, "{:?}", began.elapsed());
    assert_eq!(stage.admin.release(1).failed, 4, "all but what the client was too slow for");
    drop(go);
    assert_eq!(events.until("two\r\n").unwrap(), "3\r\ntwo\r\n", "an event stream may last");
}

/// It takes the connection and nothing of what is sent.
#[test]
fn an_instance_that_takes_nothing_is_given_up() {
    let (backend, _go) = slow();
    let mut stage = Stage::before(&[&backend]);
    limited(&mut stage, Limits { instance_reads_ms: 300, ..Limits::default() }, Vec::new());
    let began = Instant::now();
    let mut client = stage.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    let mut write = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let part = vec![b'x'; 1 << 20];
        while std::io::Write::write_all(&mut write, &part).is_ok() {}
    });
    assert_eq!(client.head().unwrap().status, 504);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    failed(&stage, "late", 1);
    drop(client);
    stage.stop(0);
    sending.join().unwrap();
}

/// Its queue is full, and nobody takes anybody out of it.
#[test]
fn an_instance_that_takes_no_connection_is_given_up_as_soon_as_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _full: Vec<_> = (0..4)
        .map_while(|_| {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok()
        })
        .collect();
    let mut stage = Stage::bare();
    let mut deaf = pool(1, 10_000, &[]);
    deaf.instances = vec![Instance { id: InstanceId("deaf".into()), address }];
    stage.publish(vec![deaf]);
    limited(&mut stage, Limits { connect_ms: 200, ..Limits::default() }, Vec::new());
    let began = Instant::now();
    assert_eq!(stage.client().get("/").unwrap().status, 502);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(1), "{took:?}");
    failed(&stage, "connect", 1);
}

#[test]
fn a_connection_without_a_request_is_closed_when_its_time_is_over() {
    let backend = Backend::named("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    limited(&mut stage, Limits { client_idle_ms: 200, ..Limits::default() }, Vec::new());
    let began = Instant::now();
    let (mut silent, mut kept) = (stage.client(), stage.client());
    assert_eq!(kept.get("/").unwrap().status, 200);
    assert_eq!((silent.rest().unwrap(), kept.rest().unwrap()), (String::new(), String::new()));
    run(async {
        let mut framed = Framed::plain(stage.address).await;
        assert_eq!(framed.whole(get("/")).await.unwrap().status, 200);
        framed.driver.await.unwrap().unwrap();
    });
    assert!(began.elapsed() < 2 * SOON, "{:?}", began.elapsed());
}
