//! The API over TCP: TLS alone, and only to who sends the token with each request.
//!
//! What it answers is `api`'s. One thing is not to be had here, token or not: an upgrade runs a program of
//! this machine, and whoever may ask for that is on this machine, at the socket.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use model::{Fault, Kind};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::token::Token;
use crate::config::ApiConfig;

/// Connections at a time; further ones wait.
const CONNECTIONS: usize = 128;
/// How long a handshake may take, and the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener that nobody is served at yet.
#[derive(Debug)]
pub(super) struct Remote {
    listener: TcpListener,
    address: SocketAddr,
    token: Token,
    tls: Arc<ServerConfig>,
}

impl Remote {
    /// Binds, and reads certificate and token: without any of these there is no listener. A certificate
    /// that went bad is no reason to serve nobody at all.
    pub(super) fn open(config: Option<&ApiConfig>) -> Result<Option<Self>, Fault> {
        let Some(config) = config else { return Ok(None) };
        let token = Token::read(&config.token)?;
        let (tls, words) = match proxy::tls_of(&config.pair) {
            Ok(done) => done,
            Err(fault) => {
                tracing::error!("{fault}; nobody gets the API over TCP until the next start");
                return Ok(None);
            }
        };
        for words in words {
            tracing::warn!("{words}");
        }
        let refused = |e: std::io::Error| {
            Fault::environment(format!("the API cannot listen on {}: {e}", config.listen))
                .help("stop what listens there, or change `listen` under [api]")
        };
        let listener = TcpListener::bind(config.listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Some(Self { listener, address, token, tls }))
    }

    /// Serves `api` for ever.
    pub(super) async fn serve(self, api: Router) {
        let Ok(listener) = tokio::net::TcpListener::from_std(self.listener) else { return };
        tracing::info!("the API is served on https://{} to who has the token", self.address);
        let service = api.layer(from_fn_with_state(self.token, known));
        let acceptor = TlsAcceptor::from(self.tls);
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (acceptor, service) = (acceptor.clone(), service.clone());
            tokio::spawn(async move {
                converse(stream, acceptor, service).await;
                drop(place);
            });
        }
    }
}

/// One connection. How it ends is its client's affair.
async fn converse(stream: TcpStream, acceptor: TlsAcceptor, service: Router) {
    let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await else { return };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let service = TowerToHyperService::new(service);
    let _ended = http.serve_connection(TokioIo::new(stream), service).await;
}

/// Lets those through who have the token, with what may be asked from afar.
async fn known(State(token): State<Token>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = given.and_then(|value| {
        let (scheme, rest) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(rest)
    });
    if !given.is_some_and(|given| token.is(given)) {
        let fault = Fault::new(Kind::Usage, "the API asks for a token, and this is not the one")
            .help("send `Authorization: Bearer TOKEN`, with the token of `[api]`");
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge, Json(fault)).into_response();
    }
    if request.uri().path() == "/v1/upgrade" {
        let fault = Fault::new(Kind::Usage, "an upgrade is not to be had over TCP")
            .help("run `cutover upgrade` on the server's machine");
        return (StatusCode::FORBIDDEN, Json(fault)).into_response();
    }
    next.run(request).await
}
