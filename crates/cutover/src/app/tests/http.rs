//! Ordinary requests: routes, signatures, digests, metrics.
//!
//! WebSockets and streams are not tried here, but in `sockets`; faults that are switched on in `faults`.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::App;

fn sha256(bytes: &[u8]) -> String {
    let hex = |mut text: String, byte: &u8| {
        write!(text, "{byte:02x}").unwrap();
        text
    };
    Sha256::digest(bytes).iter().fold(String::new(), hex)
}

#[tokio::test]
async fn every_answer_says_who_gave_it() {
    let app = App::start("").await;
    for (target, status) in [
        ("/", 200),
        ("/datetime", 200),
        ("/version", 200),
        ("/healthz", 200),
        ("/metrics", 200),
        ("/ws", 426),
        ("/slow?ms=1", 200),
        ("/download?bytes=10", 200),
        ("/upload", 405),
        ("/nothing", 404),
        ("/slow?ms=60001", 400),
        ("/download?bytes=1073741825", 400),
        ("/datetime?format=roman", 400),
    ] {
        let answer = app.get(target).await;
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.header("x-app-version"), Some("v7"), "{target}");
        assert_eq!(answer.header("x-app-instance"), Some("shop-0"), "{target}");
    }
}

#[tokio::test]
async fn an_extra_path_is_answered_where_it_was_asked_for() {
    let (app, other) = (App::start("--extra-path=/hello-v7").await, App::start("").await);
    let answer = app.get("/hello-v7?name=x").await;
    assert_eq!((answer.status, &answer.json()["version"]), (200, &"v7".into()));
    for (app, target) in [(&app, "/hello-v8"), (&app, "/hello-v7/"), (&other, "/hello-v7")] {
        let answer = app.get(target).await;
        assert_eq!((answer.status, answer.header("x-app-version")), (404, Some("v7")), "{target}");
    }
}

#[tokio::test]
async fn the_time_comes_in_two_formats() {
    let app = App::start("").await;
    let rfc3339 = app.get("/datetime").await.json();
    let text = rfc3339["datetime"].as_str().unwrap();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z");
    assert_eq!((&rfc3339["version"], &rfc3339["instance"]), (&"v7".into(), &"shop-0".into()));
    let unix = app.get("/datetime?format=unix").await.json()["unix"].as_i64().unwrap();
    assert!((time::OffsetDateTime::now_utc().unix_timestamp() - unix).abs() <= 1);
}

#[tokio::test]
async fn head_has_the_headers_and_no_body() {
    let app = App::start("").await;
    let mut client = app.client().await;
    for (target, length) in [("/download?bytes=70000", "70000"), ("/version", "37")] {
        client.send("HEAD", target, b"").await;
        let head = client.head().await;
        assert_eq!((head.status, head.header("content-length")), (200, Some(length)), "{target}");
    }
    // Had there been a body, this answer would begin in the middle of it.
    assert_eq!(client.get("/version").await.json()["version"], "v7");
}

#[tokio::test]
async fn digests_match_the_bytes_in_both_directions() {
    let app = App::start("").await;
    let mut client = app.client().await;
    for bytes in [0, 1, 65_521, 200_000, 2_200_000] {
        let down = client.get(&format!("/download?bytes={bytes}")).await;
        assert_eq!(down.body.len(), bytes);
        assert_eq!(down.header("x-content-sha256"), Some(sha256(&down.body).as_str()));
        client.send(if bytes > 1 { "PUT" } else { "POST" }, "/upload", &down.body).await;
        let up = client.answer().await.json();
        assert_eq!((&up["bytes"], &up["sha256"]), (&bytes.into(), &sha256(&down.body).into()));
    }
}

#[tokio::test]
async fn an_early_no_reaches_a_client_that_is_still_sending() {
    let app = App::start("").await;
    let mut client = app.client().await;
    client.send("POST", "/version", &vec![7; 5_000_000]).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(client.get("/version").await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_small_answer_leaves_in_one_write() {
    let app = App::start("").await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let mut buffer = vec![0; 4096];
    for _ in 0..200 {
        stream.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].ends_with(b"}\n"), "{}", String::from_utf8_lossy(&buffer[..read]));
    }
}

#[tokio::test]
async fn metrics_count_answers_and_what_is_open() {
    let app = App::start("").await;
    let mut waiting = app.client().await;
    waiting.send("GET", "/slow?ms=30000", b"").await;
    app.open_requests(1).await;
    for _ in 0..3 {
        app.get("/version").await;
    }
    app.get("/one-of-many-unknown-paths").await;
    let metrics = String::from_utf8(app.get("/metrics").await.body).unwrap();
    for line in [
        "app_info{version=\"v7\",instance=\"shop-0\"} 1",
        "app_requests_total{route=\"/version\",status=\"200\"} 3",
        "app_requests_total{route=\"other\",status=\"404\"} 1",
        "app_open_requests 2",
        "app_open_sockets 0",
    ] {
        assert!(metrics.lines().any(|had| had == line), "no {line} in\n{metrics}");
    }
    drop(waiting);
    app.open_requests(0).await;
}

#[tokio::test]
async fn the_page_is_self_contained_and_shows_who_answered() {
    let app = App::start("").await;
    let page = String::from_utf8(app.get("/").await.body).unwrap();
    assert!(page.contains("<div id=\"version\">v7</div>") && page.contains(">shop-0</code>"));
    for outside in ["http://", "https://", "src=", "@import", "url(", "{{"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[tokio::test]
async fn orders_are_counted_once_each_in_a_book_that_instances_share() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders");
    let (one, other) = (format!("--orders {}", file.display()), App::start("").await);
    let (first, second) = (App::start(&one).await, App::start(&one).await);
    let place = |id: &str| {
        let body = format!("{{\"id\":\"{id}\"}}");
        format!(
            "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    for (app, id) in
        [(&first, "r-1"), (&second, "r-2"), (&second, "r-1"), (&first, "rr-1"), (&other, "r-3")]
    {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(place(id).as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let account = first.get("/orders?run=r").await;
    let account: serde_json::Value = serde_json::from_slice(&account.body).unwrap();
    assert_eq!(
        (&account["orders"], &account["doubled_orders"]),
        (&2.into(), &1.into()),
        "{account}"
    );
    assert_eq!(account["doubled"][0], "r-1");
    assert_eq!(first.get("/orders").await.status, 400);
    assert_eq!(other.get("/orders?run=none").await.status, 200);
}
