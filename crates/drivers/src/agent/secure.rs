//! TLS to an agent of Consul, and what a handshake that fails means, in words.
//!
//! Files are read for each connection, so that renewed ones are taken up. It sends no request and knows
//! nothing of Consul's API.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use model::{Fault, Kind, Secure};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, Error};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::words::clean;

/// Most of a certificate's names that are shown, and of each.
const NAMES: usize = 4;
const NAME: usize = 80;

/// Shakes hands with who is at `address`. A failure of the other side is an error that [`reason`] may have
/// words for; files that are of no use are a fault.
pub(super) async fn shake(
    stream: TcpStream,
    address: IpAddr,
    secure: &Secure,
) -> Result<io::Result<TlsStream<TcpStream>>, Fault> {
    let name = match &secure.name {
        Some(name) => ServerName::try_from(name.clone()).map_err(|_| {
            Fault::new(Kind::Config, format!("`{name}` is no name that a certificate can have"))
        })?,
        None => ServerName::IpAddress(address.into()),
    };
    let files = secure.clone();
    let read = tokio::task::spawn_blocking(move || {
        trust::client(files.ca.as_deref(), files.pair.as_ref())
    });
    let config = read.await.unwrap_or_else(|error| Err(Fault::internal(error.to_string())));
    // Waiting for a file that is not there mends nothing.
    let config = config.map_err(|fault| Fault { kind: Kind::Config, ..fault })?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await)
}

/// What went wrong and what to do about it, if TLS is why; `keys` says where a key of the file stands.
pub(super) fn reason(
    error: &io::Error,
    secure: &Secure,
    keys: impl Fn(&str) -> String,
) -> Option<(String, String)> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let (what, help) = match error {
        Error::InvalidCertificate(found) => certificate(found, secure, &keys),
        Error::InvalidMessage(_) => (
            "does not speak TLS".to_owned(),
            format!(
                "write {} without `https://`, or with the port of its HTTPS API (`ports.https`)",
                keys("agent")
            ),
        ),
        Error::AlertReceived(alert) => {
            let whose = if secure.pair.is_some() {
                "show one that its `ca_file` knows"
            } else {
                "name one, if it asks its clients for a certificate (`verify_incoming`)"
            };
            let help = format!("{whose}: {} and {}", keys("chain"), keys("key"));
            (format!("breaks off the TLS handshake ({alert:?})"), help)
        }
        other => (
            format!("cannot be spoken to over TLS: {}", clean(other.to_string().as_bytes(), NAME)),
            "does it speak TLS 1.2 or 1.3 (`tls_min_version`)?".to_owned(),
        ),
    };
    Some((what, help))
}

/// Why its certificate is not believed.
fn certificate(
    found: &CertificateError,
    secure: &Secure,
    keys: impl Fn(&str) -> String,
) -> (String, String) {
    let renew = "give the agent another one (`cert_file`, such as of `consul tls cert create`), and \
                 `consul reload`";
    match found {
        // The other one is of somebody who has the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let whom = secure.ca.as_ref().map_or_else(
                || "nobody whom this system trusts has signed".to_owned(),
                |ca| format!("nobody in {} has signed", ca.display()),
            );
            let help = format!("name the certificate of who did, in PEM, as {}", keys("ca"));
            (format!("shows a certificate that {whom}"), help)
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("shows a certificate that has expired".to_owned(), renew.to_owned())
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "shows a certificate that is not valid yet".to_owned(),
            "is the time right on both machines?".to_owned(),
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str().into_owned();
            let names: Vec<_> = presented.iter().take(NAMES).map(|name| plain(name)).collect();
            let whose = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            let first = names.first().map_or("server.dc1.consul", String::as_str);
            let help = format!(
                "write such a name as {}: `tls_server_name = \"{first}\"`",
                keys("tls_server_name")
            );
            (format!("shows a certificate for {whose}, not for {expected}"), help)
        }
        other => {
            let why = clean(other.to_string().as_bytes(), NAME);
            (format!("shows a certificate that cannot be believed ({why})"), renew.to_owned())
        }
    }
}

/// A name as people write it, of `DnsName("a.test")` or `IpAddress(127.0.0.1)`.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner.trim_end_matches(')'));
    clean(inner.trim_matches('"').as_bytes(), NAME)
}
