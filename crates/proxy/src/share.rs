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
        self.open(client, (What::Connections, self.connections))
            .map_err(|Full| Class::ClientConnections)
    }

    /// One more request; counted for as long as what is given lives.
    pub(crate) fn request(&self, client: IpAddr) -> Result<Option<Client>, Class> {
        let paced = self.clients.as_ref().filter(|_| self.rate > 0 && !self.exempts(client));
        if paced.is_some_and(|clients| !clients.asks(client, (self.rate, self.burst))) {
            return Err(Class::ClientRate);
        }
        self.open(client, (What::Requests, self.requests)).map_err(|Full| Class::ClientRequests)
    }

    fn open(&self, client: IpAddr, (what, most): (What, u32)) -> Result<Option<Client>, Full> {
        match &self.clients {
            Some(clients) if most > 0 && !self.exempts(client) => {
                clients.open(client, (what, most))
            }
            _ => Ok(None),
        }
    }

    fn exempts(&self, client: IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(client))
    }

    /// How often a client was not limited because there was no place to count it.
    pub(crate) fn unknown(&self) -> u64 {
        self.clients.as_ref().map_or(0, |clients| clients.unknown.get())
    }
}
