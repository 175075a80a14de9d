//! The WebSocket lane against a server that drops, closes, doubles and moves its sockets.
//!
//! Broken frames are not tried: they are the `tungstenite` crate's to refuse.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Act, Server, assert_classes, of, options, run, stopped};
use futures_util::{SinkExt, StreamExt};
use model::attempt::{Class, Ending, Lane};
use probe::{Options, Run, Stop, Target, Told};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async, accept_hdr_async};

/// What the server does when a message has come.
#[derive(Clone, Copy, Debug)]
enum Step {
    Echo,
    /// As the sample app does.
    EchoInJson,
    AskToReconnect,
    Close(u16),
    /// Ends the connection without a close frame.
    Drop,
    Reset,
    /// Echoes the message before this one, then this one... or keeps the first for then.
    Swap,
}

/// Number of the socket from 0, number of the message on it from 0 → steps.
type Script = fn(u64, u64) -> &'static [Step];

async fn server(script: Script) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sockets = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sockets);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, number, script));
        }
    });
    (address, sockets)
}

async fn serve(stream: TcpStream, socket: u64, script: Script) {
    #[expect(clippy::result_large_err, reason = "the library's type")]
    let named = |_: &Request, mut answer: Response| {
        answer.headers_mut().insert("x-app-version", format!("v{socket}").parse().unwrap());
        Ok(answer)
    };
    // Else a close frame could wait for the acknowledgement of the echo before it.
    stream.set_nodelay(true).unwrap();
    let Ok(mut ws) = accept_hdr_async(stream, named).await else { return };
    let mut message = 0;
    let mut kept = None;
    while let Some(Ok(received)) = ws.next().await {
        let Message::Text(text) = received else { continue };
        for step in script(socket, message) {
            if play(&mut ws, *step, text.as_str(), &mut kept).await.is_none() {
                return;
            }
        }
        message += 1;
    }
}

/// `None` when the socket ends with it.
async fn play(
    ws: &mut WebSocketStream<TcpStream>,
    step: Step,
    text: &str,
    kept: &mut Option<String>,
) -> Option<()> {
    let say = |text: String| Message::text(text);
    match step {
        Step::Echo => ws.send(say(text.to_owned())).await.ok(),
        Step::EchoInJson => {
            let echo = serde_json::json!({"echo": text, "n": 1, "version": "v"}).to_string();
            ws.send(say(echo)).await.ok()
        }
        Step::AskToReconnect => ws.send(say(r#"{"message":"reconnect"}"#.to_owned())).await.ok(),
        Step::Close(code) => {
            ws.close(Some(CloseFrame { code: code.into(), reason: "bye".into() })).await.ok()
        }
        Step::Drop => None,
        Step::Reset => {
            SockRef::from(ws.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
            None
        }
        Step::Swap => match kept.take() {
            None => {
                *kept = Some(text.to_owned());
                Some(())
            }
            Some(before) => {
                ws.send(say(text.to_owned())).await.ok()?;
                ws.send(say(before)).await.ok()
            }
        },
    }
}

/// `count` messages on one socket, 50/s.
async fn messages(script: Script, count: u64) -> (Run, u64) {
    let (address, sockets) = server(script).await;
    let url = Target::parse(&format!("http://{address}/")).unwrap();
    let options = Options { sockets: 1, rate: 50, ..options(url, Lane::Websocket, count) };
    let run = run(options).await;
    (run, sockets.load(Ordering::SeqCst))
}

#[tokio::test]
async fn every_echo_comes_back_plain_or_in_json() {
    let (address, sockets) = server(|socket, _| match socket % 2 {
        0 => &[Step::Echo],
        _ => &[Step::EchoInJson],
    })
    .await;
    let url = Target::parse(&format!("http://{address}/")).unwrap();
    let run = run(options(url, Lane::Websocket, 40)).await;
    assert_classes(&run, &[(Class::Ok, 40)]);
    assert_eq!(sockets.load(Ordering::SeqCst), 4);
    assert_eq!(run.connections.len(), 4);
    for connection in &run.connections {
        assert_eq!((connection.ending, connection.close_code), (Ending::ByUs, Some(1000)));
    }
    let footer = run.footer.as_ref().unwrap();
    let odd = [footer.ws_lost, footer.ws_doubled, footer.ws_reordered, footer.ws_reconnects];
    assert_eq!(odd, [0; 4]);
    let versions = run.attempts.iter().filter_map(|a| a.version.clone());
    assert_eq!(versions.collect::<std::collections::BTreeSet<_>>().len(), 4);
}

#[tokio::test]
async fn a_socket_dropped_with_a_message_under_way_loses_that_message() {
    for script in [
        (|socket, message| match (socket, message) {
            (0, 4) => &[Step::Drop],
            _ => &[Step::Echo],
        }) as Script,
        |socket, message| match (socket, message) {
            (0, 4) => &[Step::Reset],
            _ => &[Step::Echo],
        },
    ] {
        let (run, sockets) = messages(script, 12).await;
        assert_classes(&run, &[(Class::Ok, 11), (Class::WsDropped, 1)]);
        assert_eq!(sockets, 2);
        assert_eq!(run.footer.as_ref().unwrap().ws_lost, 1);
        let first = &run.connections[0];
        assert!(matches!(first.ending, Ending::MidAttempt | Ending::Reset), "{first:?}");
        assert_eq!(first.successor, Some(run.connections[1].connection));
        assert!(run.footer.as_ref().unwrap().ws_longest_gap_us > 0);
    }
}

#[tokio::test]
async fn a_socket_dropped_while_idle_is_one_failure_of_its_own() {
    let script: Script = |socket, message| match (socket, message) {
        (0, 4) => &[Step::Echo, Step::Drop],
        _ => &[Step::Echo],
    };
    let (run, _) = messages(script, 12).await;
    assert_classes(&run, &[(Class::Ok, 12), (Class::WsDropped, 1)]);
    let lost = of(&run, Class::WsDropped)[0];
    assert_eq!(lost.version.as_deref(), Some("v0"));
    assert!(lost.detail.as_deref().unwrap().contains("no message under way"), "{lost:?}");
    assert_eq!(run.footer.unwrap().ws_lost, 0);
}

#[tokio::test]
async fn a_close_frame_hands_over_unless_a_message_was_under_way() {
    let script: Script = |socket, message| match (socket, message) {
        (0, 4) => &[Step::Echo, Step::Close(1012)],
        (1, 4) => &[Step::Close(1001)],
        (2, 3) => &[Step::Echo, Step::Close(1011)],
        _ => &[Step::Echo],
    };
    let (run, sockets) = messages(script, 20).await;
    assert_classes(&run, &[(Class::Ok, 19), (Class::WsDropped, 2)]);
    assert_eq!(sockets, 4);
    let ends: Vec<_> = run.connections.iter().map(|c| (c.ending, c.close_code)).collect();
    let closed = |code| (Ending::CloseFrame, Some(code));
    assert_eq!(ends, [closed(1012), closed(1001), closed(1011), (Ending::ByUs, Some(1000))]);
    let footer = run.footer.unwrap();
    assert_eq!((footer.ws_lost, footer.ws_reconnects), (1, 2));
}

#[tokio::test]
async fn an_announced_reconnect_moves_without_loss() {
    // The message after the announcement may still come on the old socket, and is echoed there.
    let script: Script = |socket, message| match (socket, message) {
        (0, 4) => &[Step::AskToReconnect, Step::Echo],
        _ => &[Step::Echo],
    };
    let (run, sockets) = messages(script, 15).await;
    assert_classes(&run, &[(Class::Ok, 15)]);
    assert_eq!(sockets, 2);
    let (first, second) = (&run.connections[0], &run.connections[1]);
    assert_eq!((first.ending, first.close_code), (Ending::Reconnected, Some(1000)));
    assert_eq!(first.successor, Some(second.connection));
    assert!(first.attempts >= 5 && second.attempts >= 8, "{first:?} {second:?}");
    assert!(second.established_us < first.closed_us, "the old one was left before the new stood");
    assert_eq!(run.footer.unwrap().ws_reconnects, 1);
}

#[tokio::test]
async fn doubles_and_disorder_are_counted_and_a_missing_echo_is_dropped() {
    let doubled: Script = |_, message| match message {
        3 | 5 => &[Step::Echo, Step::Echo],
        _ => &[Step::Echo],
    };
    let (twice, _) = messages(doubled, 10).await;
    assert_classes(&twice, &[(Class::Ok, 10)]);
    assert_eq!(twice.footer.unwrap().ws_doubled, 2);

    let (swapped, _) = messages(|_, _| &[Step::Swap], 10).await;
    let reordered = swapped.footer.as_ref().unwrap().ws_reordered;
    assert_eq!(reordered, (10 - stopped(&swapped) as u64) / 2);

    let silent: Script = |_, message| match message {
        3 => &[],
        _ => &[Step::Echo],
    };
    let (address, _) = server(silent).await;
    let url = Target::parse(&format!("http://{address}/")).unwrap();
    let mut options = Options { sockets: 1, ..options(url, Lane::Websocket, 10) };
    options.timeout = Duration::from_millis(400);
    let run = run(options).await;
    assert_classes(&run, &[(Class::Ok, 9), (Class::WsDropped, 1)]);
    let missing = of(&run, Class::WsDropped)[0];
    assert!((400_000..800_000).contains(&missing.ttlb_us()), "{missing:?}");
}

#[tokio::test]
async fn a_target_without_the_endpoint_gets_the_other_lanes_at_the_whole_rate() {
    let refuse = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(|_| Act::Say(refuse.to_vec())).await;
    let mut options = options(server.url(), Lane::Websocket, 20);
    options.lanes = vec![(Lane::Fresh, 0.5), (Lane::Websocket, 0.5)];
    let both = run(options.clone()).await;
    assert_eq!(both.header.lanes, [(Lane::Fresh, 200.0)]);
    let (lane, reason) = &both.header.lanes_not_run[0];
    assert_eq!(*lane, Lane::Websocket);
    assert!(reason.contains("404"), "{reason}");
    assert!(both.attempts.iter().all(|attempt| attempt.lane == Lane::Fresh));
    assert_eq!(both.attempts.len(), 20);

    options.lanes = vec![(Lane::Websocket, 1.0)];
    let (_going, told) = watch::channel(Told::Go);
    let fault = probe::run(options, told, None).await.unwrap_err();
    assert!(fault.what.contains("serves no websocket"), "{fault}");
    assert!(fault.help.is_some());
}

#[tokio::test]
async fn an_endpoint_that_fails_for_now_is_a_failure() {
    let down = b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = Server::start(|_| Act::SayAndClose(down.to_vec())).await;
    let run = run(options(server.url(), Lane::Websocket, 20)).await;
    assert_classes(&run, &[(Class::BadStatus, 20)]);
    assert!(of(&run, Class::BadStatus).iter().all(|a| a.status == 503 && a.sent_us == 0));
}

/// Sends everybody away at once, by a word or by a close frame; until they go it echoes.
async fn send_away(stream: TcpStream, word: bool) -> Option<()> {
    let mut ws = accept_async(stream).await.ok()?;
    if word {
        ws.send(Message::text(r#"{"message":"reconnect"}"#)).await.ok()?;
    } else {
        ws.close(Some(CloseFrame { code: 1012.into(), reason: "".into() })).await.ok()?;
    }
    while let Some(Ok(message)) = ws.next().await {
        if message.is_text() {
            ws.send(message).await.ok()?;
        }
    }
    None
}

#[tokio::test]
async fn a_server_that_sends_everybody_away_again_and_again_is_not_stormed() {
    const MESSAGES: u64 = 20;
    for word in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Target::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let sockets = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sockets);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(send_away(stream, word));
            }
        });
        let options = Options { sockets: 1, rate: 20, ..options(url, Lane::Websocket, MESSAGES) };
        let run = run(options).await;
        let opened = sockets.load(Ordering::SeqCst);
        // Told by a word it goes, once a second; where a socket is closed each message needs one of its own, and another
        // where that was closed before it was sent. Not as many as there is time for.
        let most = if word { 5 } else { MESSAGES * 5 };
        assert!((2..=most).contains(&opened), "word {word}: {opened} sockets");
        if word {
            assert_classes(&run, &[(Class::Ok, MESSAGES as usize)]);
        }
    }
}

/// Bytes of pings that one socket gets, far more than both kernels hold of the answers.
const PINGS: usize = 16 << 20;

/// Echoes. On the first socket that says something pings follow, whose answers are not read until the prober, told to
/// move behind them all, has opened another socket: then it has taken every one of them. Tells how many bytes of
/// answers there were in the end.
async fn ping_and_read_nothing(
    stream: TcpStream,
    sockets: Arc<watch::Sender<u64>>,
    first: Arc<Mutex<Option<oneshot::Sender<usize>>>>,
) -> Option<()> {
    let mut ws = accept_async(stream).await.ok()?;
    while let Some(Ok(message)) = ws.next().await {
        ws.send(message).await.ok()?;
        let Some(answers) = first.lock().unwrap().take() else { continue };
        let (stream, before) = (ws.get_mut(), *sockets.borrow());
        let mut ping = [b'p'; 127];
        (ping[0], ping[1]) = (0x89, 125);
        let many = ping.repeat(1_000);
        for _ in 0..PINGS / many.len() {
            stream.write_all(&many).await.ok()?;
        }
        let word = br#"{"message":"reconnect"}"#;
        stream
            .write_all(&[&[0x81, u8::try_from(word.len()).unwrap()], &word[..]].concat())
            .await
            .ok()?;
        sockets.subscribe().wait_for(|now| *now > before).await.ok()?;
        let (mut read, mut piece) = (0, vec![0; 1 << 20]);
        while let Ok(more @ 1..) = stream.read(&mut piece).await {
            read += more;
        }
        return answers.send(read).ok();
    }
    None
}

#[tokio::test]
async fn answers_to_pings_that_nobody_reads_do_not_heap_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    SockRef::from(&listener).set_recv_buffer_size(64 << 10).unwrap();
    let url = Target::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let (answers, counted) = oneshot::channel();
    let (sockets, first) = (Arc::new(watch::Sender::new(0)), Arc::new(Mutex::new(Some(answers))));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            sockets.send_modify(|sockets| *sockets += 1);
            tokio::spawn(ping_and_read_nothing(stream, Arc::clone(&sockets), Arc::clone(&first)));
        }
    });
    // A message on it meanwhile would wait until answers are read, and nothing be read behind it: its turn comes
    // again when all others have had theirs.
    let options = Options {
        sockets: 100,
        rate: 1,
        stop: Stop::WhenTold,
        timeout: Duration::from_secs(90),
        ..options(url, Lane::Websocket, 0)
    };
    let (stop, told) = watch::channel(Told::Go);
    let end = async {
        let counted = counted.await.unwrap();
        stop.send_replace(Told::Stop);
        counted
    };
    let (run, counted) = tokio::join!(probe::run(options, told, None), end);
    assert!(run.unwrap().footer.is_some());
    // What the kernels hold (4 MiB and little) comes anyway; all would be more than the pings.
    assert!((1..PINGS / 2).contains(&counted), "{counted} bytes of answers were kept");
}
