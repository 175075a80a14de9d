//! The HTTP/2 lane against servers that say goodbye, refuse, reset and drop.
//!
//! Heads that are too large, and garbage, are in `hostile`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{assert_classes, of, options, run, stopped};
use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use model::attempt::{Class, Ending, Lane};
use model::survey::PROBE_FIELD;
use probe::{Options, Target};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with every fifth request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trick {
    Nothing,
    /// Says that it takes no more on this connection; what came is answered.
    Goodbye,
    /// Resets the stream as not taken.
    Refuse,
    /// Resets the stream.
    Reset,
    /// Resets it in the body.
    Cut,
    Error,
}

async fn start(trick: Trick) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, trick, Arc::clone(&counter)));
        }
    });
    (address, asked)
}

async fn serve(stream: TcpStream, trick: Trick, asked: Arc<AtomicU64>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((_, mut answer))) = connection.accept().await {
        // The first is the trial.
        let odd = asked.fetch_add(1, Ordering::SeqCst) % 5 == 4;
        match trick {
            Trick::Refuse if odd => answer.send_reset(Reason::REFUSED_STREAM),
            Trick::Reset if odd => answer.send_reset(Reason::INTERNAL_ERROR),
            _ => say(&mut answer, trick, odd),
        }
        if trick == Trick::Goodbye && odd {
            connection.graceful_shutdown();
        }
    }
}

fn say(answer: &mut SendResponse<Bytes>, trick: Trick, odd: bool) {
    let status = if trick == Trick::Error && odd { 503 } else { 200 };
    let head =
        http::Response::builder().status(status).header("x-app-version", "v1").body(()).unwrap();
    let mut body = answer.send_response(head, false).unwrap();
    body.send_data(Bytes::from_static(b"ok"), trick != Trick::Cut || !odd).unwrap();
    if trick == Trick::Cut && odd {
        // A reset would overtake what has not left yet.
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            body.send_reset(Reason::INTERNAL_ERROR);
        });
    }
}

fn probing(address: SocketAddr) -> Options {
    let url = Target::parse(&format!("http://{address}/x")).unwrap();
    Options { rate: 20, ..options(url, Lane::Http2, 25) }
}

#[tokio::test]
async fn requests_share_connections_and_say_who_answered() {
    let (address, asked) = start(Trick::Nothing).await;
    let run = run(probing(address)).await;
    assert_classes(&run, &[(Class::Ok, 25)]);
    assert_eq!(asked.load(Ordering::SeqCst) as usize, 26 - stopped(&run), "a retry?");
    for attempt in of(&run, Class::Ok) {
        assert_eq!(
            (attempt.version.as_deref(), attempt.status, attempt.bytes),
            (Some("v1"), 200, 2)
        );
        assert!(attempt.sent_us > 0 && attempt.first_byte_us >= attempt.sent_us);
    }
    assert_eq!(run.connections.len(), 2, "{:?}", run.connections);
    assert!(run.connections.iter().all(|c| c.ending == Ending::ByUs), "{:?}", run.connections);
    let carried: u32 = run.connections.iter().map(|c| c.attempts).sum();
    assert_eq!(carried as usize, 25 - stopped(&run));
}

/// A proxy of ours is told which attempt a stream is, once for each; a trial is none.
#[tokio::test]
async fn with_a_key_each_stream_says_which_attempt_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let heard = Arc::clone(&heard);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut answer))) = connection.accept().await {
                    let says = request.headers().get_all(PROBE_FIELD).iter();
                    let says = says.map(|value| value.to_str().unwrap().to_owned());
                    heard.lock().unwrap().extend(says);
                    say(&mut answer, Trick::Nothing, false);
                }
            });
        }
    });
    let mut options = probing(address);
    options.url = options.url.with_key("5ec2e7").unwrap();
    let run = run(options).await;
    assert_classes(&run, &[(Class::Ok, 25)]);
    let mut wanted: Vec<String> =
        of(&run, Class::Ok).iter().map(|a| format!("5ec2e7-a{}", a.id)).collect();
    wanted.push("5ec2e7".to_owned());
    wanted.sort();
    let mut said = said.lock().unwrap().clone();
    said.sort();
    assert_eq!(said, wanted);
}

#[tokio::test]
async fn a_goodbye_costs_nothing_and_is_followed_by_a_new_connection() {
    let (address, _) = start(Trick::Goodbye).await;
    let run = run(probing(address)).await;
    // A stream that was under way when the goodbye came may be one that the server did not take.
    let refused = of(&run, Class::Refused).len();
    assert!(refused <= 2, "{:?}", of(&run, Class::Refused));
    assert_classes(&run, &[(Class::Ok, 25 - refused), (Class::Refused, refused)]);
    let left = run.connections.iter().filter(|c| c.ending == Ending::AnnouncedByPeer).count();
    assert!(left >= 3, "{:?}", run.connections);
}

#[tokio::test]
async fn refused_reset_and_cut_streams_are_told_apart_and_never_sent_again() {
    for (trick, class) in [
        (Trick::Refuse, Class::Refused),
        (Trick::Reset, Class::ResetBeforeBytes),
        (Trick::Cut, Class::Truncated),
        (Trick::Error, Class::BadStatus),
    ] {
        let (address, asked) = start(trick).await;
        let run = run(probing(address)).await;
        let asked = asked.load(Ordering::SeqCst) as usize;
        assert_eq!(asked, 26 - stopped(&run), "{trick:?}: a retry?");
        assert_classes(&run, &[(Class::Ok, 25 - asked / 5), (class, asked / 5)]);
        assert!(of(&run, class)[0].detail.is_some());
    }
}

#[tokio::test]
async fn a_server_that_drops_everything_loses_what_was_in_flight() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            let mut connection = h2::server::handshake(stream).await.unwrap();
            // The trial is answered; then each connection is dropped with its first stream open.
            if let Some(Ok((_, mut answer))) = connection.accept().await
                && number == 0
            {
                say(&mut answer, Trick::Nothing, false);
                while connection.accept().await.is_some() {}
            }
        }
    });
    let run = run(Options { timeout: Duration::from_secs(1), ..probing(address) }).await;
    let lost = run.attempts.iter().filter(|a| {
        matches!(
            a.class,
            Class::LostInFlight | Class::ResetBeforeBytes | Class::Refused | Class::NotSent
        )
    });
    assert_eq!(
        lost.count(),
        25,
        "{:?}",
        run.attempts.iter().map(|a| (a.class, &a.detail)).collect::<Vec<_>>()
    );
    assert!(
        !of(&run, Class::LostInFlight).is_empty() || !of(&run, Class::ResetBeforeBytes).is_empty()
    );
}
