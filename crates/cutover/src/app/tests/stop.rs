//! Stopping: what is open is finished, nobody is refused, and it does end.
//!
//! What says goodbye on an open socket or stream is in `sockets`.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::server::{Ended, Server};
use super::{App, Client, Process, options};

#[tokio::test]
async fn told_to_stop_it_is_not_ready_and_still_answers() {
    let app = App::start("").await;
    let mut kept = app.client().await;
    assert_eq!(kept.get("/version").await.header("connection"), None);
    let mut idle = app.client().await;
    idle.get("/version").await;
    let mut slow = app.client().await;
    slow.send("GET", "/slow?ms=700", b"").await;
    app.open_requests(1).await;
    app.state.stop();
    let health = app.get("/healthz").await;
    assert_eq!((health.status, health.json()["status"].as_str()), (503, Some("stopping")));
    assert_eq!(app.get("/datetime").await.status, 200, "new connections are still taken");
    let last = kept.get("/datetime").await;
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert_eq!(kept.rest().await.unwrap(), b"", "and then it is closed without a reset");
    assert_eq!(slow.answer().await.json()["slept_ms"], 700);
    assert_eq!(idle.rest().await.unwrap(), b"", "idle ones are closed at the end");
    assert_eq!(app.ended().await, Ended::Quiet);
}

#[tokio::test]
async fn an_answer_is_open_until_its_last_byte() {
    let app = App::start("").await;
    let mut client = app.client().await;
    let bytes = 60_000_000;
    client.send("GET", &format!("/download?bytes={bytes}"), b"").await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(app.state.load().requests, 1, "far more than the socket's buffers hold");
    app.state.stop();
    assert_eq!(client.rest().await.unwrap().len(), bytes);
    assert_eq!(app.ended().await, Ended::Quiet);
}

#[tokio::test]
async fn whoever_still_asks_is_answered_until_he_stops() {
    let app = App::start("").await;
    app.state.stop();
    for _ in 0..8 {
        assert_eq!(app.get("/version").await.status, 200);
        sleep(Duration::from_millis(100)).await;
    }
    assert!(!app.running.is_finished());
    assert_eq!(app.ended().await, Ended::Quiet);
}

#[tokio::test]
async fn health_checks_do_not_keep_it_up() {
    let app = App::start("--drain-deadline 8s").await;
    app.state.stop();
    let asked_since = Instant::now();
    while !app.running.is_finished() {
        assert!(asked_since.elapsed() < Duration::from_secs(4), "it stays for a health check");
        if let Ok(mut stream) = tokio::net::TcpStream::connect(app.address).await {
            use tokio::io::AsyncWriteExt as _;
            let _ = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(app.ended().await, Ended::Quiet);
}

#[tokio::test]
async fn the_deadline_ends_it_whatever_is_open() {
    let app = App::start("--drain-deadline 300ms").await;
    let mut slow = app.client().await;
    slow.send("GET", "/slow?ms=30000", b"").await;
    app.open_requests(1).await;
    app.state.stop();
    let told = Instant::now();
    assert_eq!(app.ended().await, Ended::Deadline { requests: 1, sockets: 0 });
    assert!(told.elapsed() >= Duration::from_millis(300));
    assert!(told.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn sigterm_finishes_what_is_open_and_exits_with_success() {
    let mut app = Process::start("").await;
    let mut slow = Client::connect(app.address).await;
    slow.send("GET", "/slow?ms=600", b"").await;
    Client::connect(app.address).await.get("/version").await;
    app.terminate();
    app.says("told to stop: 1 requests and 0 sockets open").await;
    assert_eq!(slow.answer().await.status, 200);
    app.says("stopped: nothing was open").await;
    assert!(app.exit().await.success());
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once() {
    let mut app = Process::start("").await;
    let mut slow = Client::connect(app.address).await;
    slow.send("GET", "/slow?ms=30000", b"").await;
    Client::connect(app.address).await.get("/version").await;
    app.terminate();
    app.says("told to stop").await;
    let told = Instant::now();
    app.terminate();
    app.says("stopped at once").await;
    assert!(app.exit().await.success());
    assert!(told.elapsed() < Duration::from_secs(2));
    assert!(slow.rest().await.unwrap_or_default().is_empty());
}

#[tokio::test]
async fn a_busy_port_is_named_with_what_to_do() {
    let app = App::start("").await;
    let mut second = options("").unwrap();
    second.port = app.address.port();
    let fault = Server::bind(second).await.unwrap_err();
    let port = app.address.port();
    assert_eq!(fault.what, format!("port {port} on 127.0.0.1 is in use"));
    assert!(fault.help.unwrap().contains("--port"));
    let foreign = Server::bind(options("--address 192.0.2.1").unwrap()).await.unwrap_err();
    assert_eq!(foreign.what, "192.0.2.1 is no address of this machine");
}
