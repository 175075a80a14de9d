//! One WebSocket of a user: numbered messages, one at a time, until the app says to reconnect.
//!
//! To be closed after having been told is a move, not a loss; to be closed before is a loss.

use std::net::TcpStream;
use std::time::Duration;

use tokio_tungstenite::tungstenite::protocol::WebSocket;
use tokio_tungstenite::tungstenite::{Error, Message, client};

use crate::crowd::{Shared, Tally};

const RECONNECT: &str = r#"{"message":"reconnect"}"#;
/// No echo takes as long as this.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(300);

/// Opens a socket and talks until it is told to leave, or has sent `most` messages.
pub(crate) fn until_told(
    port: u16,
    shared: &Shared,
    tally: &mut Tally,
    most: u64,
) -> Result<(), String> {
    let said = |what: &'static str| move |error: Error| format!("{what}: {error}");
    let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| format!("connect: {e}"))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    let opened = client(format!("ws://127.0.0.1:{port}/ws"), stream);
    let (mut socket, _) = opened.map_err(|e| format!("no socket: {e}"))?;
    let mut marks = shared.marks();
    let told = loop {
        // Who is to leave sends one more: the socket must have outlived all that happened.
        let last = shared.over() || tally.done >= most;
        let number = tally.done.to_string();
        socket.send(Message::text(number.as_str())).map_err(said("not sent"))?;
        let told = echoed(&mut socket, &number)?;
        tally.done += 1;
        tally.spanned += shared.marks() - marks;
        marks = shared.marks();
        if told || last {
            break told;
        }
        std::thread::sleep(PAUSE);
    };
    tally.reconnects += u64::from(told);
    socket.close(None).map_err(said("not closed"))?;
    goodbye(&mut socket)
}

/// Reads until the echo of `number` is there; true when it was told to reconnect before.
fn echoed(socket: &mut WebSocket<TcpStream>, number: &str) -> Result<bool, String> {
    let mut told = false;
    loop {
        match socket.read() {
            Ok(Message::Text(text)) if text.as_str() == RECONNECT => told = true,
            Ok(Message::Text(text)) if text.as_str() == number => return Ok(told),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(other) => return Err(format!("{other:?} in place of the echo of {number}")),
            Err(error) => return Err(format!("{error} in place of the echo of {number}")),
        }
    }
}

/// Reads until the peer has closed too. Nothing but the word to reconnect may come before.
fn goodbye(socket: &mut WebSocket<TcpStream>) -> Result<(), String> {
    loop {
        match socket.read() {
            Ok(Message::Text(text)) if text.as_str() == RECONNECT => {}
            Ok(Message::Close(_)) => {}
            Err(Error::ConnectionClosed) => return Ok(()),
            Ok(other) => return Err(format!("{other:?} in place of a close")),
            Err(error) => return Err(format!("{error} in place of a close")),
        }
    }
}
