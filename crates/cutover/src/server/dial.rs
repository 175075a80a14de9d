//! One request to somebody else's server, on a connection of its own: over HTTP/1.1, with TLS where the address
//! says so.
//!
//! It sends nothing twice, follows no redirect, and reads no body: that is the caller's. What goes wrong is told
//! in words that follow a name of the server, and hold nothing of the address.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use model::Fault;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// As whom we ask.
pub(super) const AGENT: &str = concat!("cutover/", env!("CARGO_PKG_VERSION"));

/// Sends it to the host of `uri`, which is believed by `ca`, or else by the system's certificates.
pub(super) async fn exchange(
    uri: &Uri,
    ca: Option<PathBuf>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, String> {
    let secure = uri.scheme_str() == Some("https");
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|e| format!("cannot be reached: {e}"))?;
    if !secure {
        return over(stream, request).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|e| format!("has no name: {e}"))?;
    let trusted = tokio::task::spawn_blocking(move || trust::client(ca.as_deref(), None)).await;
    let trusted = trusted.unwrap_or_else(|e| Err(Fault::internal(e.to_string())));
    let trusted = trusted.map_err(|fault| format!("cannot be checked: {fault}"))?;
    let connected = TlsConnector::from(Arc::new(trusted)).connect(name, stream).await;
    over(connected.map_err(|e| format!("is not who it should be: {e}"))?, request).await
}

async fn over<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let lost = |e: hyper::Error| format!("did not answer: {e}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    // It ends when the sender is gone and the answer read, or dropped.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(lost)
}
