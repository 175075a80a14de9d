//! The small app over HTTP/2 and TLS: many requests on one connection, until it leaves in the worst permitted
//! way, or says goodbye first.
//!
//! Leaving, it takes no new connections, and each that is kept ends with its next request, without an answer
//! and without GOAWAY, as when a process ends or a box between two hosts forgets a connection.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;

use super::instance::PAGE;
use crate::Outcome;

/// How far it is with leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// It has said goodbye on every connection.
    Announcing,
    Leaving,
}

/// A running instance; its connections end with it.
#[derive(Debug)]
pub(crate) struct Streams {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    stage: watch::Sender<Stage>,
}

impl Streams {
    /// Starts one on a thread of its own.
    pub(crate) fn start(
        version: &'static str,
        listener: TcpListener,
        server: Arc<ServerConfig>,
    ) -> Outcome<Self> {
        let address = listener.local_addr()?;
        let (stage, seen) = watch::channel(Stage::Serving);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        listener.set_nonblocking(true)?;
        std::thread::Builder::new().name(version.to_owned()).spawn(move || {
            LocalSet::new().block_on(&runtime, serve(version, listener, server, seen))
        })?;
        Ok(Self { address, stage })
    }

    /// Says goodbye (GOAWAY, twice) on every connection, and on new ones after each answer.
    pub(crate) fn announce(&self) {
        self.stage.send_replace(Stage::Announcing);
    }

    /// Leaves.
    pub(crate) fn leave(&self) {
        self.stage.send_replace(Stage::Leaving);
    }
}

async fn serve(
    version: &'static str,
    listener: TcpListener,
    server: Arc<ServerConfig>,
    mut stage: watch::Receiver<Stage>,
) -> Option<()> {
    let listener = tokio::net::TcpListener::from_std(listener).ok()?;
    let acceptor = TlsAcceptor::from(server);
    let own = stage.clone();
    let accepting = async {
        while let Ok((stream, _)) = listener.accept().await {
            spawn_local(converse(stream, acceptor.clone(), version, own.clone()));
        }
    };
    tokio::select! {
        () = accepting => {}
        // Also when nobody wants it any more.
        _ = stage.wait_for(|stage| *stage == Stage::Leaving) => {}
    }
    drop(listener);
    // Those that are kept wait for their next request; the bench ends before they must.
    while stage.changed().await.is_ok() {}
    Some(())
}

/// `None` when the connection has ended.
async fn converse(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    version: &'static str,
    mut stage: watch::Receiver<Stage>,
) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let stream = acceptor.accept(stream).await.ok()?;
    let mut connection = h2::server::handshake(stream).await.ok()?;
    let (mut told, now) = (false, stage.clone());
    loop {
        tokio::select! {
            seen = stage.wait_for(|stage| *stage == Stage::Announcing), if !told => {
                seen.map(|_| ()).ok()?;
                told = true;
                connection.graceful_shutdown();
            }
            next = connection.accept() => {
                let (request, answer) = next?.ok()?;
                if *now.borrow() == Stage::Leaving {
                    return None;
                }
                let body = if request.uri().path() == "/page" { PAGE } else { version };
                say(answer, version, body).ok()?;
            }
        }
    }
}

fn say(
    mut answer: SendResponse<Bytes>,
    version: &str,
    body: &'static str,
) -> Result<(), h2::Error> {
    let head = http::Response::builder()
        .header("content-type", "text/html")
        .header("x-app-version", version)
        .body(())
        .unwrap_or_default();
    answer.send_response(head, false)?.send_data(Bytes::from_static(body.as_bytes()), true)
}
