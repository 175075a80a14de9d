//! A new connection: the name is looked up anew, and a refusal is told from our own trouble.
//!
//! Nobody tries again here: a failed connection is a failed attempt. The addresses of a name are tried in
//! turn, as every client does, each once; a connection that only a later one took is counted.

use std::io;
use std::net::SocketAddr;

use model::attempt::{Attempt, Class, Connection, NO_ADDRESS, NO_TLS};
use rustix::io::Errno;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::site::Site;
use crate::stream::{Stream, Wire};
use crate::target::Target;
use crate::text;
use crate::tls::Clients;

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

/// Opens a connection. No byte has been sent to an address that refused.
pub(crate) async fn connect(
    site: &Site,
    speech: Speech,
    record: &mut Connection,
) -> Result<Stream, Failure> {
    let wire = wire(site).await?;
    let stream = match &site.tls {
        None => Stream::Plain(wire),
        Some(clients) => {
            let name = name(&site.target).map_err(|error| Failure {
                class: Class::NotSent,
                detail: format!("no TLS without a name: {error}"),
            })?;
            let shaken = shake(clients, speech, name, wire).await.map_err(|error| Failure {
                class: class_of(&error),
                detail: text::detail(format!("{NO_TLS}: {error}").as_bytes()),
            })?;
            Stream::Tls(Box::new(shaken))
        }
    };
    record.established_us = site.clock.us().max(1);
    Ok(stream)
}

/// The name that the certificate must be for.
pub(crate) fn name(target: &Target) -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(target.server_name())
}

/// The handshake of each connection.
pub(crate) async fn shake<W: AsyncRead + AsyncWrite + Unpin>(
    clients: &Clients,
    speech: Speech,
    name: ServerName<'static>,
    wire: W,
) -> io::Result<TlsStream<W>> {
    let client = match speech {
        Speech::Http1 => &clients.http1,
        Speech::Http2 => &clients.http2,
    };
    TlsConnector::from(Arc::clone(client)).connect(name, wire).await
}

async fn wire(site: &Site) -> Result<Wire, Failure> {
    if let Some(path) = &site.way.unix {
        let stream = UnixStream::connect(path).await;
        return stream.map(Wire::Unix).map_err(|error| Failure {
            class: class_over_unix(&error),
            detail: format!("cannot connect to {}: {error}", path.display()),
        });
    }
    let addresses = addresses(site).await?;
    let (stream, passed_over) = first_that_takes(&addresses).await.map_err(|refusals| Failure {
        class: refusals.last().map_or(Class::Refused, |(_, error)| class_of(error)),
        detail: format!("cannot connect to {}: {}", site.target.authority(), told(&refusals)),
    })?;
    if passed_over > 0 {
        site.ledger.count(|counts| counts.other_address += 1);
    }
    // Without it small requests could wait for acknowledgements; a failure costs only time.
    let _ = stream.set_nodelay(true);
    Ok(Wire::Tcp(stream))
}

/// Where the target may be reached, as its name says now.
async fn addresses(site: &Site) -> Result<Vec<SocketAddr>, Failure> {
    let (host, port) = (site.target.host(), site.target.port());
    if let Some(address) = site.way.instead(host, port) {
        return Ok(vec![SocketAddr::from((address, port))]);
    }
    let found = lookup_host((host, port)).await.map_err(|error| Failure {
        class: class_of(&error),
        detail: text::detail(format!("{NO_ADDRESS} for {host}: {error}").as_bytes()),
    })?;
    Ok(found.collect())
}

type Refusals = Vec<(SocketAddr, io::Error)>;

/// The first address that takes a connection, and how many did not before it; all that refused, if none does.
async fn first_that_takes(addresses: &[SocketAddr]) -> Result<(TcpStream, usize), Refusals> {
    let mut refusals = Vec::new();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok((stream, refusals.len())),
            Err(error) => refusals.push((*address, error)),
        }
    }
    Err(refusals)
}

/// Who refused; of a single one, only how.
fn told(refusals: &Refusals) -> String {
    match &refusals[..] {
        [] => "its name has no address".to_owned(),
        [(_, error)] => error.to_string(),
        several => {
            let each = several.iter().map(|(address, error)| format!("{}: {error}", address.ip()));
            each.collect::<Vec<_>>().join(", ")
        }
    }
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
    use std::net::SocketAddr;

    use model::Class;
    use rustix::io::Errno;

    use super::{class_of, class_over_unix, first_that_takes, told};

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

    #[tokio::test]
    async fn the_addresses_of_a_name_are_tried_in_turn_and_each_is_accounted_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        // Nobody listens at these addresses of the same port.
        let gone =
            ["127.0.0.2", "127.0.0.3"].map(|ip| SocketAddr::new(ip.parse().unwrap(), here.port()));
        let (stream, passed_over) = first_that_takes(&[gone[0], gone[1], here]).await.unwrap();
        assert_eq!((stream.peer_addr().unwrap(), passed_over), (here, 2));
        assert_eq!(first_that_takes(&[here, gone[0]]).await.unwrap().1, 0);
        let refusals = first_that_takes(&gone).await.unwrap_err();
        let words = told(&refusals);
        assert!(words.starts_with("127.0.0.2: Conn") && words.contains(", 127.0.0.3: "), "{words}");
        assert!(!told(&refusals.into_iter().take(1).collect()).contains("127.0.0.2"));
        let none = first_that_takes(&[]).await.unwrap_err();
        assert_eq!(told(&none), "its name has no address");
    }
}
