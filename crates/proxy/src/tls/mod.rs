//! TLS towards clients: rustls with *ring*, one configuration for all listeners.
//!
//! Which certificate is shown stands in `certificates`, how sessions are resumed in `tickets`. It
//! neither accepts connections nor reads or writes them; it has no part in connections to instances.

mod certificates;
#[cfg(test)]
mod fuzz;
mod tickets;
mod validity;

use std::sync::Arc;

use model::Fault;
use model::admin::{KeyPair, TicketKey};
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;

use certificates::Certificates;
pub use certificates::check_pair;
use tickets::Tickets;

/// Name of HTTP/2 in ALPN.
pub(crate) const H2: &[u8] = b"h2";
/// Name of HTTP/1.1 in ALPN.
const HTTP_1_1: &[u8] = b"http/1.1";

/// TLS for another listener than those of users: one certificate, HTTP/1.1 alone; and what is wrong
/// with the certificate, if it is shown all the same.
pub fn tls_of(pair: &KeyPair) -> Result<(Arc<ServerConfig>, Vec<String>), Fault> {
    let tls = Tls::new()?;
    let words = tls.certify_as_far_as_possible(std::slice::from_ref(pair))?;
    let mut config = ServerConfig::clone(&tls.config);
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok((Arc::new(config), words))
}

/// What every TLS connection of the process shares.
#[derive(Debug)]
pub(crate) struct Tls {
    /// For handshakes.
    pub(crate) config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    tickets: Arc<Tickets>,
}

impl Tls {
    /// Without any certificate yet.
    pub(crate) fn new() -> Result<Self, Fault> {
        let trouble =
            |error: rustls::Error| Fault::internal(format!("TLS cannot be set up: {error}"));
        let certificates = Arc::new(Certificates::default());
        let tickets = Arc::new(Tickets::new()?);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(trouble)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as _);
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        config.ticketer = Arc::clone(&tickets) as _;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config), certificates, tickets })
    }

    /// Replaces all certificates, or none if one of them cannot be used.
    pub(crate) fn certify(&self, pairs: &[KeyPair]) -> Result<(), Fault> {
        self.certificates.replace(pairs)
    }

    /// Replaces all certificates by those that can be used, and says what is wrong with the others.
    pub(crate) fn certify_as_far_as_possible(
        &self,
        pairs: &[KeyPair],
    ) -> Result<Vec<String>, Fault> {
        self.certificates.replace_usable(pairs)
    }

    /// True when there is a certificate to show.
    pub(crate) fn certified(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// The keys of session tickets, newest first, for a successor.
    pub(crate) fn ticket_keys(&self) -> Vec<TicketKey> {
        self.tickets.export()
    }

    /// Goes on with the keys of a predecessor.
    pub(crate) fn adopt_ticket_keys(&self, keys: &[TicketKey]) -> Result<(), Fault> {
        self.tickets.adopt(keys)
    }
}
