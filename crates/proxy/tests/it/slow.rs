//! Clients that are slow on purpose: each is freed of what it holds when its time is over, and nobody
//! else waits for it.
//!
//! Clients that want too much at a time are in `shares`.

use std::io::{Read as _, Write as _};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use http::Method;
use model::admin::{Request, Settings};

use crate::backend::{Backend, Then};
use crate::framed::{Framed, Raw, ask, get, head, run};
use crate::stage::{Stage, wait_until};

/// Far above this limit, and far below the usual one of a minute.
const SOON: Duration = Duration::from_secs(5);

/// An instance that answers `/big` at length, reads bodies, and tells when a request broke off.
fn patient() -> (Backend, Receiver<()>) {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let backend = Backend::scripted("patient", move |peer, head| {
        let broke = |_| {
            tell.lock().unwrap().send(()).unwrap();
            Then::Close
        };
        if head.starts_with("GET /big") {
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
            let part = vec![b'x'; 100_000];
            for _ in 0..1_000 {
                if let Err(error) = peer.stream.write_all(&part) {
                    return broke(error.to_string());
                }
            }
            return Then::Keep;
        }
        if head.starts_with("POST") && peer.body(head).is_none() {
            return broke(String::new());
        }
        peer.ok("patient")
    });
    (backend, told)
}

fn stage(backend: &Backend) -> Stage {
    let mut stage = Stage::before(&[backend]);
    let settings = Settings {
        client_head_ms: 300,
        client_body_ms: 300,
        client_reads_ms: 300,
        ..Settings::default()
    };
    stage.admin.done(&Request::Configure { settings });
    stage
}

fn nothing_is_left(stage: &mut Stage) {
    wait_until("the instance is free", || stage.admin.instance("patient").unwrap().requests == 0);
    wait_until("the connections are gone", || stage.admin.look().connections == 0);
}

/// However busily it drips.
#[test]
fn a_slow_head_is_given_up() {
    let (backend, _) = patient();
    let mut stage = stage(&backend);
    let began = Instant::now();
    let mut clients: Vec<_> = (0..50).map(|_| stage.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n");
        client.stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    }
    let mut answers = Vec::new();
    while answers.len() < 50 {
        clients.retain_mut(|client| match client.answer() {
            Ok(answer) => {
                answers.push(answer.status);
                false
            }
            Err(_) => client.stream.write_all(b"A: b\r\n").is_ok(),
        });
        assert!(began.elapsed() < SOON, "{} were given up", answers.len());
        assert_eq!(stage.client().get("/").unwrap().body, "patient");
    }
    assert!(answers.iter().all(|status| *status == 408), "{answers:?}");
    drop(clients);
    nothing_is_left(&mut stage);
}

#[test]
fn a_slow_body_is_given_up_and_frees_the_instance() {
    let (backend, broke) = patient();
    let mut stage = stage(&backend);
    let began = Instant::now();
    for framing in
        ["Content-Length: 20000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\na\r\nabc"]
    {
        let mut client = stage.client();
        client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
        wait_until("it is under way", || stage.admin.release(1).requests > 0);
        assert_eq!(client.answer().unwrap().status, 408, "{framing}");
        broke.recv_timeout(SOON).unwrap();
    }
    run(async {
        let mut client = Framed::plain(stage.address).await;
        let (answer, _stream) = client.begin(ask(Method::POST, "/"), false).await.unwrap();
        assert_eq!(answer.await.unwrap().status().as_u16(), 408);
        broke.recv_timeout(SOON).unwrap();
        assert_eq!(client.whole(get("/")).await.unwrap().body, "patient");
    });
    assert!(began.elapsed() < 2 * SOON, "{:?}", began.elapsed());
    nothing_is_left(&mut stage);
}

/// A body that goes on is not given up, however long it takes.
#[test]
fn a_body_that_moves_is_waited_for() {
    let (backend, _) = patient();
    let stage = stage(&backend);
    let mut client = stage.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    let began = Instant::now();
    for _ in 0..10 {
        // A client that is slow: that is what is tested.
        std::thread::sleep(Duration::from_millis(60));
        client.send("x");
    }
    assert!(began.elapsed() > Duration::from_millis(500));
    assert_eq!(client.answer().unwrap().status, 200);
}

/// It never reads its answer.
#[test]
fn a_slow_reader_is_given_up_and_frees_the_instance() {
    let (backend, broke) = patient();
    let mut stage = stage(&backend);
    let began = Instant::now();
    let mut client = stage.client();
    client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    broke.recv_timeout(SOON).unwrap();
    assert!(began.elapsed() < SOON);
    // What it reads at last is not taken for whole.
    let mut read = Vec::new();
    let _ = client.stream.read_to_end(&mut read);
    assert!(read.len() < 100_000_000);
    assert_eq!(stage.admin.release(1).abandoned, 1);
    nothing_is_left(&mut stage);
}

/// The same by flow control (CVE-2019-9511, CVE-2019-9517): windows that are never opened.
#[test]
fn streams_whose_windows_stay_closed_are_given_up() {
    let (backend, broke) = patient();
    let mut stage = stage(&backend);
    let mut raw = Raw::to(stage.address);
    // SETTINGS_INITIAL_WINDOW_SIZE = 0.
    raw.frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]).unwrap();
    let big =
        head(&[(":method", "GET"), (":scheme", "http"), (":path", "/big"), (":authority", "a")]);
    for number in 0..20 {
        raw.frame(1, 5, 2 * number + 1, &big).unwrap();
    }
    assert_eq!(stage.client().get("/").unwrap().body, "patient", "others are served");
    for _ in 0..20 {
        broke.recv_timeout(SOON).unwrap();
    }
    wait_until("the instance is free", || stage.admin.instance("patient").unwrap().requests == 0);
    assert_eq!(stage.admin.release(1).abandoned, 20);
}
