//! Whether a target's certificate would be believed: one handshake, as each connection of a run makes it.
//!
//! Nothing is asked, and nobody is waited for who is away: that is for the run to tell.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use model::Fault;
use rustls::{CertificateError, Error};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::connect::{Speech, name, shake};
use crate::target::Target;
use crate::tls::{Clients, Tls};

/// Why no request would be sent over TLS.
#[derive(Debug)]
pub enum Unfit {
    /// A file cannot be used.
    File(Fault),
    /// The certificate is for other names.
    Name(String),
    /// Nobody who is believed has signed it.
    Stranger(String),
    /// It is one that signs others (`CA:TRUE`), which no server may show.
    Authority(String),
    /// It cannot be used for another reason, such as its dates.
    Certificate(String),
    /// No TLS is spoken there, or none that both know.
    Speech(String),
    /// Nobody answers now.
    Away(String),
}

/// Connects to `address` and shakes hands there for the name that `target` asks for.
pub async fn knock(
    target: &Target,
    address: SocketAddr,
    (tls, within): (&Tls, Duration),
) -> Result<(), Unfit> {
    let clients = Clients::new(tls).map_err(Unfit::File)?;
    let name = name(target).map_err(|error| Unfit::Name(error.to_string()))?;
    let shaken = timeout(within, async {
        let wire = TcpStream::connect(address).await?;
        shake(&clients, Speech::Http1, name, wire).await
    });
    match shaken.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(unfit(&error)),
        Err(_) => Err(Unfit::Away(format!("no handshake within {} s", within.as_secs()))),
    }
}

fn unfit(error: &io::Error) -> Unfit {
    let words = error.to_string();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Unfit::Name(words),
        // Somebody of the same name as one who is believed, with another key, is a stranger too.
        Some(Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => Unfit::Stranger(words),
        // What webpki says of it has no name of rustls.
        Some(Error::InvalidCertificate(CertificateError::Other(why)))
            if why.to_string().contains("CaUsedAsEndEntity") =>
        {
            Unfit::Authority(words)
        }
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => {
            Unfit::Certificate(words)
        }
        Some(_) => Unfit::Speech(words),
        None => Unfit::Away(words),
    }
}
