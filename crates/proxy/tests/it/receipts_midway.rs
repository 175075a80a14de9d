//! What a receipt says of an answer that began and did not end: whose doing that was, by what really
//! happened. Receipts of answers that did end, or never began, are in `receipts`.

use std::time::Duration;

use model::admin::{Reply, Request, Settings};
use model::limits::Limits;
use model::receipt::{End, Item};
use model::survey::CountBy;
use model::{AppName, ReleaseId, Survey};

use crate::backend::{Backend, Peer, Then};
use crate::client::Client;
use crate::framed::{self, Framed, run, whole};
use crate::receipts::{KEY, all, ask, of_probe};
use crate::stage::Stage;

/// Begins an answer with the status that its path begins with, and then does what the path says.
fn begins(peer: &mut Peer, head: &str) -> Then {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let waits = |peer: &mut Peer| {
        while peer.until("\n").is_some() {}
        Then::Close
    };
    if path == "/never" {
        return waits(peer);
    }
    let status = path.get(1..4).unwrap_or_default();
    let framing = if path.ends_with("-chunks") {
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
    } else {
        "Content-Length: 10\r\n\r\nhalf"
    };
    peer.say(&format!("HTTP/1.1 {status} Well\r\n{framing}"));
    match path.get(5..).unwrap_or_default() {
        "cut" | "cut-chunks" => Then::Close,
        "odd-chunks" => {
            // As soon as its client sends something: that has the beginning then.
            peer.until("\n");
            peer.say("odd\r\n");
            waits(peer)
        }
        _ => waits(peer),
    }
}

/// Asks as the prober's attempt of this number, and waits until the answer has begun.
fn half(stage: &Stage, id: u32, asks: &str, rest: &str) -> Client {
    let mut client = stage.client();
    client.send(&format!("{asks} HTTP/1.1\r\nHost: a\r\n{}\r\n{rest}", of_probe(id)));
    client.until("half").unwrap();
    client
}

/// Waits until its connection is over.
fn ends(mut client: Client) {
    while client.take(1).is_ok() {}
}

fn told(stage: &mut Stage, count: u32) -> Vec<(u32, End, u16)> {
    let found = all(&mut stage.admin, usize::try_from(count).unwrap());
    let told = found.iter().map(|(item, (one, _))| match item {
        Item::Attempt(id) => (*id, one.end, one.status),
        Item::Socket(_) => panic!("{one:?}"),
    });
    told.collect()
}

#[test]
fn an_answer_that_breaks_off_says_whose_doing_it_was() {
    let backend = Backend::scripted("demo-1-1", begins);
    let mut stage = Stage::before(&[&backend]);
    ask(&mut stage.admin, None, &[]);
    // The instance breaks off, or says what is no chunk.
    for (id, path) in [(1, "/200-cut"), (2, "/200-cut-chunks")] {
        ends(half(&stage, id, &format!("GET {path}"), "\r\n"));
    }
    let chunks = "Transfer-Encoding: chunked\r\n\r\n";
    let mut client = half(&stage, 3, "POST /200-odd-chunks", chunks);
    client.send("2\r\nab\r\n");
    ends(client);
    // The client goes: it resets the connection, so nobody waits for what it may still read.
    let client = half(&stage, 4, "GET /200-waits", "\r\n");
    rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
    drop(client);
    // The client breaks the framing of its own request, which the instance has begun to answer.
    let mut client = half(&stage, 5, "POST /200-waits", chunks);
    client.send("no size\r\n");
    ends(client);
    // A fault was injected.
    let app = AppName::new("demo").unwrap();
    stage.admin.done(&Request::Truncate { app, bodies: 1 });
    let mut client = stage.client();
    client.send(&format!("GET /200-waits HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", of_probe(6)));
    assert_eq!(client.head().unwrap().status, 200);
    assert!(client.take(4).is_err());
    let expected = [
        (1, End::Cut, 200),
        (2, End::Cut, 200),
        (3, End::Cut, 200),
        (4, End::ClientGone, 200),
        (5, End::ClientGone, 200),
        (6, End::Injected, 200),
    ];
    assert_eq!(told(&mut stage, 6), expected);
}

#[test]
fn a_stream_that_breaks_off_says_whose_doing_it_was() {
    let backend = Backend::scripted("demo-1-1", begins);
    let mut stage = Stage::before(&[&backend]);
    ask(&mut stage.admin, None, &[]);
    run(async {
        let mut client = Framed::plain(stage.address).await;
        let get = |path: &str, id: u32| {
            let mut request = framed::get(path);
            let value = format!("{KEY}-a{id}").parse().unwrap();
            request.headers_mut().insert("x-cutover-probe", value);
            request
        };
        let (answer, _) = client.begin(get("/200-cut", 1), true).await.unwrap();
        whole(answer).await.unwrap_err();
        let (answer, _) = client.begin(get("/200-waits", 2), true).await.unwrap();
        // Dropped, the stream is reset.
        assert_eq!(answer.await.unwrap().status(), 200);
        client.driver.abort();
    });
    assert_eq!(told(&mut stage, 2), [(1, End::Cut, 200), (2, End::ClientGone, 200)]);
}

/// How many requests the comparison of releases counts, and how many of them as failed.
fn units(stage: &mut Stage) -> (u64, u64) {
    let survey = Survey {
        app: AppName::new("demo").unwrap(),
        releases: vec![ReleaseId(1)],
        count_by: CountBy::Request,
        probe_key: "another".to_owned(),
    };
    match stage.admin.ask(&Request::Survey { survey, after_s: 0 }) {
        Reply::Surveyed(seen) => {
            seen.ticks.iter().fold((0, 0), |sum, tick| (sum.0 + tick.units, sum.1 + tick.errors))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_that_takes_too_long_says_who_was_waited_for() {
    let backend = Backend::scripted("demo-1-1", begins);
    let mut stage = Stage::before(&[&backend]);
    ask(&mut stage.admin, None, &[]);
    assert_eq!(units(&mut stage), (0, 0));
    let configure = |stage: &mut Stage, settings| {
        stage.admin.done(&Request::Configure { settings });
    };
    // Everything takes too long: an instance that says 504 itself has begun to answer all the same.
    let limits = Limits { request_ms: 200, ..Limits::default() };
    configure(&mut stage, Settings { limits, ..Settings::default() });
    for (id, path) in [(1, "/200-waits"), (2, "/504-waits")] {
        ends(half(&stage, id, &format!("GET {path}"), "\r\n"));
    }
    let mut client = stage.client();
    client.send(&format!("GET /never HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", of_probe(3)));
    assert_eq!(client.answer().unwrap().status, 504);
    // The instance is silent in mid-answer.
    configure(&mut stage, Settings { answer_silence_ms: 200, ..Settings::default() });
    ends(half(&stage, 4, "GET /200-waits", "\r\n"));
    // The client sends nothing more of its own body.
    configure(&mut stage, Settings { client_body_ms: 200, ..Settings::default() });
    ends(half(&stage, 5, "POST /200-waits", "Content-Length: 99999\r\n\r\nab"));
    let expected = [
        (1, End::Cut, 200),
        (2, End::Cut, 504),
        (3, End::Own, 504),
        (4, End::Cut, 200),
        (5, End::ClientGone, 200),
    ];
    assert_eq!(told(&mut stage, 5), expected);
    // All of them but the last are failures of the release.
    assert_eq!(units(&mut stage), (5, 4));
}
