//! Tunnels and streams: the echo, the announcement, the end.
//!
//! Requests that end by themselves are tried in `http`.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::super::server::Ended;
use super::{App, SOON};

type Socket = WebSocketStream<TcpStream>;

async fn open(app: &App) -> Socket {
    let stream = TcpStream::connect(app.address).await.unwrap();
    let (socket, answer) = client_async("ws://x/ws", stream).await.unwrap();
    assert_eq!(answer.headers()["x-app-version"], "v7");
    assert_eq!(answer.headers()["x-app-instance"], "shop-0");
    socket
}

async fn next(socket: &mut Socket) -> Message {
    timeout(SOON, socket.next()).await.expect("no message").unwrap().unwrap()
}

async fn echo(socket: &mut Socket, text: &str) -> Message {
    socket.send(Message::text(text)).await.unwrap();
    next(socket).await
}

fn reconnect() -> Message {
    Message::text(r#"{"message":"reconnect"}"#)
}

#[tokio::test]
async fn messages_come_back_unchanged_and_in_order() {
    let app = App::start("").await;
    let mut socket = open(&app).await;
    for number in 0..100 {
        let text = format!("{{\"n\":{number},\"text\":\"ünïcode \\\" {number}\"}}");
        assert_eq!(echo(&mut socket, &text).await, Message::text(text));
    }
    socket.send(Message::binary(vec![0, 159, 146, 150])).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::binary(vec![0, 159, 146, 150]));
    socket.send(Message::Ping(Bytes::from_static(b"here?"))).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong(Bytes::from_static(b"here?")));
    assert_eq!(app.state.load().sockets, 1);
    socket.close(None).await.unwrap();
    let mut load = app.state.watch_load();
    let left = timeout(SOON, load.wait_for(|l| l.sockets == 0 && l.requests == 0)).await;
    assert!(left.is_ok(), "a closed socket still counts");
}

#[tokio::test]
async fn told_to_stop_it_announces_and_goes_on_until_the_client_leaves() {
    let app = App::start("").await;
    let mut socket = open(&app).await;
    assert_eq!(echo(&mut socket, "1").await, Message::text("1"));
    app.state.stop();
    assert_eq!(next(&mut socket).await, reconnect());
    for number in 2..10 {
        // Far longer than the quiet period in sum: an open socket alone keeps the app up.
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        let text = number.to_string();
        assert_eq!(echo(&mut socket, &text).await, Message::text(text));
    }
    let mut late = open(&app).await;
    assert_eq!(next(&mut late).await, reconnect());
    assert_eq!(echo(&mut late, "late").await, Message::text("late"));
    for mut socket in [socket, late] {
        socket.close(None).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    }
    assert_eq!(app.ended().await, Ended::Quiet);
}

#[tokio::test]
async fn at_the_deadline_sockets_are_closed_as_going_away() {
    let app = App::start("--drain-deadline 400ms").await;
    let mut socket = open(&app).await;
    app.state.stop();
    assert_eq!(next(&mut socket).await, reconnect());
    let Message::Close(Some(frame)) = next(&mut socket).await else { panic!("no close frame") };
    assert_eq!(frame.code, CloseCode::Away);
    while let Some(Ok(_)) = socket.next().await {}
    assert_eq!(app.ended().await, Ended::Deadline { requests: 0, sockets: 1 });
}

#[tokio::test]
async fn an_event_stream_ticks_and_ends_with_an_announcement() {
    let app = App::start("").await;
    let mut client = app.client().await;
    client.send("GET", "/events", b"").await;
    assert_eq!(client.head().await.header("content-type"), Some("text/event-stream"));
    let tick = client.line_like("data:").await;
    assert_eq!(tick, "data: {\"tick\":1,\"version\":\"v7\",\"instance\":\"shop-0\"}\n");
    app.state.stop();
    let text = String::from_utf8(client.rest().await.unwrap()).unwrap();
    assert!(text.contains("event: reconnect\n"), "{text}");
    assert!(text.ends_with("\r\n0\r\n\r\n"), "the stream must end as a whole answer: {text:?}");
    assert_eq!(app.ended().await, Ended::Quiet);
}
