//! HEAD on the lanes that ask the URL: an answer ends with its head, whatever that says of a body, and a body
//! that comes all the same is no part of it.
//!
//! What is refused before a run is in `options`; other methods are in `secure`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Act, Server, assert_classes, of, options, run, stopped};
use bytes::Bytes;
use model::attempt::{Class, Ending, Lane};
use probe::{Ask, Options, Run, Target};
use tokio::net::{TcpListener, TcpStream};

/// What a head may say of a body that GET would get.
const OF_A_BODY: [&str; 3] = ["Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n", ""];

fn head(status: &str, version: &str, of_a_body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nX-App-Version: {version}\r\n{of_a_body}\r\n").into_bytes()
}

fn asking(url: Target, lane: Lane, count: u64) -> Options {
    let ask = Ask::default().with_method("HEAD").unwrap();
    Options { ask, rate: 40, ..options(url, lane, count) }
}

#[tokio::test]
async fn an_answer_to_head_is_whole_with_its_head_and_the_connection_goes_on() {
    for lane in [Lane::KeepAlive, Lane::Fresh, Lane::Idle] {
        let kind = |n: u64| OF_A_BODY[(n % 3) as usize];
        let script = move |n| match n % 4 {
            3 => Act::Say(head("404 Not Found", "v1", kind(n))),
            _ => Act::Say(head("200 OK", "v1", kind(n))),
        };
        let server = Server::start(script).await;
        let most = Duration::from_millis(100);
        let run = run(Options { idle_most: most, ..asking(server.url(), lane, 40) }).await;
        let asked = server.asked();
        assert_eq!(asked, 40 - stopped(&run), "{lane:?}: a retry?");
        assert_classes(&run, &[(Class::Ok, 40 - asked / 4), (Class::BadStatus, asked / 4)]);
        let answered = run.attempts.iter().filter(|a| a.class != Class::NotSent);
        assert!(answered.clone().all(|a| a.version.as_deref() == Some("v1") && a.bytes == 0));
        let lines = server.lines.lock().unwrap();
        assert!(lines.iter().all(|line| line == "HEAD /x HTTP/1.1"), "{lane:?}: {lines:?}");
        // No connection is given up for a body that is only told of.
        let connections = run.connections.len();
        match lane {
            Lane::Fresh => assert_eq!(connections, asked),
            Lane::KeepAlive => assert_eq!(connections, 8),
            _ => assert!(connections < asked, "{connections} of {asked}"),
        }
        assert!(run.connections.iter().all(|c| c.ending == Ending::ByUs), "{:?}", run.connections);
    }
}

/// A connection on which a server said more than it was asked carries nothing any more, and what was said is
/// nobody's answer, also where it looks like one.
#[tokio::test]
async fn a_body_after_all_is_left_with_its_connection() {
    let body = b"HTTP/1.1 503 Not Yours\r\nX-App-Version: v3\r\nContent-Length: 0\r\n\r\n".to_vec();
    let said = head("200 OK", "v2", OF_A_BODY[0]);
    let at_once = Act::Say([said.clone(), body.clone()].concat());
    for act in [at_once, Act::SayLater(said, body)] {
        let script = move |n| match n % 5 {
            4 => act.clone(),
            _ => Act::Say(head("200 OK", "v1", OF_A_BODY[0])),
        };
        let server = Server::start(script).await;
        // Each connection is used again after 400 ms: what is said later has come by then.
        let run = run(Options { rate: 20, ..asking(server.url(), Lane::KeepAlive, 30) }).await;
        assert_classes(&run, &[(Class::Ok, 30)]);
        let odd: Vec<_> = said_by("v2", &run);
        assert_eq!((odd.len(), said_by("v3", &run).len()), (server.asked() / 5, 0));
        for (connection, sent_us) in odd {
            let after = |a: &&model::Attempt| a.connection == connection && a.sent_us > sent_us;
            let next = run.attempts.iter().find(after);
            assert!(next.is_none(), "the connection was used again: {next:?}");
        }
    }
}

/// Connection and time of what this version answered.
fn said_by(version: &str, run: &Run) -> Vec<(u32, u64)> {
    let by = run.attempts.iter().filter(|a| a.version.as_deref() == Some(version));
    by.map(|a| (a.connection, a.sent_us)).collect()
}

/// What comes behind the head of every fifth answer on a stream; behind the others comes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    /// An empty frame, which ends the stream.
    Emptiness,
    Body,
}

/// Who asks with another method is refused.
async fn streams(behind: Behind) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, behind, Arc::clone(&counter)));
        }
    });
    (address, asked)
}

async fn serve(stream: TcpStream, behind: Behind, asked: Arc<AtomicUsize>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut answer))) = connection.accept().await {
        // The first is the trial.
        let odd = asked.fetch_add(1, Ordering::SeqCst) % 5 == 4;
        let status = if request.method() == http::Method::HEAD { 200 } else { 405 };
        let head = http::Response::builder().status(status);
        let head = head.header("x-app-version", "v1").header("content-length", "1000");
        let mut body = answer.send_response(head.body(()).unwrap(), !odd).unwrap();
        if odd {
            let text: &[u8] = if behind == Behind::Body { b"whatever" } else { b"" };
            body.send_data(Bytes::from_static(text), true).unwrap();
        }
    }
}

/// On a stream a body is an error of the answer, as it is for every client of HTTP/2; the connection goes on.
#[tokio::test]
async fn on_a_stream_a_body_behind_head_is_wrong_content() {
    for (behind, class) in [(Behind::Emptiness, Class::Ok), (Behind::Body, Class::WrongContent)] {
        let (address, asked) = streams(behind).await;
        let url = Target::parse(&format!("http://{address}/x")).unwrap();
        let run = run(Options { rate: 20, ..asking(url, Lane::Http2, 25) }).await;
        let asked = asked.load(Ordering::SeqCst);
        assert_eq!(asked, 26 - stopped(&run), "{behind:?}: a retry?");
        let odd = if class == Class::Ok { 0 } else { asked / 5 };
        assert_classes(&run, &[(Class::Ok, 25 - odd), (Class::WrongContent, odd)]);
        for attempt in of(&run, Class::Ok) {
            assert_eq!((attempt.version.as_deref(), attempt.bytes), (Some("v1"), 0));
        }
        for attempt in of(&run, Class::WrongContent) {
            assert_eq!(
                attempt.detail.as_deref(),
                Some("200, and a body behind the answer to HEAD")
            );
        }
        assert_eq!(run.connections.len(), 2, "{:?}", run.connections);
    }
}
