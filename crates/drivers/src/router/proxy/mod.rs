//! The driver of Cutover's own proxy: a client of its admin socket, a router like any other.
//!
//! It keeps nothing between calls but connections. The proxy itself, its start and its end as a
//! process, live elsewhere. While one proxy takes over from another, both carry users: what is open on
//! the one beside it counts too, and new routes are in effect when it has taken them as well.

mod beside;
mod client;
mod plan;
mod wire;

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use model::admin::{
    AppSeen, CohortKey, HoldSeen, InstanceSeen, KeyPair, Observation, ProxySeen, ReleaseSeen,
    Reply, Request, Settings, TicketKey,
};
use model::receipt::{Question, Receipts};
use model::{
    AppName, Change, Fault, Generation, InstanceId, Offenders, Plan, Routes, Survey, Surveyed,
    Weight,
};

use super::driver::{ChangeKind, Drain, Evidence, Open, Router, RouterCapabilities, RoutesHave};
use beside::Beside;
use client::Client;
use plan::{Late, Step};

/// The proxy at the other end of an admin socket.
#[derive(Debug)]
pub struct Proxy {
    client: Client,
    beside: Beside,
}

impl Proxy {
    /// Nothing is connected until the first question.
    pub fn new(socket: &Path) -> Self {
        Self { client: Client::new(socket), beside: Beside::default() }
    }

    /// Another proxy carries users of the same apps, until it is gone: what is open there counts, and
    /// it is told of new routes.
    pub fn beside(&self, socket: &Path) {
        self.beside.add(socket);
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
        self.done(&Request::Certify { pairs: pairs.to_vec(), forgiving: false }, None).await
    }

    /// The same; one pair that went bad takes nothing from the others. Says what is wrong with pairs;
    /// refused when none can be used.
    pub async fn certify_as_far_as_possible(
        &self,
        pairs: &[KeyPair],
    ) -> Result<Vec<String>, Fault> {
        let request = Request::Certify { pairs: pairs.to_vec(), forgiving: true };
        match self.client.ask(&request, None).await?.0 {
            Reply::Done => Ok(Vec::new()),
            Reply::Warned { words } => Ok(words),
            other => Err(self.client.odd(&request, &other)),
        }
    }

    /// Replaces what holds for all apps and listeners.
    pub async fn configure(&self, settings: &Settings) -> Result<(), Fault> {
        self.done(&Request::Configure { settings: settings.clone() }, None).await
    }

    /// Gives it the key that cohorts are signed with.
    pub async fn sign_cohorts(&self, key: &CohortKey) -> Result<(), Fault> {
        self.done(&Request::CohortKey { key: key.clone() }, None).await
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
        self.done(&Request::stop(within_ms), None).await
    }

    /// The same; a kept connection that brings no request stays for so long.
    pub async fn retire(&self, within_ms: u64, linger_ms: u64) -> Result<(), Fault> {
        self.done(&Request::Stop { within_ms, linger_ms }, None).await
    }

    /// Has the proxy serve one connection that was accepted elsewhere.
    pub async fn serve(&self, connection: BorrowedFd<'_>) -> Result<(), Fault> {
        self.done(&Request::Serve, Some(connection)).await
    }

    /// Gives the proxy routes of an app that it does not carry yet.
    pub async fn carry(&self, epoch: u64, routes: Routes) -> Result<(), Fault> {
        let expected = Generation::default();
        self.done(&Request::Publish { epoch, expected, routes }, None).await
    }

    /// Tells the proxy that it takes the place of another, after so many upgrades.
    pub async fn succeed(&self, upgrades: u64) -> Result<(), Fault> {
        self.done(&Request::Succeed { upgrades }, None).await
    }

    /// Has its metrics tell what the proxies at these sockets count, which it replaces.
    pub async fn include(&self, sockets: Vec<PathBuf>) -> Result<(), Fault> {
        self.done(&Request::Include { sockets }, None).await
    }

    /// The keys of its session tickets, for a successor.
    pub async fn ticket_keys(&self) -> Result<Vec<TicketKey>, Fault> {
        match self.client.ask(&Request::TicketKeys, None).await?.0 {
            Reply::TicketKeys { keys } => Ok(keys),
            other => Err(self.client.odd(&Request::TicketKeys, &other)),
        }
    }

    /// Has the proxy go on with the keys of another.
    pub async fn adopt_ticket_keys(&self, keys: Vec<TicketKey>) -> Result<(), Fault> {
        self.done(&Request::AdoptTicketKeys { keys }, None).await
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
        self.done(&Request::Withdraw { epoch, app: app.clone() }, None).await?;
        self.beside.follow(epoch, &app, None).await;
        Ok(())
    }
}

#[async_trait]
impl Router for Proxy {
    async fn look(&self, app: &AppName) -> Result<RoutesHave, Fault> {
        let seen = self.seen().await?;
        let carried = seen.apps.into_iter().find(|carried| carried.routes.app == *app);
        let (epoch, pid) = (seen.epoch, Some(seen.pid));
        let mut have = RoutesHave { epoch, pid, ..RoutesHave::nothing(app.clone()) };
        if let Some(carried) = carried {
            fill(&mut have, carried);
        }
        let mut late = Vec::new();
        for (pid, carried) in self.beside.carry(app).await? {
            let behind = Late::of(pid, have.routes.as_ref(), carried.as_ref());
            late.extend(behind);
            let Some(carried) = carried else { continue };
            if behind.is_some() {
                let pools = carried.routes.pools.into_iter();
                have.elsewhere.extend(pools.flat_map(|pool| pool.instances).map(|one| one.id));
            }
            have.counters.extend(sources(pid, &carried.releases));
            have.past = have.past.saturating_add(carried.past.requests);
            have.held = both(have.held, carried.held);
            for seen in carried.instances {
                count(&mut have, seen);
            }
        }
        if !late.is_empty() {
            have.detail = serde_json::to_value(late).unwrap_or_default();
        }
        Ok(have)
    }

    fn plan(&self, want: Option<&Routes>, have: &RoutesHave) -> Plan {
        plan::plan(want, have)
    }

    fn foretell(&self, change: &Change, have: &RoutesHave) -> Option<RoutesHave> {
        let routes = match Step::read(change).ok()? {
            Step::Publish { routes, .. } => Some(*routes),
            Step::Withdraw { .. } => None,
            Step::CatchUp { late, .. } => {
                let others = plan::late(have).into_iter().filter(|other| *other != late);
                let detail = serde_json::to_value(others.collect::<Vec<_>>()).unwrap_or_default();
                return Some(RoutesHave { detail, ..have.clone() });
            }
        };
        Some(RoutesHave { routes, ..have.clone() })
    }

    async fn act(&self, change: &Change, epoch: u64) -> Result<(), Fault> {
        match Step::read(change)? {
            Step::Publish { expected, routes } => {
                let publish = Request::Publish { epoch, expected, routes: (*routes).clone() };
                self.done(&publish, None).await?;
                self.beside.follow(epoch, &routes.app, Some(&routes)).await;
                Ok(())
            }
            Step::Withdraw { app } => self.withdraw(change, app, epoch).await,
            Step::CatchUp { app, routes, late } => {
                self.beside.catch_up(epoch, (&app, routes.as_deref()), late).await
            }
        }
    }

    async fn survey(&self, survey: &Survey, after_s: u64) -> Result<Option<Surveyed>, Fault> {
        let request = Request::Survey { survey: survey.clone(), after_s };
        match self.client.ask(&request, None).await?.0 {
            Reply::Surveyed(surveyed) => Ok(Some(surveyed)),
            other => Err(self.client.odd(&request, &other)),
        }
    }

    async fn receipts(&self, question: &Question) -> Result<Option<Receipts>, Fault> {
        let request = Request::Receipts(question.clone());
        match self.client.ask(&request, None).await?.0 {
            Reply::Receipts(receipts) => Ok(Some(receipts)),
            other => Err(self.client.odd(&request, &other)),
        }
    }

    async fn forget_receipts(&self, key: &str) -> Result<(), Fault> {
        self.done(&Request::ForgetReceipts { key: key.to_owned() }, None).await
    }

    async fn offenders(&self, app: &AppName, instances: &[InstanceId]) -> Result<Offenders, Fault> {
        let request = Request::Offenders { app: app.clone(), instances: instances.to_vec() };
        let mut all = match self.client.ask(&request, None).await?.0 {
            Reply::Offenders(offenders) => offenders,
            other => return Err(self.client.odd(&request, &other)),
        };
        for offenders in self.beside.offenders(&request).await {
            all.add(offenders);
        }
        Ok(all)
    }

    fn can(&self) -> RouterCapabilities {
        RouterCapabilities {
            finest_weight: Weight::new(1).unwrap_or_default(),
            drain: Drain::Counted,
            change: ChangeKind::Atomic,
            header_rules: true,
            hold: true,
            hand_over: true,
            other_rules: true,
            spread: true,
            evidence: Evidence::PerRequest,
        }
    }
}

fn fill(have: &mut RoutesHave, carried: AppSeen) {
    for pool in &carried.routes.pools {
        have.open.entry(pool.release).or_default();
    }
    for seen in carried.instances {
        count(have, seen);
    }
    let by = have.pid.unwrap_or_default();
    have.counters = sources(by, &carried.releases).collect();
    have.totals = carried.releases.into_iter().map(|r| (r.release, r)).collect();
    (have.held, have.past) = (carried.held, carried.past.requests);
    have.routes = Some(carried.routes);
}

/// What waits in two processes.
fn both(one: HoldSeen, other: HoldSeen) -> HoldSeen {
    HoldSeen {
        now: one.now + other.now,
        bytes: one.bytes + other.bytes,
        total: one.total + other.total,
        refused: one.refused + other.refused,
        longest_ms: one.longest_ms.max(other.longest_ms),
    }
}

/// What one process counts.
fn sources(pid: u32, seen: &[ReleaseSeen]) -> impl Iterator<Item = (String, ReleaseSeen)> {
    seen.iter().map(move |seen| (format!("{pid}/{}", seen.release.0), seen.clone()))
}

/// Adds what is open on one instance.
fn count(have: &mut RoutesHave, seen: InstanceSeen) {
    let here = Open { requests: seen.requests, tunnels: seen.tunnels };
    if seen.ejected_ms > 0 {
        have.ejected.insert(seen.id.clone());
    }
    have.open.entry(seen.release).or_default().add(here);
    if seen.sockets > 0 {
        *have.sockets.entry(seen.id.clone()).or_default() += seen.sockets;
    }
    have.instances.entry(seen.id).or_default().add(here);
}
