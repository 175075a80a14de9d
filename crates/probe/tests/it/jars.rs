//! Clients that come back with their cookies, against a server that keeps each with a version and against
//! one that forgets them.
//!
//! Whether going back is a failure is not decided by the prober, but in the report.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::common::{of, options, run};
use bytes::Bytes;
use model::attempt::{Class, Lane};
use probe::{Options, Run, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How clients are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// By a cookie that names their version; who has none is given one.
    Cookie,
    /// By the end of a field's value.
    Field,
    /// Not at all: versions alternate.
    Naive,
}

#[derive(Debug, Default)]
struct Seen {
    turn: usize,
    /// What each request said of its client.
    said: Vec<Option<String>>,
}

impl Seen {
    /// The version for a request, and the cookie to tell.
    fn answer(&mut self, habit: Habit, said: Option<String>) -> (&'static str, Option<String>) {
        self.said.push(said.clone());
        self.turn += 1;
        // Every second one is a client that comes back: neither kind is to get one version only.
        let drawn = ["v1", "v2"][self.turn / 2 % 2];
        match (habit, said) {
            (Habit::Naive, _) | (Habit::Field, None) => (drawn, None),
            (Habit::Field, Some(name)) => (["v1", "v2"][usize::from(name.ends_with('2'))], None),
            (Habit::Cookie, None) => (drawn, Some(format!("home={drawn}; Path=/; HttpOnly"))),
            (Habit::Cookie, Some(said)) => {
                (if said.contains("home=v2") { "v2" } else { "v1" }, None)
            }
        }
    }
}

async fn start(habit: Habit, lane: Lane) -> (SocketAddr, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let told = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&told);
            if lane == Lane::Http2 {
                tokio::spawn(streams(stream, habit, seen));
            } else {
                tokio::spawn(requests(stream, habit, seen));
            }
        }
    });
    (address, seen)
}

async fn requests(mut stream: TcpStream, habit: Habit, seen: Arc<Mutex<Seen>>) {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(read) => head.extend_from_slice(&piece[..read]),
        }
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        let ours = |name: &str| ["cookie", "x-user"].contains(&name.to_lowercase().as_str());
        let said = lines.find(|(name, _)| ours(name)).map(|(_, value)| value.to_owned());
        let (version, cookie) = seen.lock().unwrap().answer(habit, said);
        let cookie = cookie.map_or(String::new(), |cookie| format!("Set-Cookie: {cookie}\r\n"));
        let answer = format!(
            "HTTP/1.1 200 OK\r\nX-App-Version: {version}\r\n{cookie}Content-Length: 2\r\n\r\nok"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        if text.contains("Connection: close") {
            return;
        }
    }
}

async fn streams(stream: TcpStream, habit: Habit, seen: Arc<Mutex<Seen>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut answer))) = connection.accept().await {
        let said = ["cookie", "x-user"].iter().find_map(|name| request.headers().get(*name));
        let said = said.map(|value| value.to_str().unwrap().to_owned());
        let (version, cookie) = seen.lock().unwrap().answer(habit, said);
        let mut head = http::Response::builder().header("x-app-version", version);
        if let Some(cookie) = cookie {
            head = head.header("set-cookie", cookie);
        }
        let mut body = answer.send_response(head.body(()).unwrap(), false).unwrap();
        body.send_data(Bytes::from_static(b"ok"), true).unwrap();
    }
}

fn probing(address: SocketAddr, lane: Lane) -> Options {
    let url = Target::parse(&format!("http://{address}/")).unwrap();
    Options { clients: 4, rate: 40, ..options(url, lane, 64) }
}

/// Nothing failed, and a machine that is busy has let enough of it be sent.
fn all_answered(run: &Run) {
    let (ok, not_sent) = (of(run, Class::Ok).len(), of(run, Class::NotSent).len());
    assert!(ok + not_sent == 64 && ok >= 24, "{:?}", run.attempts);
}

/// The versions that each client was answered by; newcomers are `None`.
fn versions(run: &Run) -> BTreeMap<Option<u16>, BTreeSet<&str>> {
    let mut versions: BTreeMap<Option<u16>, BTreeSet<&str>> = BTreeMap::new();
    for attempt in run.attempts.iter().filter(|attempt| attempt.class == Class::Ok) {
        versions.entry(attempt.client).or_default().insert(attempt.version.as_deref().unwrap());
    }
    versions
}

#[tokio::test]
async fn a_client_comes_back_with_its_cookie_and_stays_where_it_was_put() {
    for lane in [Lane::KeepAlive, Lane::Fresh, Lane::Http2] {
        let (address, seen) = start(Habit::Cookie, lane).await;
        let run = run(probing(address, lane)).await;
        all_answered(&run);
        assert_eq!(run.header.clients, 4);
        let versions = versions(&run);
        for client in 1..=4 {
            assert_eq!(versions[&Some(client)].len(), 1, "{lane:?}: {versions:?}");
        }
        assert_eq!(versions[&None].len(), 2, "{lane:?}: newcomers are drawn");
        let said = seen.lock().unwrap().said.clone();
        let back = said.iter().flatten().count();
        // Half of them, but for the first of each client.
        let theirs = run.attempts.iter().filter(|a| a.client.is_some() && a.sent_us > 0).count();
        assert!(back + 4 == theirs && theirs >= 10, "{lane:?}: {back} of {theirs}: {said:?}");
    }
}

#[tokio::test]
async fn a_client_may_name_itself_in_a_field() {
    for lane in [Lane::KeepAlive, Lane::Http2] {
        let (address, seen) = start(Habit::Field, lane).await;
        let options = Options { client_field: Some("X-User".to_owned()), ..probing(address, lane) };
        let run = run(options).await;
        all_answered(&run);
        let versions = versions(&run);
        assert_eq!(versions[&Some(2)], BTreeSet::from(["v2"]), "{lane:?}");
        assert_eq!(versions[&Some(3)], BTreeSet::from(["v1"]), "{lane:?}");
        let said = seen.lock().unwrap().said.clone();
        let names: BTreeSet<&String> = said.iter().flatten().collect();
        assert_eq!(names.len(), 4, "{names:?}");
    }
}

#[tokio::test]
async fn a_server_that_forgets_them_is_seen_through_and_without_clients_nobody_says_a_cookie() {
    let (address, _) = start(Habit::Naive, Lane::Fresh).await;
    let naive = run(Options { clients: 3, ..probing(address, Lane::Fresh) }).await;
    let versions = versions(&naive);
    assert!((1..=3).any(|client| versions[&Some(client)].len() == 2), "{versions:?}");

    let (address, seen) = start(Habit::Cookie, Lane::Fresh).await;
    let without = run(Options { clients: 0, ..probing(address, Lane::Fresh) }).await;
    assert!(without.attempts.iter().all(|attempt| attempt.client.is_none()));
    assert!(seen.lock().unwrap().said.iter().all(Option::is_none));
}
