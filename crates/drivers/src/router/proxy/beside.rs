//! Proxies that carry users beside the one that is driven, while one takes over from another.
//!
//! What is open there must be known, or an instance would be ended under its last requests; so one that
//! does not answer is a fault, and one that is gone is forgotten. New routes are in effect only when each
//! of them has taken them, too: until then it goes on sending its clients to whom it did. When to wait for
//! that, and when to tell it again, is `plan`'s to say.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::admin::{AppSeen, ProxySeen, Reply, Request};
use model::{AppName, Fault, Generation, Kind, Offenders, Routes};
use tokio::net::UnixStream;

use super::client::Client;
use super::plan::Late;

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

    /// An app as each of them carries it, if it does, by process.
    pub(super) async fn carry(&self, app: &AppName) -> Result<Vec<(u32, Option<AppSeen>)>, Fault> {
        let mut carried = Vec::new();
        for client in self.all() {
            let Some(seen) = self.look(&client).await? else { continue };
            carried.push((seen.pid, of(app, seen)));
        }
        Ok(carried)
    }

    /// Tells them what is to hold for an app from now on. Whoever did not take it is seen at the next look.
    pub(super) async fn follow(&self, epoch: u64, app: &AppName, routes: Option<&Routes>) {
        for client in self.all() {
            let told = async {
                let Some(seen) = self.look(&client).await? else { return Ok(()) };
                tell(&client, epoch, (app, routes), of(app, seen).as_ref()).await
            };
            if let Err(fault) = told.await {
                let at = client.socket().display();
                tracing::debug!("the proxy at {at}, which is being replaced, is late: {fault}");
            }
        }
    }

    /// Tells the one that is late once more. A fault when it refuses, or has not done it.
    pub(super) async fn catch_up(
        &self,
        epoch: u64,
        (app, routes): (&AppName, Option<&Routes>),
        late: Late,
    ) -> Result<(), Fault> {
        for client in self.all() {
            let Some(seen) = self.look(&client).await?.filter(|seen| seen.pid == late.pid) else {
                continue;
            };
            let there = of(app, seen);
            if generation(there.as_ref()) != late.generation {
                let what = format!("the routes of `{app}` have changed at process {}", late.pid);
                return Err(Fault::new(Kind::Conflict, what).help("look and plan again"));
            }
            let told = tell(&client, epoch, (app, routes), there.as_ref()).await;
            told.map_err(|fault| unmoved(app, late.pid, &fault.to_string()))?;
            let Some(seen) = self.look(&client).await? else { return Ok(()) };
            if Late::of(late.pid, routes, of(app, seen).as_ref()).is_some() {
                return Err(unmoved(app, late.pid, "it has taken them and carries others"));
            }
        }
        // One that is gone is late no more.
        Ok(())
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

/// Of what one carries; 0 when it is nothing.
fn generation(there: Option<&AppSeen>) -> Generation {
    there.map(|seen| seen.routes.generation).unwrap_or_default()
}

/// Tells one what is to hold for an app, on top of what it carries itself.
async fn tell(
    client: &Client,
    epoch: u64,
    (app, routes): (&AppName, Option<&Routes>),
    there: Option<&AppSeen>,
) -> Result<(), Fault> {
    let request = match routes {
        Some(routes) => {
            let expected = generation(there);
            let generation = routes.generation.max(Generation(expected.0.saturating_add(1)));
            Request::Publish { epoch, expected, routes: Routes { generation, ..routes.clone() } }
        }
        None => Request::Withdraw { epoch, app: app.clone() },
    };
    client.ask(&request, None).await.map(drop)
}

/// It still sends its clients to whom it did.
fn unmoved(app: &AppName, pid: u32, why: &str) -> Fault {
    let what = format!(
        "`{app}` waits for the proxy that is being replaced (pid {pid}), which has not taken its new \
         routes: {why}"
    );
    Fault::environment(what).help(format!(
        "nothing that it sends requests to is stopped meanwhile; it ends with its last connection, or \
         after `upgrade_timeout`; `kill {pid}` ends it sooner"
    ))
}

/// True when nobody serves a socket, which only the kernel can say.
async fn gone(socket: &Path) -> bool {
    let kind = UnixStream::connect(socket).await.err().as_ref().map(io::Error::kind);
    matches!(kind, Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused))
}
