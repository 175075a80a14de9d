//! A raw client: one connection, nothing sent twice. Who asks when, and counts what is lost, is in `users`.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::inbox::Inbox;

/// Longer than any proxy here waits before it answers for an instance that is not there.
const PATIENCE: Duration = Duration::from_secs(8);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// The proxy said that this connection ends.
    pub(crate) last: bool,
}

impl Answer {
    pub(crate) fn good(&self) -> bool {
        self.status == 200
    }

    pub(crate) fn says(&self, name: &str) -> bool {
        self.good() && self.body == name.as_bytes()
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    host: &'static str,
    inbox: Inbox,
}

impl Client {
    pub(crate) fn to(address: SocketAddr, host: &'static str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host, inbox: Inbox::default() })
    }

    /// True when the proxy has closed this connection, as far as can be known here and now: whoever
    /// knows opens another one and loses nothing.
    pub(crate) fn is_closed(&self) -> bool {
        if self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        let seen = self.stream.peek(&mut [0; 1]);
        let blocking = self.stream.set_nonblocking(false);
        !matches!(seen, Err(error) if error.kind() == ErrorKind::WouldBlock) || blocking.is_err()
    }

    pub(crate) fn get(&mut self, path: &str) -> Option<Answer> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.send(head.as_bytes())?;
        self.answer()
    }

    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Option<Answer> {
        let (host, length) = (self.host, body.len());
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        let message = [head.as_bytes(), body].concat();
        // Who answers early may stop reading; what counts is the answer.
        let _ = self.stream.write_all(&message);
        self.answer()
    }

    /// Uploads so many pieces of 1000 bytes, with a pause before each.
    pub(crate) fn upload(
        &mut self,
        path: &str,
        (pieces, pause): (usize, Duration),
    ) -> Option<Answer> {
        let (host, length) = (self.host, pieces * 1000);
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        self.send(head.as_bytes())?;
        for _ in 0..pieces {
            std::thread::sleep(pause);
            self.send(&[b'x'; 1000])?;
        }
        self.answer()
    }

    /// Asks for an upgrade; true when it was done.
    pub(crate) fn upgrade(&mut self) -> bool {
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.host
        );
        self.send(head.as_bytes()).is_some()
            && self
                .inbox
                .until(&mut self.stream, b"\r\n\r\n")
                .is_some_and(|head| head.starts_with(b"HTTP/1.1 101"))
    }

    /// Sends a line through a tunnel and waits for its echo.
    pub(crate) fn echoes(&mut self, line: &str) -> bool {
        self.send(line.as_bytes()).is_some()
            && self.inbox.until(&mut self.stream, b"\n").is_some_and(|echo| echo == line.as_bytes())
    }

    fn send(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).ok()
    }

    fn answer(&mut self) -> Option<Answer> {
        let head = String::from_utf8(self.inbox.until(&mut self.stream, b"\r\n\r\n")?)
            .ok()?
            .to_lowercase();
        let status = head.get(9..12)?.parse().ok()?;
        let last = head.contains("\r\nconnection: close");
        let length = head.split("\r\ncontent-length: ").nth(1);
        let body = match length {
            Some(rest) => {
                self.inbox.take(&mut self.stream, rest.split("\r\n").next()?.parse().ok()?)?
            }
            // Only proxies' own errors come without a length.
            None => Vec::new(),
        };
        Some(Answer { status, body, last })
    }
}
