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
#[derive(Clone, Debug)]
pub(super) struct Question {
    head: String,
    body: usize,
}

impl Question {
    /// Small JSON, with the fields of a plain client.
    pub(super) fn small(target: &Target) -> Self {
        let head = head("/api/items/1", &target.cookie, "Accept: application/json\r\n");
        Self { head, body: instance::SMALL.len() }
    }

    /// The same as the last one of its connection.
    pub(super) fn last(target: &Target) -> Self {
        let more = "Accept: application/json\r\nConnection: close\r\n";
        Self { head: head("/api/items/1", &target.cookie, more), body: instance::SMALL.len() }
    }

    /// A large body.
    pub(super) fn large(target: &Target) -> Self {
        Self { head: head("/large", &target.cookie, "Accept: */*\r\n"), body: BODY }
    }
}

fn head(path: &str, cookie: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: bench/1\r\nCookie: {cookie}\r\n\
         {more}\r\n"
    )
}

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
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
    pub(super) async fn ask(&mut self, question: &Question) -> io::Result<()> {
        ask(&mut self.stream, question).await
    }

    /// Turns into a tunnel and sends a message through it and back.
    pub(super) async fn switch(&mut self, target: &Target) -> io::Result<()> {
        self.stream.write_all(head("/socket", &target.cookie, UPGRADE).as_bytes()).await?;
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
pub(super) async fn ask_over_tls(target: &Target, last: &Question) -> io::Result<()> {
    let mut stream = secure(target, b"http/1.1").await?;
    ask(&mut stream, last).await
}

/// The cookie that a client with those of the target is given, if it is given one: name and value.
pub(crate) async fn given(target: &Target) -> io::Result<Option<String>> {
    let mut stream = TcpStream::connect(target.plain).await?;
    stream.write_all(Question::last(target).head.as_bytes()).await?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await?;
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("set-cookie").then_some(value)
    });
    Ok(line.map(|line| line.split(';').next().unwrap_or_default().to_owned()))
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
    question: &Question,
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
