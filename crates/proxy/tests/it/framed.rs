//! A client that speaks HTTP/2, and raw frames for what no such client would say.
//!
//! It judges nothing; over text there is `client`.

use std::future::Future;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, StatusCode};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::authority::Identity;
use crate::client::Client;

/// Runs a client; connections are driven while the test itself waits for something else.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(40), work).await.unwrap() })
}

/// One connection.
pub(crate) struct Framed {
    pub(crate) sender: SendRequest<Bytes>,
    /// Ends with the connection.
    pub(crate) driver: JoinHandle<Result<(), h2::Error>>,
}

/// An answer as it arrived.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: StatusCode,
    pub(crate) head: HeaderMap,
    pub(crate) body: String,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Whole {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) fn ask(method: Method, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://shop.test{path}")).body(()).unwrap()
}

pub(crate) fn get(path: &str) -> Request<()> {
    ask(Method::GET, path)
}

impl Framed {
    /// With prior knowledge.
    pub(crate) async fn plain(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    /// By ALPN.
    pub(crate) async fn secure(address: SocketAddr, identity: &Identity) -> Self {
        let connector = tokio_rustls::TlsConnector::from(identity.trusted(&[b"h2", b"http/1.1"]));
        let socket = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("shop.test").unwrap();
        let stream = connector.connect(name, socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Self::over(stream).await
    }

    /// With streams of which so many bytes may come ahead.
    pub(crate) async fn narrow(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::with(builder().initial_window_size(window), stream).await
    }

    async fn over<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S) -> Self {
        Self::with(&builder(), stream).await
    }

    async fn with<S>(builder: &Builder, stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        Self { sender, driver: tokio::spawn(connection) }
    }

    /// Sends a head; gives the future answer and the stream for a body.
    pub(crate) async fn begin(
        &mut self,
        request: Request<()>,
        end: bool,
    ) -> Result<(h2::client::ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut sender = self.sender.clone().ready().await?;
        sender.send_request(request, end)
    }

    /// A request without a body and its whole answer.
    pub(crate) async fn whole(&mut self, request: Request<()>) -> Result<Whole, h2::Error> {
        let (answer, _) = self.begin(request, true).await?;
        whole(answer).await
    }

    /// A request with a body.
    pub(crate) async fn upload(
        &mut self,
        request: Request<()>,
        body: &str,
    ) -> Result<Whole, h2::Error> {
        let (answer, mut stream) = self.begin(request, false).await?;
        stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true)?;
        whole(answer).await
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.initial_max_send_streams(100).enable_push(false);
    // Wide enough that one stream that is not read leaves room for others.
    builder.initial_connection_window_size(4 << 20);
    builder
}

pub(crate) async fn whole(answer: h2::client::ResponseFuture) -> Result<Whole, h2::Error> {
    let (head, mut body) = answer.await?.into_parts();
    let mut text = String::new();
    while let Some(content) = next(&mut body).await? {
        text.push_str(std::str::from_utf8(&content).unwrap());
    }
    let trailers = body.trailers().await?;
    Ok(Whole { status: head.status, head: head.headers, body: text, trailers })
}

/// The next content; the sender may send as much again.
pub(crate) async fn next(body: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let content = body.data().await.transpose()?;
    if let Some(content) = &content {
        body.flow_control().release_capacity(content.len())?;
    }
    Ok(content)
}

/// Frames by hand.
pub(crate) struct Raw(pub(crate) Client);

impl Raw {
    /// The preface and empty settings.
    pub(crate) fn to(address: SocketAddr) -> Self {
        let mut raw = Self(Client::to(address));
        raw.bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        raw.frame(4, 0, 0, b"").unwrap();
        raw
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.stream.write_all(bytes)
    }

    pub(crate) fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        content: &[u8],
    ) -> std::io::Result<()> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend_from_slice(&[kind, flags]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(content);
        self.bytes(&frame)
    }

    /// The next frame: kind, flags, stream and content.
    pub(crate) fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.stream.read_exact(&mut head).ok()?;
        let mut content = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.stream.read_exact(&mut content).ok()?;
        Some((head[3], head[4], u32::from_be_bytes(head[5..].try_into().unwrap()), content))
    }

    /// Reads up to the end of the connection; gives the reason of the last GOAWAY.
    pub(crate) fn goaway(&mut self) -> Option<Reason> {
        let mut reason = None;
        while let Some((kind, _, _, content)) = self.next() {
            if kind == 7 {
                reason = Some(u32::from_be_bytes(content[4..8].try_into().unwrap()).into());
            }
        }
        reason
    }

    /// Reads up to the end of that stream, alone or with the connection; gives its reason.
    pub(crate) fn ended(&mut self, wanted: u32) -> Option<Reason> {
        while let Some((kind, _, stream, content)) = self.next() {
            let at = match kind {
                3 if stream == wanted => 0,
                7 => 4,
                _ => continue,
            };
            return Some(u32::from_be_bytes(content[at..at + 4].try_into().unwrap()).into());
        }
        None
    }
}

/// A field for a head by hand: literal, without indexing (RFC 7541 section 6.2.2).
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let (one, other) = (u8::try_from(name.len()).unwrap(), u8::try_from(value.len()).unwrap());
    [&[0, one], name.as_bytes(), &[other], value.as_bytes()].concat()
}

/// A head by hand.
pub(crate) fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A shared identity for a listener.
pub(crate) fn shop(directory: &std::path::Path) -> Arc<Identity> {
    Arc::new(Identity::of(&directory.join("shop"), &["shop.test"]))
}
