//! Bodies that drip, and over HTTP/2 answers that are taken in drips: below the least rate they are given up once
//! their client was waited for long enough, and nobody is who waits for somebody else.
//!
//! What stands still is in `slow`.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use http::Method;
use model::admin::{Request, Settings};
use model::limits::Limits;

use crate::asking::comes;
use crate::backend::{Backend, Then};
use crate::client::Client;
use crate::framed::{Framed, ask, get, run, whole};
use crate::stage::{Stage, wait_until};

/// Far above the limit here, and far below that on bodies that stand still.
const SOON: Duration = Duration::from_secs(8);
/// A pause of a client that is slow: that is what is tested.
const PAUSE: Duration = Duration::from_millis(20);

/// A proxy that wants 1,000 bytes a second.
fn stage(backend: &Backend, body_rate: u32) -> Stage {
    let mut stage = Stage::before(&[backend]);
    let limits = Limits { body_rate, body_grace_ms: 400, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    stage.admin.done(&Request::Configure { settings });
    stage
}

/// Sends byte by byte until there is an answer; gives its status.
fn drip(client: &mut Client, drop: &str) -> u16 {
    client.stream.set_read_timeout(Some(PAUSE)).unwrap();
    let began = Instant::now();
    loop {
        match client.answer() {
            Ok(answer) => return answer.status,
            // It may have been answered, and closed, just now.
            Err(_) => drop_one(client, drop),
        }
        assert!(began.elapsed() < SOON, "it drips on and on");
    }
}

fn drop_one(client: &mut Client, drop: &str) {
    let _ = client.stream.write_all(drop.as_bytes());
}

#[test]
fn a_body_that_drips_is_given_up_and_frees_the_instance() {
    let (backend, broke) = Backend::reading("demo-1-1");
    let mut stage = stage(&backend, 1_000);
    let failures = |count| {
        comes(&stage.socket, "cutover_failures_total", &[("class", "slow-body")], count);
    };
    for (number, (framing, drop)) in
        [("Content-Length: 20000\r\n", "x"), ("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n")]
            .into_iter()
            .enumerate()
    {
        let mut client = stage.client();
        client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n"));
        assert_eq!(drip(&mut client, drop), 408, "{framing}");
        broke.recv_timeout(SOON).unwrap();
        failures(number as u64 + 1);
    }
    // What is gathered costs no instance anything.
    let mut client = stage.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n");
    assert_eq!(drip(&mut client, "x"), 408);
    let refused = [("app", "demo"), ("class", "slow-body")];
    comes(&stage.socket, "cutover_refusals_total", &refused, 1);
    run(async {
        let mut framed = Framed::plain(stage.address).await;
        let (answer, mut stream) = framed.begin(ask(Method::POST, "/"), false).await.unwrap();
        let mut answer = std::pin::pin!(whole(answer));
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer.unwrap(),
                () = tokio::time::sleep(PAUSE) => {
                    let _ = stream.send_data("x".into(), false);
                }
            }
        };
        assert_eq!(answer.status, 408);
        broke.recv_timeout(SOON).unwrap();
    });
    assert_eq!(backend.hits(), 3);
    wait_until("it is free", || stage.admin.instance("demo-1-1").unwrap().requests == 0);
    assert_eq!(stage.admin.release(1).failed, 0, "it is not the instance's fault");
}

/// Slow in steps, and above the least rate; and where there is none.
#[test]
fn a_body_that_comes_fast_enough_on_the_average_is_taken() {
    let (backend, _broke) = Backend::reading("demo-1-1");
    for (rate, part) in [(1_000, 1_000), (0, 1)] {
        let stage = stage(&backend, rate);
        for length in [part * 40, part * 40 + 20_000] {
            let mut client = stage.client();
            let began = Instant::now();
            client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
            client.send(&"x".repeat(length - part * 40));
            for _ in 0..40 {
                std::thread::sleep(PAUSE);
                client.send(&"x".repeat(part));
            }
            assert!(began.elapsed() > Duration::from_millis(600));
            assert_eq!(client.answer().unwrap().body, length.to_string());
        }
    }
}

/// The instance stands still, has answered already, or has not said yet that the client may send.
#[test]
fn who_waits_for_the_instance_or_has_an_answer_does_not_drip() {
    let backend = Backend::scripted("demo-1-1", |peer, head| {
        let path = head.split(' ').nth(1).unwrap_or("").to_owned();
        if path == "/early" {
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndo");
        } else {
            // Longer than the grace.
            std::thread::sleep(Duration::from_millis(1_200));
        }
        if path == "/asks" {
            peer.say("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let length = peer.body(head).unwrap_or_default().len();
        if path == "/early" {
            peer.say("ne");
            return Then::Keep;
        }
        peer.ok(&length.to_string())
    });
    let stage = stage(&backend, 1_000);
    let head = |path: &str, length: usize, more: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\n{more}Content-Length: {length}\r\n\r\n")
    };
    let mut client = stage.client();
    // More than sockets and buffers hold.
    let large = "x".repeat(30_000_000);
    client.send(&head("/still", large.len(), ""));
    client.send(&large);
    assert_eq!(client.answer().unwrap().body, "30000000");
    client.send(&head("/asks", 3, "Expect: 100-continue\r\n"));
    assert_eq!(client.head().unwrap().status, 100);
    client.send("abc");
    assert_eq!(client.answer().unwrap().body, "3");
    client.send(&head("/early", 20_000, ""));
    assert_eq!(client.head().unwrap().status, 200);
    for _ in 0..50 {
        std::thread::sleep(PAUSE);
        client.send("x");
    }
    client.send(&"x".repeat(20_000 - 50));
    assert_eq!(client.take(4).unwrap(), "done");
}

/// An instance whose answers are as long as their path says, and that tells when it could not write one to its end.
fn writing() -> (Backend, Receiver<()>) {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let backend = Backend::scripted("demo-1-1", move |peer, head| {
        let path = head.split(' ').nth(1).unwrap_or("");
        let (field, length) = match path.strip_prefix("/events/") {
            Some(length) => ("Content-Type: text/event-stream".to_owned(), length),
            None => (format!("Content-Length: {}", &path[1..]), &path[1..]),
        };
        peer.say(&format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n"));
        let mut left: usize = length.parse().unwrap();
        while left > 0 {
            let part = vec![b'x'; left.min(10_000)];
            if peer.stream.write_all(&part).is_err() {
                tell.lock().unwrap().send(()).unwrap();
                return Then::Close;
            }
            left -= part.len();
        }
        if path.starts_with("/events/") { Then::Close } else { Then::Keep }
    });
    (backend, told)
}

/// Takes an answer bit by bit, a pause behind each; gives how much of it came, and whether that was all.
async fn sip(client: &mut Framed, path: &str) -> (usize, bool) {
    let (answer, _) = client.begin(get(path), true).await.unwrap();
    let mut body = answer.await.unwrap().into_body();
    let mut came = 0;
    while let Some(part) = body.data().await {
        let Ok(part) = part else { return (came, false) };
        came += part.len();
        tokio::time::sleep(PAUSE).await;
        // The stream may have been given up just now.
        let _ = body.flow_control().release_capacity(part.len());
    }
    (came, true)
}

/// By flow control (CVE-2019-9511): windows that are opened again and again, and never far.
#[test]
fn an_answer_that_is_taken_in_drips_is_given_up_and_frees_the_instance() {
    let (backend, broke) = writing();
    let mut stage = stage(&backend, 1_000);
    run(async {
        let mut client = Framed::narrow(stage.address, 8).await;
        let began = Instant::now();
        let (came, whole) = sip(&mut client, "/100000000").await;
        assert!(!whole && began.elapsed() < SOON, "{came} bytes in {:?}", began.elapsed());
        broke.recv_timeout(SOON).unwrap();
        assert_eq!(client.whole(get("/0")).await.unwrap().status, 200, "the others go on");
    });
    wait_until("it is free", || stage.admin.instance("demo-1-1").unwrap().requests == 0);
    let seen = stage.admin.release(1);
    assert_eq!((seen.abandoned, seen.failed), (1, 0), "it is not the instance's fault");
}

/// In steps, and above the least rate; where there is none; and of an event stream as slowly as its client likes.
#[test]
fn an_answer_that_is_taken_fast_enough_on_the_average_comes_whole() {
    let (backend, _broke) = writing();
    for (rate, window, path, length) in
        [(1_000, 1_000, "/40000", 40_000), (0, 8, "/400", 400), (1_000, 8, "/events/400", 400)]
    {
        let stage = stage(&backend, rate);
        run(async {
            let mut client = Framed::narrow(stage.address, window).await;
            let began = Instant::now();
            assert_eq!(sip(&mut client, path).await, (length, true), "{path} at {rate}");
            assert!(began.elapsed() > Duration::from_millis(600));
        });
    }
}
