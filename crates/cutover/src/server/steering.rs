//! The router that the configuration names, and what it takes to have it.
//!
//! Cutover's own proxy is a process that is kept running. A HAProxy, an nginx or whoever follows Consul is somebody else's: it is neither
//! started nor stopped, it is checked before anything relies on it, and users are seen off by its
//! routes. It publishes no routes itself: each app's controller does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use drivers::router::proxy::Proxy;
use drivers::router::{Router, RoutesHave, reachable};
use model::admin::ProxySeen;
use model::{AppName, Fault, Kind, PoolState, Routes, Weight};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::children::Children;
use super::keeper::Keeper;
use super::layout::Layout;
use super::living::Living;
use super::others::{self, Other};
use super::passed::Passed;
use super::preflight::{self, Preflight};
use super::reload::Reconfigure;
use super::upgrade::Place;
use crate::config::{Config, RouterConfig};
use crate::store::Store;

/// How long it may take until users are sent nowhere any more.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);
/// How often a router is asked while something is waited for.
const PACE: Duration = Duration::from_millis(50);

/// The router of a server.
#[derive(Debug)]
pub(super) struct Steering {
    router: Arc<dyn Router>,
    preflight: Preflight,
    carrier: Carrier,
    entrances: Vec<String>,
    apps: Vec<AppName>,
    leaving: watch::Sender<bool>,
}

#[derive(Debug)]
enum Carrier {
    Own(Box<Keeper>),
    /// Its name, and the count of the routers started: never one.
    Theirs(&'static str, watch::Sender<u64>),
}

impl Steering {
    /// Starts or takes over our own proxy, or asks the one of the user's whether it can be worked with. One that
    /// is away is waited for; one that cannot be worked with is a fault, unless a rollout is under way:
    /// somebody must look after its instances.
    pub(super) async fn open(
        config: &Config,
        (layout, children): (&Layout, &Children),
        store: &Store,
        (allow_faults, passed): (bool, &mut Passed),
    ) -> Result<Self, Fault> {
        let apps: Vec<AppName> = config.apps.keys().cloned().collect();
        let leaving = watch::Sender::new(false);
        match &config.router {
            RouterConfig::Proxy => {
                let proxy = Arc::new(Proxy::new(&layout.proxy_socket()));
                let ours = Arc::clone(&proxy);
                let place = (layout.clone(), children.clone());
                let faults = (allow_faults, passed);
                let keeper = Keeper::open(place, ours, &config.proxy, faults).await?;
                let (entrances, preflight) = (keeper.listening(), Preflight::default());
                let (router, carrier) = (proxy, Carrier::Own(Box::new(keeper)));
                Ok(Self { router, preflight, carrier, entrances, apps, leaving })
            }
            RouterConfig::HaProxy(theirs) => {
                let router = Arc::new(preflight::driver(theirs, config)?);
                let preflight = Preflight::of(Arc::clone(&router), theirs, config.apps.values());
                let reached = router.reach().await.map(drop);
                begin(reached, &preflight, &apps, under_way(store, &apps)?).await?;
                let name = if theirs.consul.is_some() { "HAProxy with Consul" } else { "HAProxy" };
                let carrier = Carrier::Theirs(name, watch::Sender::new(0));
                let entrances = shown(&theirs.listen, &theirs.tls_listen);
                Ok(Self { router, preflight, carrier, entrances, apps, leaving })
            }
            RouterConfig::Nginx(theirs) => {
                let router = Arc::new(preflight::nginx_driver(theirs, config.apps.values()));
                let preflight = Preflight::of_nginx(Arc::clone(&router), theirs);
                let under_way = under_way(store, &apps)?;
                if !under_way {
                    // Also while it is away: it would not come with a configuration that is wrong.
                    router.tested().await?;
                }
                begin(router.reach().map(drop), &preflight, &apps, under_way).await?;
                let carrier = Carrier::Theirs("nginx", watch::Sender::new(0));
                let entrances = shown(&theirs.listen, &theirs.tls_listen);
                Ok(Self { router, preflight, carrier, entrances, apps, leaving })
            }
            RouterConfig::Follower(theirs) => {
                let router = Arc::new(preflight::follower_driver(theirs, config)?);
                let preflight = Preflight::of_follower(Arc::clone(&router), theirs);
                let reached = router.reach().await;
                begin(reached, &preflight, &apps, under_way(store, &apps)?).await?;
                let carrier = Carrier::Theirs("Consul's follower", watch::Sender::new(0));
                let entrances = shown(&theirs.listen, &theirs.tls_listen);
                Ok(Self { router, preflight, carrier, entrances, apps, leaving })
            }
        }
    }

    /// Where our own proxy takes another configuration.
    pub(super) fn orders(&self) -> Option<mpsc::Sender<Reconfigure>> {
        match &self.carrier {
            Carrier::Own(keeper) => Some(keeper.orders()),
            Carrier::Theirs(..) => None,
        }
    }

    /// What it is called, for people.
    pub(super) const fn name(&self) -> &'static str {
        match &self.carrier {
            Carrier::Own(_) => "the proxy",
            Carrier::Theirs(name, _) => name,
        }
    }

    /// True when a failure that it counts is one that a user met: a HAProxy also counts the tries
    /// that another one mended.
    pub(super) const fn counts_exactly(&self) -> bool {
        matches!(&self.carrier, Carrier::Own(_))
    }

    /// The driver.
    pub(super) fn router(&self) -> Arc<dyn Router> {
        Arc::clone(&self.router)
    }

    /// What a deploy must pass.
    pub(super) fn preflight(&self) -> Preflight {
        self.preflight.clone()
    }

    /// Counts the routers started from here on.
    pub(super) fn started(&self) -> watch::Receiver<u64> {
        match &self.carrier {
            Carrier::Own(keeper) => keeper.started(),
            Carrier::Theirs(_, none) => none.subscribe(),
        }
    }

    /// True when users are being seen off: nothing new may be sent to anybody.
    pub(super) fn leaving(&self) -> watch::Receiver<bool> {
        self.leaving.subscribe()
    }

    /// Where users come in.
    pub(super) fn listening(&self) -> Vec<String> {
        self.entrances.clone()
    }

    /// Where the prober finds it in plain text: the first address that is configured for users; where there is
    /// none like that, the first that speaks TLS.
    pub(super) fn entrance(&self, config: &Config) -> Option<SocketAddr> {
        let ours = &config.proxy;
        match (&self.carrier, &config.router) {
            (Carrier::Own(keeper), _) => {
                keeper.at(*ours.listen.first().or(ours.tls_listen.first())?)
            }
            (_, RouterConfig::HaProxy(theirs)) => theirs.listen.first().copied(),
            (_, RouterConfig::Nginx(theirs)) => theirs.listen.first().copied(),
            (_, RouterConfig::Follower(theirs)) => theirs.listen.first().copied(),
            _ => None,
        }
        .map(reachable)
    }

    /// Keeps it running, for ever; `carried` says when users may be let in, `open` what is open.
    pub(super) async fn keep(
        &mut self,
        carried: impl Fn(&ProxySeen) -> bool,
        open: impl Fn() -> String,
    ) {
        match &mut self.carrier {
            Carrier::Own(keeper) => keeper.keep(carried, open).await,
            // Its start and its end are somebody else's.
            Carrier::Theirs(..) => std::future::pending().await,
        }
    }

    /// Sees to it that nothing new comes: our own proxy does so when it stops; a HAProxy goes on, so
    /// its routes are taken from it, and it answers 503 itself.
    pub(super) async fn close(&self) {
        if let Carrier::Theirs(..) = &self.carrier {
            self.leaving.send_replace(true);
            self.until(CLOSE_DEADLINE, closed).await;
        }
    }

    /// The clients of our own proxies, to be watched while they stop.
    pub(super) async fn clients(&self) -> Clients {
        let Carrier::Own(keeper) = &self.carrier else { return Clients(Vec::new()) };
        let own = keeper.running().map(|running| (keeper.proxy(), running));
        let others = others::find(keeper.layout()).await.into_iter();
        let others = others.map(|other| (other.proxy, Arc::new(other.process)));
        Clients(own.into_iter().chain(others).collect())
    }

    /// The proxies that were found beside our own, once.
    pub(super) fn others(&mut self) -> Vec<Other> {
        match &mut self.carrier {
            Carrier::Own(keeper) => keeper.others(),
            Carrier::Theirs(..) => Vec::new(),
        }
    }

    /// What it takes to put another proxy in the place of our own.
    pub(super) fn place(&self) -> Option<Place> {
        match &self.carrier {
            Carrier::Own(keeper) => Some(keeper.place()),
            Carrier::Theirs(..) => None,
        }
    }

    /// Lets what is open finish, `within` at most.
    pub(super) async fn stop(&mut self, within: Duration) {
        match &mut self.carrier {
            Carrier::Own(keeper) => keeper.stop(within).await,
            Carrier::Theirs(..) => self.until(within, idle).await,
        }
    }

    /// The instances have ended: nobody else goes on naming them. What cannot be done is said; the next start does it.
    pub(super) async fn forget(&self) {
        for app in &self.apps {
            match tokio::time::timeout(CLOSE_DEADLINE, self.router.forget(app)).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => {
                    tracing::warn!("instances of {app} that have ended are still named: {fault}");
                }
                Err(_late) => {
                    tracing::warn!("instances of {app} that have ended may still be named");
                }
            }
        }
    }

    /// Resolves when all apps are seen as wanted, or HAProxy is away, or time is over.
    async fn until(&self, within: Duration, wanted: fn(&RoutesHave) -> bool) {
        let deadline = Instant::now() + within;
        for app in &self.apps {
            while self.router.look(app).await.is_ok_and(|have| !wanted(&have)) {
                if Instant::now() >= deadline {
                    return;
                }
                tokio::time::sleep(PACE).await;
            }
        }
    }
}

/// Who is connected to our own proxies; of a HAProxy it is not known.
#[derive(Debug)]
pub(super) struct Clients(Vec<(Arc<Proxy>, Arc<Living>)>);

impl Clients {
    /// Resolves when nobody is left but tunnels: a connection that is being closed may still bring a
    /// request that crosses the close. Made for a proxy that was told to stop and accepts no more.
    pub(super) async fn gone(&self) {
        for (proxy, running) in &self.0 {
            // One that does not answer has its clients all the same; one that has ended has none.
            while running.lives() {
                if proxy.seen().await.is_ok_and(|seen| seen.connections <= seen.tunnelling) {
                    break;
                }
                tokio::time::sleep(PACE).await;
            }
        }
    }
}

/// For people, as our own proxy shows them.
fn shown(listen: &[SocketAddr], tls_listen: &[SocketAddr]) -> Vec<String> {
    let secure = tls_listen.iter().map(|at| format!("{at} (TLS)"));
    listen.iter().map(ToString::to_string).chain(secure).collect()
}

/// The same routes, and nothing new goes to anybody.
pub(super) fn seen_off(routes: &Routes) -> Routes {
    let mut routes = routes.clone();
    for pool in &mut routes.pools {
        pool.weight = Weight::NONE;
        pool.state = PoolState::Retiring;
    }
    routes
}

fn closed(have: &RoutesHave) -> bool {
    let mut pools = have.routes.iter().flat_map(|routes| &routes.pools);
    pools.all(|pool| pool.state == PoolState::Retiring)
}

fn idle(have: &RoutesHave) -> bool {
    have.open.values().all(|open| open.requests == 0 && open.tunnels == 0)
}

/// What is said and decided of somebody else's router when the server starts.
async fn begin(
    reached: Result<(), Fault>,
    preflight: &Preflight,
    apps: &[AppName],
    under_way: bool,
) -> Result<(), Fault> {
    let fit = match reached {
        Err(away) if away.kind == Kind::Environment => {
            let help = away.help.clone().unwrap_or_default();
            tracing::warn!("{away}; nobody is served until it is there: {help}");
            return Ok(());
        }
        // Not permitted, no socket, somebody else's: nothing that waiting mends.
        Err(unfit) => Err(preflight::untouched(unfit)),
        Ok(()) => preflight.check(apps).await.map(drop),
    };
    match fit {
        Ok(()) => Ok(()),
        Err(fault) if under_way => {
            tracing::error!("{fault}; a rollout is under way, so its instances are looked after");
            Ok(())
        }
        Err(fault) => Err(fault),
    }
}

/// True when the journal has an open rollout.
fn under_way(store: &Store, apps: &[AppName]) -> Result<bool, Fault> {
    for app in apps {
        if store.open_run(app)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::Arc;
    use std::time::Duration;

    use drivers::router::proxy::Proxy;

    use super::Clients;
    use crate::server::living::Living;

    #[tokio::test]
    async fn a_mute_proxy_has_its_clients_until_it_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("proxy.sock");
        let _mute = UnixListener::bind(&socket).unwrap();
        let mut process = tokio::process::Command::new("sleep").arg("60").spawn().unwrap();
        let running = Living::find(process.id().unwrap()).unwrap().unwrap();
        let clients = Clients(vec![(Arc::new(Proxy::new(&socket)), Arc::new(running))]);
        // Longer than an answer may take.
        let waited = tokio::time::timeout(Duration::from_millis(2500), clients.gone()).await;
        assert!(waited.is_err(), "a late answer was taken for an end");
        process.kill().await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), clients.gone()).await.unwrap();
    }
}
