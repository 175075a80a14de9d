//! What takes long on an instance: bodies that are sent or taken over a second, streams of events, WebSockets.
//!
//! While it leaves all of it is cut where it is, as if the process had been killed; announced, streams and sockets
//! are told to go. It resumes nothing: whether what was cut is asked for again is the client's affair.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocket};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::leaving::State;

/// How long a body takes at least.
pub(super) const TAKES: Duration = Duration::from_secs(1);
/// Bytes of a body in one piece, and pieces of a download.
const PIECE: usize = 50_000;
const PIECES: usize = 20;
/// Between two events.
const EVENT: Duration = Duration::from_millis(100);
/// How often a socket is looked at for what its instance is up to.
const LOOK: Duration = Duration::from_millis(10);

/// Who answers, and how far it is with leaving.
pub(super) type Who<'a> = (&'a str, &'a State);

/// Takes a body; its digest in hex. `None` when it was cut.
pub(super) fn upload(
    (stream, received): (&mut TcpStream, &mut Vec<u8>),
    length: usize,
    state: &State,
) -> Option<String> {
    let begun = Instant::now();
    let mut taken = received.len().min(length);
    let mut hash = Sha256::new();
    hash.update(received.drain(..taken).as_slice());
    let mut piece = vec![0; PIECE];
    while taken < length {
        let room = piece.get_mut(..PIECE.min(length - taken))?;
        let read = stream.read(room).ok().filter(|read| *read > 0)?;
        hash.update(room.get(..read)?);
        taken += read;
        rest(begun, taken, length);
        if state.leaving() {
            return None;
        }
    }
    let digest = hash.finalize();
    Some(digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Sends a body that is the same each time, and says whether its connection ends with it. `None` when it was cut.
pub(super) fn download(stream: &mut TcpStream, (version, state): Who<'_>) -> Option<bool> {
    let announced = state.announcing();
    let close = if announced { "Connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nX-App-Version: {version}\r\n{close}\
         Content-Length: {}\r\n\r\n",
        PIECE * PIECES
    );
    stream.write_all(head.as_bytes()).ok()?;
    let (begun, piece) = (Instant::now(), vec![b'x'; PIECE]);
    for sent in 1..=PIECES {
        stream.write_all(&piece).ok()?;
        rest(begun, sent, PIECES);
        if state.leaving() {
            return None;
        }
    }
    Some(announced)
}

/// Waits until so much of all is due.
fn rest(begun: Instant, done: usize, all: usize) {
    let due = TAKES.mul_f64(done as f64 / all.max(1) as f64);
    sleep(due.saturating_sub(begun.elapsed()));
}

/// Sends events without end. Who is told to go is told when to come back, too, and the stream ends in order.
pub(super) fn events(stream: &mut TcpStream, (version, state): Who<'_>) -> Option<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
         X-App-Version: {version}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut chunk = |text: &str| {
        let framed = format!("{:x}\r\n{text}\r\n", text.len());
        stream.write_all(framed.as_bytes()).ok()
    };
    for id in 1_u64.. {
        if state.leaving() {
            return None;
        }
        if state.announcing() {
            chunk("retry: 100\n\n")?;
            // A chunk of no bytes is the last one.
            chunk("")?;
            return None;
        }
        chunk(&format!("id: {id}\ndata: {version}\n\n"))?;
        sleep(EVENT);
    }
    None
}

/// Grants an upgrade (RFC 6455, section 4.2.2) and sends each message back behind its own name. Who is told to
/// go is told by a close frame with 1012.
pub(super) fn socket(
    (mut stream, received): (TcpStream, Vec<u8>),
    head: &str,
    (version, state): Who<'_>,
) -> Option<()> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut keys = fields.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let accept = derive_accept_key(keys.next()?.1.trim().as_bytes());
    let granted = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nX-App-Version: {version}\r\n\r\n"
    );
    stream.write_all(granted.as_bytes()).ok()?;
    stream.set_read_timeout(Some(LOOK)).ok()?;
    let mut socket = WebSocket::from_partially_read(stream, received, Role::Server, None);
    let mut told = false;
    while !state.leaving() {
        if state.announcing() && !told {
            told = true;
            let frame = CloseFrame { code: 1012.into(), reason: "it moves".into() };
            socket.close(Some(frame)).ok()?;
        }
        match socket.read() {
            Ok(Message::Text(text)) => {
                socket.send(Message::text(format!("{version} {text}"))).ok()?;
            }
            Ok(_) => {}
            Err(Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return None,
        }
    }
    None
}
