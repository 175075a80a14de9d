//! What one client may take of the proxy: whether it may have one more, and of what it has too much.
//!
//! Counting is done in `clients`; what a client with too much is answered stands in `exchange`.

use std::net::IpAddr;
use std::sync::Arc;

use model::Network;
use model::limits::Limits;

use crate::class::Class;
use crate::clients::{Client, Clients, Full, What};

/// The limits of each client; 0 for those that do not hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share {
    connections: u32,
    requests: u32,
    rate: u32,
    burst: u32,
    exempt: Vec<Network>,
    /// Made when there is a limit for the first time.
    clients: Option<Arc<Clients>>,
}

impl Share {
    /// Other limits for the same clients.
    pub(crate) fn told(&self, told: &Limits) -> Self {
        let limited =
            told.client_connections > 0 || told.client_requests > 0 || told.client_rate > 0;
        let clients = || limited.then(|| Arc::new(Clients::new()));
        Self {
            connections: told.client_connections,
            requests: told.client_requests,
            rate: told.client_rate,
            burst: if told.client_burst == 0 { told.client_rate } else { told.client_burst },
            exempt: told.exempt.clone(),
            clients: self.clients.clone().or_else(clients),
        }
    }

    /// True when it has to be known which client asks.
    pub(crate) const fn of_requests(&self) -> bool {
        self.requests > 0 || self.rate > 0
    }

    /// One more connection; counted for as long as what is given lives.
    pub(crate) fn connection(&self, client: IpAddr) -> Result<Option<Client>, Class> {
        let counted = self.counted(client).filter(|_| self.connections > 0);
        let Some(found) = counted.and_then(|clients| clients.find(client)) else {
            return Ok(None);
        };
        let open = found.open(What::Connections, self.connections);
        open.map(Some).map_err(|Full| Class::ClientConnections)
    }

    /// One more request; counted for as long as what is given lives.
    pub(crate) fn request(&self, client: IpAddr) -> Result<Option<Client>, Class> {
        let counted = self.counted(client).filter(|_| self.of_requests());
        let Some(found) = counted.and_then(|clients| clients.find(client)) else {
            return Ok(None);
        };
        if self.rate > 0 && !found.asks((self.rate, self.burst)) {
            return Err(Class::ClientRate);
        }
        if self.requests == 0 {
            return Ok(None);
        }
        let open = found.open(What::Requests, self.requests);
        open.map(Some).map_err(|Full| Class::ClientRequests)
    }

    /// Where this client is counted; nowhere if it is exempt.
    fn counted(&self, client: IpAddr) -> Option<&Arc<Clients>> {
        let exempt = || self.exempt.iter().any(|network| network.contains(client));
        self.clients.as_ref().filter(|_| !exempt())
    }

    /// How often a client was not limited because there was no place to count it.
    pub(crate) fn unknown(&self) -> u64 {
        self.clients.as_ref().map_or(0, |clients| clients.unknown.get())
    }
}
