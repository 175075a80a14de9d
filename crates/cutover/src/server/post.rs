//! Sends a JSON document with POST, once: over HTTP/1.1, with TLS where the address says so.
//!
//! It knows neither who wants that nor whether it is tried again. Of an address only scheme and host are ever
//! shown, and of a token nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use model::{Fault, Post};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::duration;

/// Bytes of an answer that are looked at, for its first line.
const ANSWER: usize = 16 * 1024;
/// Characters of that line that are told.
const LINE: usize = 200;

/// A document on its way.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) to: Post,
    pub(super) body: serde_json::Value,
    /// The same for each attempt at the same thing.
    pub(super) key: String,
}

/// Sends it; in words, how it was answered, or why it is not known to have arrived.
pub(super) async fn send(letter: &Letter, limit: Duration) -> Result<String, String> {
    let begun = Instant::now();
    let shown = shown(&letter.to);
    match timeout(limit, attempt(letter)).await {
        Ok(Ok(status)) => {
            let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok(format!("{shown} answered {status} in {took} ms"))
        }
        Ok(Err(why)) => Err(format!("{shown} {why}")),
        Err(_late) => Err(format!("{shown} did not answer within {}", duration::show(limit))),
    }
}

/// Scheme and host: what follows them may be a secret.
pub(super) fn shown(to: &Post) -> String {
    let uri = to.url.parse::<Uri>().unwrap_or_default();
    let authority = uri.authority().map_or("nobody", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or("http"))
}

/// Answers the status, if it is a good one.
async fn attempt(letter: &Letter) -> Result<u16, String> {
    let uri: Uri = letter.to.url.parse().map_err(|e| format!("is no address: {e}"))?;
    let secure = uri.scheme_str() == Some("https");
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let request = request(letter, &uri)?;
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|e| format!("cannot be reached: {e}"))?;
    if !secure {
        return exchange(stream, request).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|e| format!("has no name: {e}"))?;
    let ca = letter.to.ca.clone();
    let trusted = move || trust::client(ca.as_deref().map(Path::new), None);
    let trusted = tokio::task::spawn_blocking(trusted).await;
    let trusted = trusted.unwrap_or_else(|e| Err(Fault::internal(e.to_string())));
    let trusted = trusted.map_err(|fault| format!("cannot be checked: {fault}"))?;
    let connected = TlsConnector::from(Arc::new(trusted)).connect(name, stream).await;
    exchange(connected.map_err(|e| format!("is not who it should be: {e}"))?, request).await
}

fn request(letter: &Letter, uri: &Uri) -> Result<Request<Full<Bytes>>, String> {
    let body = serde_json::to_vec(&letter.body).map_err(|e| format!("cannot be told: {e}"))?;
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::post(path)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("cutover/", env!("CARGO_PKG_VERSION")))
        .header("idempotency-key", &letter.key);
    if let Some(name) = &letter.to.token_from {
        let unset = || format!("is sent nothing: the variable {name} with its token is not set");
        let token = std::env::var(name).map_err(|_| unset())?;
        let bearer = HeaderValue::try_from(format!("Bearer {token}"));
        let mut bearer = bearer.map_err(|_| format!("is sent nothing: {name} holds no token"))?;
        bearer.set_sensitive(true);
        request = request.header(AUTHORIZATION, bearer);
    }
    request.body(Full::new(Bytes::from(body))).map_err(|e| format!("cannot be told: {e}"))
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<u16, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let lost = |e: hyper::Error| format!("did not answer: {e}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    // It ends when the sender is gone and the answer read.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(lost)?;
    let status = response.status();
    if status.is_success() {
        return Ok(status.as_u16());
    }
    let body = Limited::new(response.into_body(), ANSWER).collect().await;
    let bytes = body.map(Collected::to_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().next().unwrap_or_default().chars();
    let line: String = line.filter(|c| !c.is_control()).take(LINE).collect();
    let said = if line.is_empty() { String::new() } else { format!(": {line}") };
    Err(format!("answered {}{said}", status.as_u16()))
}

#[cfg(test)]
#[path = "post_tests.rs"]
pub(super) mod tests;
