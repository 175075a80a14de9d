//! Lanes that nobody named: those that are served run, those that are not are told with the reason, and what the
//! service merely has for every path is no lane.
//!
//! What a lane finds when it runs is in `lanes` and `websocket`.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use model::attempt::{Attempt, Class, Lane};
use probe::{Options, Run, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async;

use crate::common::routes::{self, Wrong};
use crate::common::{assert_classes, options, run};

/// What a path comes to.
#[derive(Clone, Copy, Debug)]
enum Path {
    Status(&'static str),
    Reset,
    Hang,
    Echo,
    Mute,
}

/// Path → what it comes to.
type Map = fn(&str) -> Path;

async fn server(map: Map) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, map));
        }
    });
    address
}

/// One request; a body is not waited for.
async fn serve(mut stream: TcpStream, map: Map) {
    let mut head = [0; 4_096];
    let mut read = 0;
    while !head[..read].windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.peek(&mut head).await {
            Ok(more) if more > read => read = more,
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&head[..read]).into_owned();
    let act = map(text.split(' ').nth(1).unwrap().split('?').next().unwrap());
    match act {
        Path::Echo | Path::Mute => {
            let Ok(mut socket) = accept_async(stream).await else { return };
            while let Some(Ok(message)) = socket.next().await {
                if matches!(act, Path::Echo) && socket.send(message).await.is_err() {
                    return;
                }
            }
        }
        Path::Status(status) => {
            let _ = stream.read(&mut head).await;
            // The one answer of this connection, and it says so: a second request would get none.
            let answer =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 5\r\n\r\n<p>ok");
            let _ = stream.write_all(answer.as_bytes()).await;
            // Until the client has gone: an end in the middle of an upload would be another story.
            while stream.read(&mut head).await.is_ok_and(|read| read > 0) {}
        }
        Path::Hang => while stream.read(&mut head).await.is_ok_and(|read| read > 0) {},
        Path::Reset => {}
    }
}

/// All lanes, short; named or not.
async fn probed(address: SocketAddr, named: bool) -> Run {
    let url = Target::parse(&format!("http://{address}/")).unwrap();
    let share = 1.0 / Lane::ALL.len() as f64;
    run(Options {
        lanes: Lane::ALL.map(|lane| (lane, share)).into(),
        lanes_if_served: !named,
        download_path: "/download".to_owned(),
        upload_bytes: 40_000,
        timeout: Duration::from_secs(1),
        // A second: what a busy machine takes away is a part of that.
        rate: 27,
        ..options(url, Lane::Fresh, 27)
    })
    .await
}

fn ran(run: &Run) -> Vec<Lane> {
    run.header.lanes.iter().map(|(lane, _)| *lane).collect()
}

#[track_caller]
fn not_run(run: &Run, wanted: &[(Lane, &str)]) {
    let seen = &run.header.lanes_not_run;
    assert_eq!(seen.len(), wanted.len(), "{seen:?}");
    for (lane, words) in wanted {
        let reason = seen.iter().find(|(other, _)| other == lane).map(|(_, reason)| reason);
        assert!(reason.is_some_and(|reason| reason.contains(words)), "{lane:?}: {reason:?}");
    }
}

/// They ask what was asked for: whatever it answers is theirs to tell.
const OF_THE_URL: [Lane; 3] = [Lane::KeepAlive, Lane::Fresh, Lane::Idle];

#[tokio::test]
async fn what_is_served_runs_without_being_named() {
    let (address, _) = routes::start(Wrong::Nothing).await;
    let run = probed(address, false).await;
    let mut served =
        [&OF_THE_URL[..], &[Lane::Upload, Lane::Download, Lane::Events, Lane::Orders]].concat();
    served.sort_unstable();
    let mut seen = ran(&run);
    seen.sort_unstable();
    assert_eq!(seen, served);
    not_run(&run, &[(Lane::Http2, "no HTTP/2 without TLS"), (Lane::Websocket, "upgrade")]);
    let failed = run.attempts.iter().filter(|attempt| attempt.class.failed());
    assert_eq!(failed.count(), 0, "{:#?}", run.attempts);
    assert!(run.footer.unwrap().orders.is_some(), "orders ran without an account");
}

#[tokio::test]
async fn a_page_that_is_there_for_every_path_is_no_lane() {
    let run = probed(server(|_| Path::Status("200 OK")).await, false).await;
    assert_eq!(ran(&run), OF_THE_URL);
    not_run(
        &run,
        &[
            (Lane::Http2, "no HTTP/2 without TLS"),
            (Lane::Websocket, "the upgrade was answered with 200"),
            (Lane::Upload, "no SHA-256 of what was sent"),
            (Lane::Download, "5 bytes are no long answer"),
            (Lane::Events, "no stream of events"),
            (Lane::Orders, "no account of orders"),
        ],
    );
}

/// Trouble that may pass fails a lane that somebody named, and says of another one that it is not served.
#[tokio::test]
async fn trouble_in_the_trial_counts_against_no_lane_that_nobody_named() {
    let map: Map = |path| match path {
        "/" => Path::Status("200 OK"),
        "/ws" => Path::Status("503 Down"),
        "/download" => Path::Reset,
        "/events" => Path::Status("500 Odd"),
        "/orders" => Path::Status("502 Gone"),
        _ => Path::Hang,
    };
    let address = server(map).await;
    let run = probed(address, false).await;
    assert_eq!(ran(&run), OF_THE_URL);
    not_run(
        &run,
        &[
            (Lane::Http2, "tried once"),
            (Lane::Websocket, "503"),
            (Lane::Upload, "no answer within 1000 ms"),
            (Lane::Download, "before"),
            (Lane::Events, "500"),
            (Lane::Orders, "502"),
        ],
    );
    assert_classes(&run, &[(Class::Ok, 27)]);

    let named = probed(address, true).await;
    for lane in [Lane::Websocket, Lane::Upload, Lane::Download, Lane::Events, Lane::Orders] {
        let of = named.attempts.iter().filter(|attempt| attempt.lane == lane);
        let failed = of.filter(|attempt| attempt.class.failed()).count();
        assert!(failed > 0, "{lane:?} was named, and nothing failed");
    }
}

#[tokio::test]
async fn sockets_that_send_nothing_back_are_no_lane_unless_it_is_named() {
    let echo = server(|path| if path == "/ws" { Path::Echo } else { Path::Status("200 OK") }).await;
    let mute = server(|path| if path == "/ws" { Path::Mute } else { Path::Status("200 OK") }).await;
    let echoing = probed(echo, false).await;
    assert!(ran(&echoing).contains(&Lane::Websocket), "{:?}", echoing.header.lanes_not_run);
    let numbered = |a: &&Attempt| a.lane == Lane::Websocket && a.class != Class::NotSent;
    let numbered = echoing.attempts.iter().filter(numbered);
    assert!(numbered.clone().count() > 0);
    assert!(numbered.clone().all(|attempt| attempt.class == Class::Ok), "{numbered:?}");
    let counts = echoing.footer.as_ref().unwrap();
    assert_eq!((counts.ws_doubled, counts.ws_reordered), (0, 0), "the trial was counted");

    let silent = probed(mute, false).await;
    assert!(!ran(&silent).contains(&Lane::Websocket));
    let reason = silent.header.lanes_not_run.iter().find(|(lane, _)| *lane == Lane::Websocket);
    assert!(reason.is_some_and(|(_, why)| why.contains("not sent back")), "{reason:?}");
    assert!(ran(&probed(mute, true).await).contains(&Lane::Websocket));
}
