//! A new connection: the name is looked up anew, and a refusal is told from our own trouble.
//!
//! Nobody tries again here: a failed connection is a failed attempt.

use std::io;

use model::attempt::{Attempt, Class, Connection};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::site::Site;
use crate::stream::{Stream, Wire};
use crate::text;

/// Why there is no answer, and in which class that falls.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    pub(crate) detail: String,
}

impl Failure {
    /// Writes it into the record.
    pub(crate) fn tell(self, attempt: &mut Attempt) {
        attempt.class = self.class;
        attempt.detail = Some(self.detail);
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    Http1,
    Http2,
}

/// Opens a connection. The addresses of a name are tried in order, as every client does; no byte
/// has been sent to one that refused.
pub(crate) async fn connect(
    site: &Site,
    speech: Speech,
    record: &mut Connection,
) -> Result<Stream, Failure> {
    let wire = wire(site).await?;
    let stream = match &site.tls {
        None => Stream::Plain(wire),
        Some(clients) => {
            let client = match speech {
                Speech::Http1 => &clients.http1,
                Speech::Http2 => &clients.http2,
            };
            let connector = TlsConnector::from(Arc::clone(client));
            let name = ServerName::try_from(site.target.server_name()).map_err(|error| {
                Failure { class: Class::NotSent, detail: format!("no TLS without a name: {error}") }
            })?;
            let shaken = connector.connect(name, wire).await.map_err(|error| Failure {
                class: class_of(&error),
                detail: text::detail(format!("no TLS: {error}").as_bytes()),
            })?;
            Stream::Tls(Box::new(shaken))
        }
    };
    record.established_us = site.clock.us().max(1);
    Ok(stream)
}

async fn wire(site: &Site) -> Result<Wire, Failure> {
    let refused = |error: &io::Error, place: &str| Failure {
        class: class_of(error),
        detail: format!("cannot connect to {place}: {error}"),
    };
    if let Some(path) = &site.way.unix {
        let stream = UnixStream::connect(path).await;
        return stream
            .map(Wire::Unix)
            .map_err(|error| refused(&error, &path.display().to_string()));
    }
    let (host, port) = (site.target.host(), site.target.port());
    let stream = match site.way.instead(host, port) {
        Some(address) => TcpStream::connect((address, port)).await,
        None => TcpStream::connect((host, port)).await,
    };
    let stream = stream.map_err(|error| refused(&error, &site.target.authority()))?;
    // Without it small requests could wait for acknowledgements; a failure costs only time.
    let _ = stream.set_nodelay(true);
    Ok(Wire::Tcp(stream))
}

/// A failed connect is the target's refusal, unless this machine ran out of something.
fn class_of(error: &io::Error) -> Class {
    use rustix::io::Errno;
    let ours = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
        Errno::AGAIN,
        Errno::ACCESS,
        Errno::PERM,
    ];
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(errno) if ours.contains(&errno) => Class::NotSent,
        Some(Errno::TIMEDOUT) => Class::Timeout,
        _ => Class::Refused,
    }
}
