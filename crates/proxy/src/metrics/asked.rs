//! Those who ask for metrics: a few lines of HTTP/1.1, one request for each connection.
//!
//! Served on the thread of the admin socket, never where users' requests are carried. What is told is
//! made by whoever calls.

#[cfg(test)]
mod fuzz;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use memchr::memmem;
use model::{Fault, Kind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::Dialect;
use crate::limits;

/// Listens for them.
///
/// # Errors
/// When the address is in use or none of this machine.
pub fn open(address: SocketAddr) -> Result<TcpListener, Fault> {
    let bound = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    bound.map_err(|error| {
        let kind = if error.kind() == io::ErrorKind::AddrInUse {
            Kind::Conflict
        } else {
            Kind::Environment
        };
        Fault::new(kind, format!("cannot listen on {address} for metrics: {error}"))
            .help("name an address of this machine and a port that is free")
    })
}

/// Answers everybody who comes, for as long as it is polled, on the thread of a `LocalSet`.
pub async fn serve(listener: TcpListener, tell: Rc<impl Fn(Dialect) -> String + 'static>) {
    let room = Arc::new(Semaphore::new(limits::ASKERS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let tell = Rc::clone(&tell);
                spawn_local(async move {
                    let _place = place;
                    answer(stream, Vec::new(), &*tell).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept somebody who asks for metrics");
                sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers one request, of which `head` was read already, and ends the connection.
pub(crate) async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut head: Vec<u8>,
    tell: impl Fn(Dialect) -> String,
) {
    let talk = async {
        while memmem::find(&head, b"\r\n\r\n").is_none() {
            if head.len() > limits::ASKING_HEAD || stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        stream.write_all(&whole(&head, tell)).await?;
        stream.shutdown().await?;
        // What is still unread would turn into a reset that destroys the answer.
        let mut scrap = [0; 1024];
        while stream.read(&mut scrap).await? > 0 {}
        io::Result::Ok(())
    };
    // Whoever goes or is late needs no answer.
    let _ = timeout(limits::ASKING, talk).await;
}

fn whole(head: &[u8], tell: impl Fn(Dialect) -> String) -> Vec<u8> {
    let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
    let mut request = httparse::Request::new(&mut room);
    if !matches!(request.parse(head), Ok(httparse::Status::Complete(_))) {
        return said("400 Bad Request", "text/plain", "a malformed request\n");
    }
    let mut answer = said_to(&request, tell);
    if request.method == Some("HEAD") {
        let end = memmem::find(&answer, b"\r\n\r\n").map_or(0, |at| at + 4);
        answer.truncate(end);
    }
    answer
}

fn said_to(request: &httparse::Request<'_, '_>, tell: impl Fn(Dialect) -> String) -> Vec<u8> {
    let path = request.path.unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    if path != "/metrics" {
        return said("404 Not Found", "text/plain", "ask for /metrics\n");
    }
    let accepts = |field: &httparse::Header<'_>| {
        field.name.eq_ignore_ascii_case("accept")
            && memmem::find(field.value, b"application/openmetrics-text").is_some()
    };
    let dialect = if request.headers.iter().any(accepts) {
        Dialect::OpenMetrics
    } else {
        Dialect::Prometheus
    };
    match request.method {
        Some("GET" | "HEAD") => said("200 OK", dialect.content_type(), &tell(dialect)),
        _ => said("405 Method Not Allowed", "text/plain", "ask with GET\n"),
    }
}

fn said(status: &str, kind: &str, content: &str) -> Vec<u8> {
    let length = content.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{content}"
    )
    .into_bytes()
}
