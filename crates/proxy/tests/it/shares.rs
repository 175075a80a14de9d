//! What one client may take: connections, open requests, requests in a second. Whoever has too much is
//! told 429, and nobody else notices.

use std::io::Read as _;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use model::admin::{AccessLog, LogFormat, Observation, Request, Settings};
use model::limits::Limits;

use crate::asking::comes;
use crate::backend::Backend;
use crate::client::Client;
use crate::framed::{Framed, get, run};
use crate::stage::{Stage, wait_until};

/// Everybody here comes from loopback, which is exempt by default.
fn limited(stage: &mut Stage, limits: &Limits, trusted: &[&str]) {
    let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect();
    let limits = Limits { exempt: Vec::new(), ..limits.clone() };
    stage.admin.done(&Request::Configure {
        settings: Settings { limits, trusted, ..Settings::default() },
    });
}

/// An instance that keeps `/wait` until it is told to go on.
fn waiting() -> (Backend, Sender<()>) {
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let backend = Backend::scripted("demo-1-1", move |peer, head| {
        if head.starts_with("GET /wait") {
            gone.lock().unwrap().recv().unwrap();
        }
        peer.ok("ok")
    });
    (backend, go)
}

fn refused(stage: &Stage, class: &str, count: u64) {
    let labels = [("app", "demo"), ("class", class)];
    comes(&stage.socket, "cutover_refusals_total", &labels, count);
}

fn asks_for(client: &mut Client, address: &str) -> u16 {
    client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {address}\r\n\r\n"));
    client.answer().unwrap().status
}

#[test]
fn a_client_has_so_many_connections_and_no_more() {
    let backend = Backend::named("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    limited(&mut stage, &Limits { client_connections: 2, ..Limits::default() }, &[]);
    let mut kept: Vec<_> = (0..2).map(|_| stage.client()).collect();
    for client in &mut kept {
        assert_eq!(client.get("/").unwrap().status, 200);
    }
    let answer = stage.client().get("/").unwrap();
    assert_eq!((answer.status, answer.field("retry-after")), (429, Some("1")));
    assert_eq!(answer.field("connection"), Some("close"));
    run(async {
        let mut late = Framed::plain(stage.address).await;
        assert_eq!(late.whole(get("/")).await.unwrap().status, 429);
        late.driver.await.unwrap().unwrap();
    });
    refused(&stage, "client-connections", 2);
    comes(&stage.socket, "cutover_connections_over_share_total", &[], 2);
    kept.pop();
    wait_until("its place is free again", || stage.client().get("/").unwrap().status == 200);
    assert_eq!(kept[0].get("/").unwrap().status, 200, "the others were left alone");
}

/// Those that are told cannot take the places of others: many at once are closed instead.
#[test]
fn a_client_with_far_too_many_connections_holds_nobody_up() {
    let backend = Backend::named("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    limited(&mut stage, &Limits { client_connections: 1, ..Limits::default() }, &[]);
    let mut first = stage.client();
    assert_eq!(first.get("/").unwrap().status, 200);
    let silent: Vec<_> = (0..200).map(|_| stage.client()).collect();
    comes(&stage.socket, "cutover_connections_over_share_total", &[], 200);
    let mut closed = 0;
    for client in &silent {
        client.stream.set_nonblocking(true).unwrap();
        let ended = (&client.stream).read(&mut [0; 1]);
        closed += usize::from(
            !matches!(ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
        );
    }
    assert!(closed >= 200 - 64, "{closed} were closed at once");
    assert_eq!(first.get("/").unwrap().status, 200);
}

#[test]
fn a_client_has_so_many_requests_open_over_all_its_connections() {
    let (backend, go) = waiting();
    let mut stage = Stage::before(&[&backend]);
    limited(&mut stage, &Limits { client_requests: 3, ..Limits::default() }, &[]);
    let mut open: Vec<_> = (0..2).map(|_| stage.client()).collect();
    for client in &mut open {
        client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    run(async {
        let mut framed = Framed::plain(stage.address).await;
        let (third, _) = framed.begin(get("/wait"), true).await.unwrap();
        wait_until("they are open", || stage.admin.instance("demo-1-1").unwrap().requests == 3);
        let answer = framed.whole(get("/")).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.field("retry-after")), (429, Some("1")));
        let mut other = stage.client();
        assert_eq!(other.get("/").unwrap().status, 429);
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        assert_eq!(third.await.unwrap().status(), 200);
        for client in &mut open {
            assert_eq!(client.answer().unwrap().status, 200);
        }
        wait_until("there is room again", || other.get("/").unwrap().status == 200);
    });
    assert!(backend.hits() >= 4);
}

/// The connection goes on, and so does everybody else.
#[test]
fn a_client_that_asks_too_often_is_told_so() {
    let backend = Backend::named("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    limited(&mut stage, &Limits { client_rate: 1, client_burst: 5, ..Limits::default() }, &[]);
    let mut client = stage.client();
    let answers: Vec<_> = (0..20).map(|_| client.get("/").unwrap()).collect();
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    // One more for every second that this takes.
    assert!((5..=10).contains(&good) && backend.hits() == good, "{good}");
    let refusal = answers.iter().find(|answer| answer.status != 200).unwrap();
    assert_eq!((refusal.status, refusal.field("retry-after")), (429, Some("1")));
    refused(&stage, "client-rate", 20 - good as u64);
    // Taken back, it holds no more.
    limited(&mut stage, &Limits::default(), &[]);
    assert_eq!(client.get("/").unwrap().status, 200);
}

#[test]
fn behind_a_trusted_proxy_the_client_is_who_it_names() {
    let backend = Backend::named("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    let limits =
        || Limits { client_rate: 1, client_burst: 1, client_connections: 1, ..Limits::default() };
    limited(&mut stage, &limits(), &["127.0.0.0/8"]);
    let mut clients: Vec<_> = (0..3).map(|_| stage.client()).collect();
    for address in ["203.0.113.1", "203.0.113.2", "2001:db8:1:1::1", "2001:db8:1:2::1"] {
        assert_eq!(asks_for(&mut clients[0], address), 200, "{address}");
    }
    assert_eq!(asks_for(&mut clients[1], "203.0.113.1"), 429);
    assert_eq!(asks_for(&mut clients[1], "2001:db8:1:1::2"), 429, "the same network of 64 bits");
    for _ in 0..10 {
        assert_eq!(clients[2].get("/").unwrap().status, 200, "the proxy itself is not limited");
    }
    // Not trusted, its word counts nothing: all of this is one client.
    drop(clients);
    wait_until("its connections are gone", || stage.admin.look().connections == 0);
    limited(&mut stage, &Limits { client_connections: 0, ..limits() }, &[]);
    let mut client = stage.client();
    let told: Vec<_> = (9..13).map(|n| asks_for(&mut client, &format!("203.0.113.{n}"))).collect();
    assert!(told[0] == 200 && told.contains(&429), "{told:?}");
}

#[test]
fn this_machine_is_not_limited_by_default() {
    let backend = Backend::named("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    let limits =
        Limits { client_connections: 1, client_requests: 1, client_rate: 1, ..Limits::default() };
    stage.admin.done(&Request::Configure { settings: Settings { limits, ..Settings::default() } });
    let mut clients: Vec<_> = (0..3).map(|_| stage.client()).collect();
    for _ in 0..10 {
        for client in &mut clients {
            assert_eq!(client.get("/").unwrap().status, 200);
        }
    }
}

/// What is refused is a line of the access log like all else, by its class.
#[test]
fn every_refusal_is_a_line_of_the_access_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let backend = Backend::named("demo-1-1");
    let mut stage = Stage::before(&[&backend]);
    let access_log = Some(AccessLog { path: path.clone(), format: LogFormat::Json, query: true });
    let observation = Observation { access_log, metrics: None };
    stage.admin.done(&Request::Observe { observation });
    let mut client = stage.client();
    let limits = Limits { client_connections: 1, body_bytes: 1, ..Limits::default() };
    limited(&mut stage, &limits, &[]);
    let mut counted = stage.client();
    assert_eq!(counted.post("/large", "xx").unwrap().status, 413);
    assert_eq!(stage.client().get("/one-too-many").unwrap().status, 429);
    let limits = Limits { client_rate: 1, client_burst: 1, ..Limits::default() };
    limited(&mut stage, &limits, &[]);
    assert_eq!(client.get("/").unwrap().status, 200);
    assert_eq!(client.get("/often").unwrap().status, 429);
    let mut told = String::new();
    wait_until("the lines are there", || {
        told = std::fs::read_to_string(&path).unwrap_or_default();
        told.lines().count() == 4
    });
    for (path, status, class) in [
        ("/large", 413, "body-too-large"),
        ("/one-too-many", 429, "client-connections"),
        ("/often", 429, "client-rate"),
    ] {
        let is_it = |line: &&str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["path"] == path && line["status"] == status && line["error"] == class
        };
        assert!(told.lines().any(|line| is_it(&line)), "{path} in {told}");
    }
}
