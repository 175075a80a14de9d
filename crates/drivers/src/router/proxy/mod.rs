//! The driver of Cutover's own proxy: a client of its admin socket, a router like any other.
//!
//! It keeps nothing between calls but the connection. The proxy itself, its start and its end as a
//! process, live elsewhere.

mod client;
mod plan;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use async_trait::async_trait;
use model::admin::{
    AppSeen, KeyPair, Observation, ProxySeen, ReleaseSeen, Reply, Request, Settings,
};
use model::{AppName, Change, Fault, Plan, Routes, Weight};

use super::driver::{ChangeKind, Drain, Evidence, Open, Router, RouterCapabilities, RoutesHave};
use client::Client;
use plan::Step;

/// The proxy at the other end of an admin socket.
#[derive(Debug)]
pub struct Proxy {
    client: Client,
}

impl Proxy {
    /// Nothing is connected until the first question.
    pub fn new(socket: &Path) -> Self {
        Self { client: Client::new(socket) }
    }

    /// Everything the proxy knows, of all apps.
    pub async fn seen(&self) -> Result<ProxySeen, Fault> {
        match self.client.ask(&Request::Look, None).await?.0 {
            Reply::Seen(seen) => Ok(seen),
            other => Err(self.client.odd(&Request::Look, &other)),
        }
    }

    /// Hands over a listening socket, bound to `address` as configured.
    pub async fn send_listener(
        &self,
        fd: BorrowedFd<'_>,
        address: SocketAddr,
    ) -> Result<(), Fault> {
        self.done(&Request::Listen { address }, Some(fd)).await
    }

    /// The same for clients that speak TLS. Refused by a proxy without certificates.
    pub async fn send_tls_listener(
        &self,
        fd: BorrowedFd<'_>,
        address: SocketAddr,
    ) -> Result<(), Fault> {
        self.done(&Request::ListenTls { address }, Some(fd)).await
    }

    /// Replaces all certificates, read anew by the proxy. Refused as a whole when one pair cannot be
    /// used.
    pub async fn certify(&self, pairs: &[KeyPair]) -> Result<(), Fault> {
        self.done(&Request::Certify { pairs: pairs.to_vec() }, None).await
    }

    /// Replaces what holds for all apps and listeners.
    pub async fn configure(&self, settings: &Settings) -> Result<(), Fault> {
        self.done(&Request::Configure { settings: settings.clone() }, None).await
    }

    /// Replaces what it tells of itself and where. Refused as a whole when the file cannot be opened or
    /// the address is taken.
    pub async fn observe(&self, observation: &Observation) -> Result<(), Fault> {
        self.done(&Request::Observe { observation: observation.clone() }, None).await
    }

    /// Duplicates of all listening sockets.
    pub async fn take_listeners(&self) -> Result<Vec<(SocketAddr, OwnedFd)>, Fault> {
        let (reply, descriptors) = self.client.ask(&Request::Listeners, None).await?;
        match reply {
            Reply::Listeners { addresses } if addresses.len() == descriptors.len() => {
                Ok(addresses.into_iter().zip(descriptors).collect())
            }
            other => Err(self.client.odd(&Request::Listeners, &other)),
        }
    }

    /// Fault injection: cuts the next `bodies` answers of an app short. The proxy refuses it unless
    /// it was started for that.
    pub async fn truncate(&self, app: &AppName, bodies: u32) -> Result<(), Fault> {
        self.done(&Request::Truncate { app: app.clone(), bodies }, None).await
    }

    /// Tells the proxy to end: it accepts no more and lets what is open finish within that time.
    pub async fn stop(&self, within_ms: u64) -> Result<(), Fault> {
        self.done(&Request::Stop { within_ms }, None).await
    }

    async fn done(&self, request: &Request, fd: Option<BorrowedFd<'_>>) -> Result<(), Fault> {
        match self.client.ask(request, fd).await?.0 {
            Reply::Done => Ok(()),
            other => Err(self.client.odd(request, &other)),
        }
    }

    async fn withdraw(&self, change: &Change, app: AppName, epoch: u64) -> Result<(), Fault> {
        let have = self.look(&app).await?;
        plan::still_holds(change, &have)?;
        self.done(&Request::Withdraw { epoch, app }, None).await
    }
}

#[async_trait]
impl Router for Proxy {
    async fn look(&self, app: &AppName) -> Result<RoutesHave, Fault> {
        let seen = self.seen().await?;
        let carried = seen.apps.into_iter().find(|carried| carried.routes.app == *app);
        let mut have = RoutesHave {
            app: app.clone(),
            routes: None,
            open: BTreeMap::new(),
            instances: BTreeMap::new(),
            totals: BTreeMap::new(),
            counters: BTreeMap::new(),
            epoch: seen.epoch,
            pid: Some(seen.pid),
            detail: serde_json::Value::Null,
        };
        if let Some(carried) = carried {
            fill(&mut have, carried);
        }
        Ok(have)
    }

    fn plan(&self, want: Option<&Routes>, have: &RoutesHave) -> Plan {
        plan::plan(want, have)
    }

    async fn act(&self, change: &Change, epoch: u64) -> Result<(), Fault> {
        match Step::read(change)? {
            Step::Publish { expected, routes } => {
                self.done(&Request::Publish { epoch, expected, routes }, None).await
            }
            Step::Withdraw { app } => self.withdraw(change, app, epoch).await,
        }
    }

    fn can(&self) -> RouterCapabilities {
        RouterCapabilities {
            finest_weight: Weight::new(1).unwrap_or_default(),
            drain: Drain::Counted,
            change: ChangeKind::Atomic,
            header_rules: true,
            hold: true,
            evidence: Evidence::Counters,
        }
    }
}

fn fill(have: &mut RoutesHave, carried: AppSeen) {
    for pool in &carried.routes.pools {
        have.open.entry(pool.release).or_default();
    }
    for seen in carried.instances {
        let here = Open { requests: seen.requests, tunnels: seen.tunnels };
        have.open.entry(seen.release).or_default().add(here);
        have.instances.entry(seen.id).or_default().add(here);
    }
    let by = have.pid.unwrap_or_default();
    let source = |seen: &ReleaseSeen| (format!("{by}/{}", seen.release.0), seen.clone());
    have.counters = carried.releases.iter().map(source).collect();
    have.totals = carried.releases.into_iter().map(|r| (r.release, r)).collect();
    have.routes = Some(carried.routes);
}
