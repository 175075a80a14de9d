//! A new connection: the name is looked up anew, and a refusal is told from our own trouble.
//!
//! Nobody tries again here: a failed connection is a failed attempt.

use std::io;

use model::attempt::{Attempt, Class, Connection};
use rustix::io::Errno;
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
    if let Some(path) = &site.way.unix {
        let stream = UnixStream::connect(path).await;
        return stream.map(Wire::Unix).map_err(|error| Failure {
            class: class_over_unix(&error),
            detail: format!("cannot connect to {}: {error}", path.display()),
        });
    }
    let (host, port) = (site.target.host(), site.target.port());
    let stream = match site.way.instead(host, port) {
        Some(address) => TcpStream::connect((address, port)).await,
        None => TcpStream::connect((host, port)).await,
    };
    let stream = stream.map_err(|error| Failure {
        class: class_of(&error),
        detail: format!("cannot connect to {}: {error}", site.target.authority()),
    })?;
    // Without it small requests could wait for acknowledgements; a failure costs only time.
    let _ = stream.set_nodelay(true);
    Ok(Wire::Tcp(stream))
}

/// What tells over TCP that this machine ran out of something is here a full queue of the target's.
fn class_over_unix(error: &io::Error) -> Class {
    let full = error.raw_os_error() == Some(Errno::AGAIN.raw_os_error());
    if full { Class::Refused } else { class_of(error) }
}

/// A failed connect is the target's refusal, unless this machine ran out of something.
fn class_of(error: &io::Error) -> Class {
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

#[cfg(test)]
mod tests {
    use std::io;

    use model::Class;
    use rustix::io::Errno;

    use super::{class_of, class_over_unix};

    fn of(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn what_this_machine_has_none_left_of_is_not_the_targets_refusal() {
        for ours in [Errno::MFILE, Errno::ADDRNOTAVAIL, Errno::AGAIN, Errno::PERM] {
            assert_eq!(class_of(&of(ours)), Class::NotSent, "{ours:?}");
        }
        assert_eq!(class_of(&of(Errno::CONNREFUSED)), Class::Refused);
        assert_eq!(class_of(&of(Errno::TIMEDOUT)), Class::Timeout);
        assert_eq!(class_over_unix(&of(Errno::MFILE)), Class::NotSent);
        assert_eq!(class_over_unix(&of(Errno::AGAIN)), Class::Refused);
    }
}
