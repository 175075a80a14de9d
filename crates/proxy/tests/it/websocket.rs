//! WebSockets frame by frame: a client that says exactly what it is told, and an instance that its client
//! tells what to say.
//!
//! What the proxy must do with them is said in `handover`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::backend::{Backend, Peer, Then};
use crate::stage::Stage;

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const CLOSE: u8 = 0x88;

/// A frame with its first byte as it is.
pub(crate) fn frame(first: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, u8::try_from(content.len()).unwrap()];
    frame.extend_from_slice(content);
    frame
}

/// The content of a Close frame.
pub(crate) fn code(code: u16) -> Vec<u8> {
    code.to_be_bytes().to_vec()
}

/// The client's end.
pub(crate) struct Socket {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Socket {
    /// Open, with more lines in the request's head.
    pub(crate) fn open(stage: &Stage, path: &str) -> Self {
        let mut stream = TcpStream::connect(stage.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        stream.set_nodelay(true).unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut socket = Self { stream, read: Vec::new() };
        while !socket.read.windows(4).any(|four| four == b"\r\n\r\n") {
            assert!(socket.more(), "no head");
        }
        let end = socket.read.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = socket.read.drain(..end).collect::<Vec<_>>();
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        socket
    }

    /// Sends a frame, masked.
    pub(crate) fn send(&mut self, first: u8, content: &[u8]) {
        let mask = [7, 1, 9, 3];
        let mut masked = vec![first, 0x80 | u8::try_from(content.len()).unwrap()];
        masked.extend_from_slice(&mask);
        masked.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.stream.write_all(&masked).unwrap();
    }

    /// Has the instance say these bytes.
    pub(crate) fn has_it_say(&mut self, bytes: &[u8]) {
        self.send(0x82, bytes);
    }

    /// The next frame; `None` at the end.
    pub(crate) fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        while self.read.len() < 2 || self.read.len() < 2 + usize::from(self.read[1]) {
            if !self.more() {
                return None;
            }
        }
        assert!(self.read[1] < 126, "masked, or long");
        let whole = self.read.drain(..2 + usize::from(self.read[1])).collect::<Vec<_>>();
        Some((whole[0], whole[2..].to_vec()))
    }

    /// True when something has come and was not taken, or the end.
    pub(crate) fn has_heard(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let heard = self.stream.peek(&mut [0; 1]).is_ok();
        self.stream.set_nonblocking(false).unwrap();
        heard || !self.read.is_empty()
    }

    fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let count = self.stream.read(&mut bytes).unwrap();
        self.read.extend_from_slice(&bytes[..count]);
        count > 0
    }
}

/// An instance that echoes text, says what binary messages contain byte by byte, and answers a Close; on
/// `/mute` it never does. `/late` takes a moment for each echo. `/x-…` agrees on that extension, `/raw`
/// on another protocol.
pub(crate) fn instance(name: &str) -> (Backend, Arc<Mutex<Vec<u16>>>) {
    let codes = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&codes);
    let backend = Backend::scripted(name, move |peer, head| {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let protocol = if path == "/raw" { "raw" } else { "websocket" };
        peer.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n");
        if let Some(extension) = path.strip_prefix("/x-") {
            peer.say(&format!("Sec-WebSocket-Extensions: {extension}\r\n"));
        }
        peer.say(&format!("Upgrade: {protocol}\r\n\r\n"));
        while let Some((first, content)) = next(peer) {
            match first {
                TEXT => {
                    if path == "/late" {
                        std::thread::sleep(Duration::from_millis(150));
                    }
                    say(peer, &frame(TEXT, &content));
                }
                0x82 => say(peer, &content),
                CLOSE => {
                    told.lock().unwrap().push(u16::from_be_bytes([content[0], content[1]]));
                    if path != "/mute" {
                        say(peer, &frame(CLOSE, &content));
                        return Then::Close;
                    }
                }
                other => panic!("{other:x}"),
            }
        }
        Then::Close
    });
    (backend, codes)
}

fn say(peer: &mut Peer, bytes: &[u8]) {
    // The proxy may be gone by intent of the test.
    let _ = peer.stream.write_all(bytes);
}

/// The next frame of the client, which must be masked.
fn next(peer: &mut Peer) -> Option<(u8, Vec<u8>)> {
    let head = peer.take(2)?;
    assert!(head[1] & 0x80 != 0, "not masked: {head:?}");
    let mask = peer.take(4)?;
    let content = peer.take(usize::from(head[1] & 0x7f))?;
    let content = content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((head[0], content))
}
