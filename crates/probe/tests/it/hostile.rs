//! Servers that mean harm: endless, lying and garbled answers get honest classes in bounded memory.
//!
//! Servers that are merely broken are in `http`.

use std::time::Duration;

use crate::common::{Act, Server, assert_classes, of, options, right, run, stopped};
use bytes::Bytes;
use futures_util::future::join_all;
use model::attempt::{Class, Lane};
use probe::{Options, Target};
use tokio::net::TcpListener;

/// Lanes that read an answer over HTTP/1.1 and take any right one.
const READING: [Lane; 4] = [Lane::KeepAlive, Lane::Fresh, Lane::Idle, Lane::Download];

/// The first answer, to a trial or an attempt, is right; all others are hostile.
async fn hostile(lane: Lane, act: Act, class: Class) {
    let server = Server::start(move |n| if n == 0 { right("v1") } else { act.clone() }).await;
    let mut options = options(server.url(), lane, 10);
    options.rate = 10;
    if class == Class::Timeout {
        options.timeout = Duration::from_millis(1_500);
    }
    let run = run(options).await;
    let right = usize::from(lane != Lane::Download);
    assert_classes(&run, &[(class, 10 - right), (Class::Ok, right)]);
    for attempt in of(&run, class) {
        let detail = attempt.detail.as_deref().unwrap();
        assert!(detail.len() < 2_000 && !detail.contains(char::is_control), "{lane:?}: {detail:?}");
    }
}

async fn on_each(act: &Act, class: Class) {
    join_all(READING.map(|lane| hostile(lane, act.clone(), class))).await;
}

#[tokio::test]
async fn an_endless_body_is_a_timeout_and_a_garbled_one_is_wrong() {
    let endless = Act::SayAndCloseIdle(
        [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 3_000_000]].concat(),
        Duration::from_secs(9),
    );
    let chunks =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n".to_vec();
    let status = b"HTTP/1.1 999999 \x1b[2J\r\n\r\n".to_vec();
    on_each(&endless, Class::Timeout).await;
    on_each(&Act::Say(chunks), Class::WrongContent).await;
    on_each(&Act::Say(status), Class::WrongContent).await;
}

#[tokio::test]
async fn a_length_that_lies_is_truncated_and_escape_codes_are_spelled_out() {
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nx".to_vec();
    let codes =
        b"HTTP/1.1 500 \x1b]0;owned\x07\r\nContent-Length: 9\r\n\r\n\x1b[2J\x1b[31mx".to_vec();
    on_each(&Act::SayAndClose(short), Class::Truncated).await;
    on_each(&Act::Say(codes), Class::WrongContent).await;
    let codes = b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n\x1b[2J\x1b[31mx".to_vec();
    hostile(Lane::Fresh, Act::Say(codes), Class::BadStatus).await;
}

#[tokio::test]
async fn a_version_per_answer_is_remembered_only_so_often() {
    let server = Server::start(|n| right(&format!("v{n}\t{}", "x".repeat(5_000)))).await;
    let run = run(options(server.url(), Lane::KeepAlive, 150)).await;
    assert_classes(&run, &[(Class::Ok, 150)]);
    let mut versions: Vec<_> = run.attempts.iter().filter_map(|a| a.version.clone()).collect();
    versions.sort();
    versions.dedup();
    assert!(versions.len() <= 65 && versions.iter().all(|v| v.len() <= 120), "{}", versions.len());
}

#[tokio::test]
async fn http2_with_a_head_that_is_too_large_or_garbage_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut asked = 0;
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut connection) = h2::server::handshake(stream).await else { continue };
            while let Some(Ok((_, mut answer))) = connection.accept().await {
                let size = if asked == 0 { 10 } else { 300_000 };
                asked += 1;
                let head = http::Response::builder().header("x-app-version", "y".repeat(size));
                if let Ok(mut body) = answer.send_response(head.body(()).unwrap(), false) {
                    let _ = body.send_data(Bytes::from_static(b"ok"), true);
                }
                if asked == 1 {
                    // The trial's connection ends; serve the next one.
                    connection.graceful_shutdown();
                }
            }
        }
    });
    let url = Target::parse(&format!("http://{address}/")).unwrap();
    let run =
        run(Options { timeout: Duration::from_millis(500), ..options(url, Lane::Http2, 10) }).await;
    assert!(of(&run, Class::Ok).is_empty(), "{:?}", run.attempts);
    assert!(run.attempts.iter().all(|a| a.version.is_none()));
    assert!(of(&run, Class::NotSent).len() == stopped(&run), "{:?}", run.attempts);
}
