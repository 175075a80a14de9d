//! Proxies that carry users beside the one that is driven, while one takes over from another.
//!
//! What is open there must be known, or an instance would be ended under its last requests; so one that
//! does not answer is a fault, and one that is gone is forgotten. New routes it is told as well as it
//! goes: it takes no new connections for long.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::admin::{AppSeen, ProxySeen, Reply, Request};
use model::{AppName, Fault, Generation, Offenders, Routes};
use tokio::net::UnixStream;

use super::client::Client;

/// The others; usually none.
#[derive(Debug, Default)]
pub(super) struct Beside(Mutex<Vec<Arc<Client>>>);

impl Beside {
    /// One more.
    pub(super) fn add(&self, socket: &Path) {
        let mut clients = self.clients();
        if !clients.iter().any(|client| client.socket() == socket) {
            clients.push(Arc::new(Client::new(socket)));
        }
    }

    /// An app as each of them carries it, by process.
    pub(super) async fn carry(&self, app: &AppName) -> Result<Vec<(u32, AppSeen)>, Fault> {
        let mut carried = Vec::new();
        for client in self.all() {
            let Some(seen) = self.look(&client).await? else { continue };
            let pid = seen.pid;
            carried.extend(of(app, seen).map(|seen| (pid, seen)));
        }
        Ok(carried)
    }

    /// Tells them the new routes of an app.
    pub(super) async fn publish(&self, epoch: u64, routes: &Routes) {
        for client in self.all() {
            let told = async {
                let Some(seen) = self.look(&client).await? else { return Ok(()) };
                let there = of(&routes.app, seen).map(|seen| seen.routes.generation);
                let expected = there.unwrap_or_default();
                let generation = routes.generation.max(Generation(expected.0.saturating_add(1)));
                let routes = Routes { generation, ..routes.clone() };
                client.ask(&Request::Publish { epoch, expected, routes }, None).await.map(|_| ())
            };
            complain(&client, told.await);
        }
    }

    /// Has them forget an app.
    pub(super) async fn withdraw(&self, epoch: u64, app: &AppName) {
        for client in self.all() {
            let request = Request::Withdraw { epoch, app: app.clone() };
            let told = client.ask(&request, None).await.map(|_| ());
            complain(&client, told);
        }
    }

    /// What each of them has had open for longest. One that cannot say so is older than the question.
    pub(super) async fn offenders(&self, request: &Request) -> Vec<Offenders> {
        let mut all = Vec::new();
        for client in self.all() {
            if let Ok((Reply::Offenders(offenders), _)) = client.ask(request, None).await {
                all.push(offenders);
            }
        }
        all
    }

    /// Looks at one; `None` when it is gone, and it is never looked at again.
    async fn look(&self, client: &Arc<Client>) -> Result<Option<ProxySeen>, Fault> {
        match client.ask(&Request::Look, None).await {
            Ok((Reply::Seen(seen), _)) => Ok(Some(seen)),
            Ok((other, _)) => Err(client.odd(&Request::Look, &other)),
            Err(fault) => {
                if !gone(client.socket()).await {
                    return Err(fault);
                }
                self.clients().retain(|known| !Arc::ptr_eq(known, client));
                Ok(None)
            }
        }
    }

    fn all(&self) -> Vec<Arc<Client>> {
        self.clients().clone()
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Arc<Client>>> {
        // A panic while it was held left a whole list.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of(app: &AppName, seen: ProxySeen) -> Option<AppSeen> {
    seen.apps.into_iter().find(|seen| seen.routes.app == *app)
}

/// True when nobody serves a socket, which only the kernel can say.
async fn gone(socket: &Path) -> bool {
    let kind = UnixStream::connect(socket).await.err().as_ref().map(io::Error::kind);
    matches!(kind, Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused))
}

fn complain(client: &Client, told: Result<(), Fault>) {
    if let Err(fault) = told {
        let at = client.socket().display();
        tracing::warn!("the proxy at {at}, which is being replaced, has other routes now: {fault}");
    }
}
