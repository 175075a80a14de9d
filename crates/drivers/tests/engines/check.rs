//! One question, one answer: what counts as whole and what the failures are called.
//!
//! How often to ask, and what follows from several answers, is not tried here, but in `process`.

use std::net::SocketAddr;
use std::time::Duration;

use drivers::check::{Kept, NoAnswer, ask, connect};
use model::Class;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_millis(300);

/// A server that reads a request, sends these pieces one by one, then closes or stays silent.
async fn script(pieces: &[&'static [u8]], close: bool) -> SocketAddr {
    let pieces = pieces.to_vec();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _n = stream.read(&mut request).await.unwrap();
        for piece in pieces {
            stream.write_all(piece).await.unwrap();
            stream.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        if !close {
            std::future::pending::<()>().await;
        }
    });
    address
}

async fn failure(pieces: &[&'static [u8]], close: bool) -> NoAnswer {
    let address = script(pieces, close).await;
    ask(address, "x", "/", LIMIT).await.expect_err("there is no whole answer")
}

#[tokio::test]
async fn whole_answers_are_taken_in_every_framing() {
    let whole: [&[&'static [u8]]; 4] = [
        &[b"HTTP/1.1 200 OK\r\nX-App-Version: v7\r\nContent-Length: 4\r\n\r\nab", b"cd"],
        &[
            b"HTTP/1.1 200 OK\r\nx-app-version: v7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r",
            b"\n2\r\ncd\r\n0\r\n\r\n",
        ],
        &[b"HTTP/1.0 200 OK\r\nx-app-version: v7\r\n\r\nab", b"cd"],
        &[
            b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n",
            b"x-app-version: v7\r\ncontent-length: 4\r\n\r\nabcd",
        ],
    ];
    for pieces in whole {
        let answer = ask(script(pieces, true).await, "x", "/", LIMIT).await.unwrap();
        assert_eq!((answer.status, answer.body_head.as_str(), answer.body_bytes), (200, "abcd", 4));
        assert_eq!(answer.version.as_deref(), Some("v7"));
    }
}

#[tokio::test]
async fn answers_that_end_early_are_truncated() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab";
    let broken = failure(&[head], true).await;
    assert_eq!(broken.class, Class::Truncated);
    assert!(broken.words.contains("7 bytes early"), "{}", broken.words);
    let chunked = failure(&[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab"], true);
    assert_eq!(chunked.await.class, Class::Truncated);
    assert_eq!(failure(&[b"HTTP/1.1 200"], true).await.class, Class::Truncated);
}

#[tokio::test]
async fn silence_is_named_by_how_far_it_came() {
    let silent = failure(&[], false).await;
    assert_eq!(silent.class, Class::Timeout);
    assert_eq!(silent.words, "connected, but no answer within 300 ms");
    let begun = failure(&[b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"], false).await;
    assert_eq!(begun.words, "the answer began but was not whole within 300 ms");
    assert_eq!(failure(&[], true).await.class, Class::LostInFlight);
}

/// R16: a port that takes connections for nobody, as a proxy before an app that does not listen yet
/// does, passes no check.
#[tokio::test]
async fn r16_a_port_that_accepts_and_resets_passes_no_check() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // What has arrived and was not read turns its close into a reset.
            let _readable = stream.readable().await;
        }
    });
    for _ in 0..5 {
        assert_eq!(ask(address, "x", "/", LIMIT).await.unwrap_err().class, Class::ResetBeforeBytes);
    }
}

#[tokio::test]
async fn what_is_not_http_is_said_so() {
    let odd = failure(&[b"\x1b[2Jhello there, this is no web server\r\n\r\n"], true).await;
    assert_eq!(odd.class, Class::WrongContent);
    assert!(odd.words.contains("hello there") && !odd.words.contains('\x1b'), "{}", odd.words);
    let lengths = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcd";
    assert_eq!(failure(&[lengths], true).await.class, Class::WrongContent);
}

#[tokio::test]
async fn nobody_there_is_refused_and_an_odd_path_is_never_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert!(connect(address, LIMIT).await.is_ok());
    let odd = ask(address, "x", "/a b\r\nX: y", LIMIT).await.unwrap_err();
    assert!(odd.words.contains("cannot be asked for"), "{}", odd.words);
    drop(listener);
    assert_eq!(ask(address, "x", "/", LIMIT).await.unwrap_err().class, Class::Refused);
    assert_eq!(connect(address, LIMIT).await.unwrap_err().words, "connection refused");
}

#[tokio::test]
async fn a_kept_connection_is_asked_again_and_its_end_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        for body in ["ab", "cd"] {
            let n = stream.read(&mut request).await.unwrap();
            assert!(!String::from_utf8_lossy(&request[..n]).contains("close"));
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let mut kept = Some(Kept::open(address, "x", LIMIT).await.unwrap());
    for body in ["ab", "cd"] {
        let mut one = kept.take().unwrap();
        one.send("/").await.unwrap();
        let (answer, next) = one.receive(LIMIT).await.unwrap();
        assert_eq!(answer.body_head, body);
        kept = next;
    }
    served.await.unwrap();
    tokio::time::timeout(LIMIT, kept.unwrap().ended()).await.expect("it was closed");
}

#[tokio::test]
async fn an_answer_that_ends_its_connection_leaves_none() {
    let closing: [&[&'static [u8]]; 3] = [
        &[b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nab"],
        &[b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab"],
        &[b"HTTP/1.1 200 OK\r\n\r\nab"],
    ];
    for pieces in closing {
        let mut kept = Kept::open(script(pieces, true).await, "x", LIMIT).await.unwrap();
        kept.send("/").await.unwrap();
        let (answer, next) = kept.receive(LIMIT).await.unwrap();
        assert!(answer.body_bytes == 2 && next.is_none(), "{answer:?}");
    }
    let mut kept = Kept::open(script(&[], true).await, "x", LIMIT).await.unwrap();
    kept.send("/").await.unwrap();
    let failure = kept.receive(LIMIT).await.expect_err("it was cut");
    assert_eq!(failure.class, Class::LostInFlight);
}
