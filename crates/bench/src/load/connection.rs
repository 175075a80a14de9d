//! One connection of a client that speaks HTTP/1.1, with or without TLS.
//!
//! It knows how long the answers are and searches for nothing but the end of their heads.

use std::io;
use std::sync::Arc;

use memchr::memmem;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Target;
use crate::cases::BODY;
use crate::instance;

/// What is asked, and the length of the answer's body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    head: &'static str,
    body: usize,
}

/// Small JSON, with the fields of a plain client.
pub(super) const SMALL: Question = Question {
    head: "GET /api/items/1 HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: bench/1\r\n\
        Accept: application/json\r\nCookie: session=0123456789abcdef; cohort=old\r\n\r\n",
    body: instance::SMALL.len(),
};
/// The same as the last one of its connection.
pub(super) const LAST: Question = Question {
    head: "GET /api/items/1 HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: bench/1\r\n\
        Accept: application/json\r\nCookie: session=0123456789abcdef; cohort=old\r\n\
        Connection: close\r\n\r\n",
    body: instance::SMALL.len(),
};
/// A large body.
pub(super) const LARGE: Question = Question {
    head: "GET /large HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\
        Cookie: session=0123456789abcdef; cohort=old\r\n\r\n",
    body: BODY,
};
const UPGRADE: &str = "GET /socket HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: bench/1\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: session=0123456789abcdef\r\n\r\n";
/// A masked text message; the instance sends it back as it is, which no proxy may mind.
const MESSAGE: &[u8] = b"\x81\x8eABCD(((((((((((((((";

/// A connection that is kept.
#[derive(Debug)]
pub(super) struct Kept {
    stream: TcpStream,
}

impl Kept {
    /// A new one.
    pub(super) async fn open(target: &Target) -> io::Result<Self> {
        let stream = TcpStream::connect(target.plain).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// One request and its whole answer.
    pub(super) async fn ask(&mut self, question: Question) -> io::Result<()> {
        ask(&mut self.stream, question).await
    }

    /// Turns into a tunnel and sends a message through it and back.
    pub(super) async fn switch(&mut self) -> io::Result<()> {
        self.stream.write_all(UPGRADE.as_bytes()).await?;
        let mut room = [0; 1024];
        let mut length = 0;
        while !room[..length].ends_with(b"\r\n\r\n") {
            length += some(self.stream.read(&mut room[length..]).await?)?;
        }
        if !room.starts_with(b"HTTP/1.1 101 ") {
            return Err(unexpected(&room[..length]));
        }
        self.stream.write_all(MESSAGE).await?;
        let mut echo = [0; MESSAGE.len()];
        self.stream.read_exact(&mut echo).await?;
        if echo == *MESSAGE { Ok(()) } else { Err(unexpected(&echo)) }
    }
}

/// A handshake, one request and the end.
pub(super) async fn ask_over_tls(target: &Target) -> io::Result<()> {
    let mut stream = secure(target, b"http/1.1").await?;
    ask(&mut stream, LAST).await
}

/// A connection over TLS that speaks a certain protocol.
pub(super) async fn secure(target: &Target, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
    let address = target.secure.ok_or(io::ErrorKind::Unsupported)?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut config = rustls::ClientConfig::clone(&target.tls);
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("shop.test").map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    question: Question,
) -> io::Result<()> {
    stream.write_all(question.head.as_bytes()).await?;
    stream.flush().await?;
    let mut room = [0; 4096];
    let mut length = 0;
    let body = loop {
        length += some(stream.read(&mut room[length..]).await?)?;
        if let Some(end) = memmem::find(&room[..length], b"\r\n\r\n") {
            break end + 4;
        }
    };
    if !room.starts_with(b"HTTP/1.1 200 ") {
        return Err(unexpected(&room[..length]));
    }
    let mut seen = length - body;
    let mut rest = Vec::new();
    while seen < question.body {
        rest.resize(256 * 1024, 0);
        seen += some(stream.read(&mut rest).await?)?;
    }
    if seen == question.body { Ok(()) } else { Err(unexpected(&room[..length])) }
}

/// Zero bytes are the end, which nobody expects here.
fn some(bytes: usize) -> io::Result<usize> {
    if bytes == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

fn unexpected(bytes: &[u8]) -> io::Error {
    io::Error::other(String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned())
}
