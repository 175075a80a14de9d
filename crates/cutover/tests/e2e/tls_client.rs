//! Certificates, and clients over TLS that keep their connection: HTTP/1.1 and HTTP/2.
//!
//! They never connect a second time and never ask again.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use tokio_rustls::TlsConnector;

use crate::world::wait_for;

/// Nothing here takes as long as this.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between requests.
const PAUSE: Duration = Duration::from_millis(5);
/// Streams at a time on a connection of HTTP/2.
const STREAMS: usize = 4;

type Failure = Box<dyn Error + Send + Sync>;

/// A certificate that signed itself, for one host.
pub(crate) struct Identity {
    host: String,
    der: CertificateDer<'static>,
}

impl Identity {
    /// Writes `FILE.crt` and `FILE.key` into a folder.
    pub(crate) fn write(folder: &Path, file: &str, host: &str) -> Self {
        Self::valid(folder, file, host, (2020, 4000))
    }

    /// The same, valid in these years.
    pub(crate) fn valid(folder: &Path, file: &str, host: &str, (from, until): (i32, i32)) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let made = params.self_signed(&key).unwrap();
        std::fs::write(folder.join(format!("{file}.crt")), made.pem()).unwrap();
        std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
        Self { host: host.to_owned(), der: made.der().clone() }
    }

    /// A client's configuration that trusts this one alone.
    fn trusted(&self, protocol: &[u8]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }

    /// A client who trusts it, and remembers its sessions.
    pub(crate) fn remembers(&self) -> Arc<ClientConfig> {
        self.trusted(b"http/1.1")
    }

    fn name(&self) -> ServerName<'static> {
        ServerName::try_from(self.host.clone()).unwrap()
    }
}

/// A connection for HTTP/1.1 over TLS.
pub(crate) struct Kept {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Kept {
    /// Connects and shakes hands within `patience`; the server must be this one.
    pub(crate) fn within(
        patience: Duration,
        port: u16,
        identity: &Identity,
    ) -> Result<Self, Failure> {
        Self::remembering(&identity.remembers(), patience, (port, identity))
    }

    /// The same by a client who may know the server already.
    pub(crate) fn remembering(
        client: &Arc<ClientConfig>,
        patience: Duration,
        (port, identity): (u16, &Identity),
    ) -> Result<Self, Failure> {
        let mut session = ClientConnection::new(Arc::clone(client), identity.name())?;
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(patience))?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(StreamOwned::new(session, socket)) })
    }

    /// True when an earlier session went on.
    pub(crate) fn resumed(&self) -> bool {
        self.stream.get_ref().conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The same with much patience.
    pub(crate) fn connect(port: u16, identity: &Identity) -> Result<Self, Failure> {
        Self::within(PATIENCE, port, identity)
    }

    /// Asks; answers status and body.
    pub(crate) fn get(&mut self, path: &str) -> Result<(u16, String), Failure> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut head, mut line) = (String::new(), String::new());
        while line != "\r\n" {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(format!("closed after `{head}`").into());
            }
            head += &line.to_ascii_lowercase();
        }
        if head.contains("connection: close") {
            return Err(format!("told to go: {head}").into());
        }
        let length = head.split_once("content-length: ").ok_or("no length")?.1;
        let mut body = vec![0; length.split("\r\n").next().unwrap_or_default().parse()?];
        self.stream.read_exact(&mut body)?;
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        Ok((status, String::from_utf8(body)?))
    }
}

/// What an asking client shares with its test.
#[derive(Default)]
struct Shared {
    over: AtomicBool,
    answers: AtomicUsize,
}

/// A client that asks for the version on one connection until it is ended.
pub(crate) struct Asking {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<Vec<String>, Failure>>,
}

impl Asking {
    /// One request after another over HTTP/1.1.
    pub(crate) fn one_by_one(port: u16, identity: &Identity) -> Self {
        let mut kept = Kept::connect(port, identity).unwrap();
        Self::start(move |shared| {
            let mut versions = Vec::new();
            while !shared.over.load(Ordering::Relaxed) {
                let (status, body) = kept.get("/version")?;
                versions.push(version(status, &body)?);
                shared.answers.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(PAUSE);
            }
            Ok(versions)
        })
    }

    /// Several at a time over HTTP/2.
    pub(crate) fn several(port: u16, identity: &Identity) -> Self {
        let (config, name) = (identity.trusted(b"h2"), identity.name());
        Self::start(move |shared| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(rounds(port, TlsConnector::from(config), name, &shared))
        })
    }

    fn start(
        ask: impl FnOnce(Arc<Shared>) -> Result<Vec<String>, Failure> + Send + 'static,
    ) -> Self {
        let shared = Arc::<Shared>::default();
        let own = Arc::clone(&shared);
        let asking = Self { shared, thread: std::thread::spawn(move || ask(own)) };
        asking.more();
        asking
    }

    /// Waits for more answers.
    pub(crate) fn more(&self) {
        let before = self.shared.answers.load(Ordering::Relaxed);
        wait_for("answers over TLS", 20, || {
            let answers = self.shared.answers.load(Ordering::Relaxed);
            (answers >= before + 10 || self.thread.is_finished()).then_some(())
        });
    }

    /// Ends it; every request was answered. The versions in the order of asking.
    pub(crate) fn end(self) -> Vec<String> {
        self.shared.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().unwrap()
    }
}

/// Rounds of requests on one connection; those of one round have no order, and are sorted.
async fn rounds(
    port: u16,
    connector: TlsConnector,
    name: ServerName<'static>,
    shared: &Shared,
) -> Result<Vec<String>, Failure> {
    let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    let stream = connector.connect(name, socket).await?;
    let (mut send, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    let mut versions = Vec::new();
    while !shared.over.load(Ordering::Relaxed) {
        send = send.ready().await?;
        let asked: Result<Vec<_>, _> = (0..STREAMS)
            .map(|_| {
                let request = http::Request::get("https://x/version").body(()).unwrap();
                Ok::<_, h2::Error>(send.send_request(request, true)?.0)
            })
            .collect();
        let mut round = Vec::new();
        for answer in asked? {
            let (status, body) = tokio::time::timeout(PATIENCE, whole(answer)).await??;
            round.push(version(status, &body)?);
        }
        round.sort();
        versions.append(&mut round);
        shared.answers.fetch_add(STREAMS, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(versions)
}

async fn whole(answer: h2::client::ResponseFuture) -> Result<(u16, String), Failure> {
    let answer = answer.await?;
    let (status, mut body, mut text) = (answer.status(), answer.into_body(), Vec::new());
    while let Some(piece) = body.data().await {
        let piece = piece?;
        text.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    Ok((status.as_u16(), String::from_utf8(text)?))
}

fn version(status: u16, body: &str) -> Result<String, Failure> {
    let named = ["v1", "v2"].into_iter().find(|version| body.contains(version));
    match named {
        Some(version) if status == 200 => Ok(version.to_owned()),
        _ => Err(format!("{status}: {body}").into()),
    }
}
