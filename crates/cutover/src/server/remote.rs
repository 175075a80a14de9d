//! The API over TCP: TLS alone, and only to who sends the token with each request.
//!
//! What it answers is `api`'s. One thing is not to be had here, token or not: an upgrade runs a program of
//! this machine, and whoever may ask for that is on this machine, at the socket.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
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
use tokio::sync::{Semaphore, watch};
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

/// The credentials that are in force.
type Now = watch::Receiver<Option<Credentials>>;

/// What clients are shown, and what they must know.
#[derive(Clone, Debug)]
struct Credentials {
    token: Token,
    tls: Arc<ServerConfig>,
}

/// Credentials that were read and are in order, and a listener where there was none; nobody is served by
/// them yet.
#[derive(Debug)]
pub(super) struct Fresh {
    credentials: Credentials,
    door: Option<TcpListener>,
}

/// The API over TCP. Without a token and a certificate it has no listener.
#[derive(Debug)]
pub(super) struct Remote {
    listen: SocketAddr,
    /// Until somebody is served at it.
    door: Mutex<Option<TcpListener>>,
    /// Those of the last start or reload; none where the certificate was bad from the start on.
    credentials: watch::Sender<Option<Credentials>>,
}

impl Remote {
    /// Binds, and reads certificate and token. A certificate that went bad is no reason to serve nobody at
    /// all: then there is no listener until a reload finds a good one.
    pub(super) fn open(config: Option<&ApiConfig>) -> Result<Option<Arc<Self>>, Fault> {
        let Some(config) = config else { return Ok(None) };
        let (door, credentials) = (Mutex::new(None), watch::Sender::new(None));
        let remote = Arc::new(Self { listen: config.listen, door, credentials });
        let token = Token::read(&config.token)?;
        match proxy::tls_of(&config.pair) {
            Ok((tls, words)) => {
                for words in words {
                    tracing::warn!("{words}");
                }
                let door = remote.bind()?;
                remote.take_up(Fresh { credentials: Credentials { token, tls }, door });
            }
            Err(fault) => tracing::error!(
                "{fault}; nobody gets the API over TCP until `cutover reload` finds a good one"
            ),
        }
        Ok(Some(remote))
    }

    /// Reads certificate and token again, more strictly than at the start: what is wrong with them is
    /// refused, and those that were shown before stay.
    pub(super) fn read(&self, config: &ApiConfig) -> Result<Fresh, Fault> {
        let stay = |fault: Fault| fault.note("nothing was changed: the API keeps what it had");
        let token = Token::read(&config.token).map_err(stay)?;
        proxy::check_pair(&config.pair).map_err(stay)?;
        let (tls, _) = proxy::tls_of(&config.pair).map_err(stay)?;
        let door = if self.credentials.borrow().is_none() { self.bind()? } else { None };
        Ok(Fresh { credentials: Credentials { token, tls }, door })
    }

    /// From the next handshake and the next request on these are in force; what is open stays open.
    pub(super) fn take_up(&self, fresh: Fresh) {
        if let Some(door) = fresh.door {
            *self.door.lock().unwrap_or_else(PoisonError::into_inner) = Some(door);
        }
        self.credentials.send_replace(Some(fresh.credentials));
    }

    fn bind(&self) -> Result<Option<TcpListener>, Fault> {
        let refused = |e: std::io::Error| {
            Fault::environment(format!("the API cannot listen on {}: {e}", self.listen))
                .help("stop what listens there, or change `listen` under [api]")
        };
        let listener = TcpListener::bind(self.listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        Ok(Some(listener))
    }

    /// Serves `api` for ever, as soon as there is a certificate to show.
    pub(super) async fn serve(self: Arc<Self>, api: Router) {
        let mut credentials = self.credentials.subscribe();
        if credentials.wait_for(Option::is_some).await.is_err() {
            return;
        }
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Ok(listener)) = door.map(tokio::net::TcpListener::from_std) else { return };
        let address = listener.local_addr().unwrap_or(self.listen);
        tracing::info!("the API is served on https://{address} to who has the token");
        let service = api.layer(from_fn_with_state(credentials.clone(), known));
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Some(tls) = credentials.borrow().as_ref().map(|now| Arc::clone(&now.tls)) else {
                continue;
            };
            let service = service.clone();
            tokio::spawn(async move {
                converse(stream, TlsAcceptor::from(tls), service).await;
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
async fn known(State(now): State<Now>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = given.and_then(|value| {
        let (scheme, rest) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(rest)
    });
    let token = now.borrow().as_ref().map(|now| now.token);
    if !given.zip(token).is_some_and(|(given, token)| token.is(given)) {
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
