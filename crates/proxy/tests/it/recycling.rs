//! Connections of clients that are old enough give way to new ones, and no request is lost by it.
//!
//! The end of the whole proxy is in `ending`.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use model::admin::{Request, Settings};
use model::limits::Limits;
use tokio::task::JoinSet;

use crate::backend::{Backend, Then};
use crate::client::Client;
use crate::framed::{Framed, get, run, whole};
use crate::stage::{Stage, wait_until};

const AGE: Duration = Duration::from_millis(500);
/// Far above that, with all that is put on top of it.
const SOON: Duration = Duration::from_secs(8);

fn aged(stage: &mut Stage, client_age_ms: u64) {
    let limits = Limits { client_age_ms, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    stage.admin.done(&Request::Configure { settings });
}

#[test]
fn requests_go_on_while_their_connections_are_recycled() {
    let backend = Backend::named("app");
    let mut stage = Stage::before(&[&backend]);
    aged(&mut stage, 500);
    let address = stage.address;
    let sends = || {
        let mut sent = 0;
        for _ in 0..2 {
            let began = Instant::now();
            let mut client = Client::to(address);
            loop {
                sent += 1;
                let answer = client.get("/").unwrap();
                assert_eq!(answer.body, "app");
                if answer.field("connection") == Some("close") {
                    break;
                }
                assert!(began.elapsed() < SOON, "it is never told");
            }
            assert!(began.elapsed() >= AGE, "told after {:?}", began.elapsed());
            assert_eq!(client.rest().unwrap(), "", "closed, not reset");
        }
        sent
    };
    let sent: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(sends)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(backend.hits(), sent, "nothing was sent twice");
}

/// Answers 101 and echoes lines, or an ordinary request.
fn socket() -> Backend {
    Backend::scripted("app", |peer, head| {
        if !head.starts_with("GET /ws") {
            let body = peer.body(head).unwrap_or_default();
            return peer.ok(&body);
        }
        let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
        peer.say(&format!("{switch}Upgrade: websocket\r\n\r\n"));
        while let Some(line) = peer.until("\n") {
            peer.say(&line);
        }
        Then::Close
    })
}

/// As at a stop: a request that crosses the end of an idle connection is answered.
#[test]
fn an_idle_connection_stays_for_a_moment_and_a_tunnel_for_good() {
    let backend = socket();
    let mut stage = Stage::before(&[&backend]);
    aged(&mut stage, 500);
    let began = Instant::now();
    let (mut crossing, mut idle, mut tunnel) = (stage.client(), stage.client(), stage.client());
    tunnel.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(tunnel.head().unwrap().status, 101);
    assert_eq!(crossing.get("/").unwrap().field("connection"), None);
    // Old, and within the moment for which it stays.
    std::thread::sleep((AGE + AGE / 2).saturating_sub(began.elapsed()));
    let answer = crossing.post("/", "late").unwrap();
    assert_eq!((answer.body.as_str(), answer.field("connection")), ("late", Some("close")));
    assert_eq!(idle.rest().unwrap(), "", "closed, not reset");
    let took = began.elapsed();
    assert!(took >= AGE + Duration::from_secs(1) && took < SOON, "closed after {took:?}");
    tunnel.send("still here\n");
    assert_eq!(tunnel.until("\n").unwrap(), "still here\n");
}

/// The limit holds for connections that are open already; without it nobody is told.
#[test]
fn connections_are_recycled_as_soon_as_there_is_a_limit() {
    let backend = Backend::named("app");
    let mut stage = Stage::before(&[&backend]);
    let mut client = stage.client();
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(client.get("/").unwrap().field("connection"), None);
    aged(&mut stage, 10);
    assert_eq!(client.get("/").unwrap().field("connection"), Some("close"));
    // The proxy's own answers say it too.
    let mut client = stage.client();
    stage.publish(Vec::new());
    std::thread::sleep(Duration::from_millis(20));
    let answer = client.get("/").unwrap();
    assert_eq!((answer.status, answer.field("connection")), (503, Some("close")));
}

#[test]
fn streams_go_on_while_their_connections_are_recycled() {
    let (go, going) = channel::<()>();
    let going = Mutex::new(going);
    let backend = Backend::scripted("app", move |peer, head| {
        if head.starts_with("GET /slow") {
            going.lock().unwrap().recv().unwrap();
        }
        peer.ok("app")
    });
    let mut stage = Stage::before(&[&backend]);
    aged(&mut stage, 500);
    let address = stage.address;
    let sends = move || async move {
        let began = Instant::now();
        let mut client = Framed::plain(address).await;
        let (mut open, mut sent) = (JoinSet::new(), 0);
        // Until the client knows that it is over.
        while let Ok((answer, _)) = client.begin(get("/"), true).await {
            open.spawn(whole(answer));
            sent += 1;
            if sent % 10 == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        assert!(began.elapsed() >= AGE, "told after {:?}", began.elapsed());
        while let Some(one) = open.join_next().await {
            assert_eq!(one.unwrap().unwrap().body, "app", "one of {sent}");
        }
        client.driver.await.unwrap().unwrap();
        sent
    };
    run(async {
        let began = Instant::now();
        let (mut patient, mut idle) = (Framed::plain(address).await, Framed::plain(address).await);
        let (slow, _) = patient.begin(get("/slow"), true).await.unwrap();
        assert_eq!(idle.whole(get("/")).await.unwrap().body, "app");
        let mut clients = JoinSet::new();
        for _ in 0..3 {
            clients.spawn(sends());
        }
        let mut sent = 0;
        while let Some(client) = clients.join_next().await {
            sent += client.unwrap();
        }
        assert_eq!(patient.whole(get("/")).await.unwrap().body, "app", "what crosses the end");
        go.send(()).unwrap();
        assert_eq!(whole(slow).await.unwrap().body, "app", "what is open finishes");
        for told in [patient, idle] {
            told.driver.await.unwrap().unwrap();
        }
        assert!(began.elapsed() >= AGE && began.elapsed() < 2 * SOON, "{:?}", began.elapsed());
        assert_eq!(backend.hits(), sent + 3, "nothing was sent twice");
    });
    wait_until("the connections have ended", || stage.admin.look().connections == 0);
}
