//! Keeps a proxy running and holds duplicates of its listening sockets.
//!
//! A proxy that lives is taken over, with its listeners; one that died is started again. A new one
//! gets the listeners only when it carries the routes that were committed: until then connections
//! wait in the backlog. Settings and certificates go before the listeners. It publishes no routes:
//! each app's controller does.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use drivers::router::proxy::Proxy;
use model::Fault;
use model::admin::ProxySeen;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::Instant;

use super::children::{self, Children};
use super::layout::Layout;
use super::listener::Listener;
use crate::config::ProxyConfig;

/// How long a fresh proxy may take to answer on its admin socket.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// How long users wait at most for the routes of a fresh proxy.
const ROUTES_DEADLINE: Duration = Duration::from_secs(5);
/// How often a fresh proxy is looked at while something is waited for.
const PACE: Duration = Duration::from_millis(10);
/// How often a proxy that is not our child is asked whether it lives.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often listeners are offered again to a proxy that refused one.
const OFFER_EVERY: Duration = Duration::from_secs(1);

/// The proxy of one state directory.
#[derive(Debug)]
pub(super) struct Keeper {
    layout: Layout,
    children: Children,
    proxy: Arc<Proxy>,
    config: ProxyConfig,
    allow_faults: bool,
    listeners: Vec<Listener>,
    child: Option<Child>,
    /// The proxy has the listeners.
    open: bool,
    started: watch::Sender<u64>,
}

impl Keeper {
    /// Takes over the living proxy or starts one; binds what is not bound yet. A fresh one accepts
    /// nobody before [`Self::keep`].
    pub(super) async fn open(
        (layout, children): (Layout, Children),
        proxy: Arc<Proxy>,
        config: &ProxyConfig,
        allow_faults: bool,
    ) -> Result<Self, Fault> {
        let taken = take(&proxy, config).await?;
        let (living, listeners) = (taken.is_some(), taken.unwrap_or_default());
        let mut keeper = Self {
            layout,
            children,
            proxy,
            config: config.clone(),
            allow_faults,
            listeners,
            child: None,
            open: living,
            started: watch::Sender::new(0),
        };
        let taken = keeper.addresses();
        let plain = config.listen.iter().map(|address| (*address, false));
        for (address, secure) in plain.chain(config.tls_listen.iter().map(|at| (*at, true))) {
            if !taken.contains(&address) {
                keeper.listeners.push(Listener::bind(address, secure)?);
            }
        }
        if living {
            keeper.proxy.configure(&config.settings).await?;
            keeper.certify().await?;
            keeper.hand_over(&taken).await?;
        } else {
            keeper.start().await?;
            if let Err(fault) = keeper.certify().await {
                keeper.kill().await;
                return Err(fault);
            }
        }
        Ok(keeper)
    }

    /// Counts the proxies started from here on.
    pub(super) fn started(&self) -> watch::Receiver<u64> {
        self.started.subscribe()
    }

    /// Lets users in as soon as all their routes are `carried`, and starts the proxy again whenever
    /// it is gone, for ever.
    pub(super) async fn keep(&mut self, carried: impl Fn(&ProxySeen) -> bool) {
        loop {
            if !self.open {
                self.let_in(&carried).await;
            }
            self.gone().await;
            self.open = false;
            tracing::warn!("the proxy ended; starting it again on the same sockets");
            while let Err(fault) = self.start().await {
                tracing::error!("{fault}");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Hands the listeners to a fresh proxy; returns without that when it ends meanwhile.
    async fn let_in(&mut self, carried: &impl Fn(&ProxySeen) -> bool) {
        let deadline = Instant::now() + ROUTES_DEADLINE;
        let mut pause = PACE;
        while !self.open && !self.ended(pause).await {
            let Ok(seen) = self.proxy.seen().await else { continue };
            if !carried(&seen) && Instant::now() < deadline {
                continue;
            }
            match self.hand_over(&seen.listening).await {
                Ok(()) => self.open = true,
                Err(fault) => {
                    tracing::error!("{fault}; trying again until it is mended");
                    pause = OFFER_EVERY;
                }
            }
        }
    }

    /// Gives the proxy what it does not listen on yet. Certificates that became unusable keep nobody
    /// out who does not speak TLS.
    async fn hand_over(&self, listening: &[SocketAddr]) -> Result<(), Fault> {
        let missing = |one: &&Listener| !listening.contains(&one.address);
        let (secure, plain): (Vec<_>, Vec<_>) =
            self.listeners.iter().filter(missing).partition(|one| one.secure);
        for Listener { address, socket, .. } in plain {
            self.proxy.send_listener(socket.as_fd(), *address).await?;
        }
        if !secure.is_empty() {
            self.certify().await?;
        }
        for Listener { address, socket, .. } in secure {
            self.proxy.send_tls_listener(socket.as_fd(), *address).await?;
        }
        Ok(())
    }

    /// Has the proxy read the certificates.
    async fn certify(&self) -> Result<(), Fault> {
        if self.config.certificates.is_empty() {
            return Ok(());
        }
        self.proxy.certify(&self.config.certificates).await
    }

    /// True when our own proxy has ended; takes `pause` if it has not.
    async fn ended(&mut self, pause: Duration) -> bool {
        match &mut self.child {
            Some(child) => tokio::time::timeout(pause, child.wait()).await.is_ok(),
            None => true,
        }
    }

    /// Resolves when the proxy does not run any more.
    async fn gone(&mut self) {
        if let Some(child) = &mut self.child {
            // An error means that it was reaped already.
            drop(child.wait().await);
            self.child = None;
            return;
        }
        // One answer that is late does not mean that it is gone: its process says that.
        let mut pid = 0;
        loop {
            match self.proxy.seen().await {
                Ok(seen) => pid = seen.pid,
                Err(_) if !children::lives(pid) => return,
                Err(_) => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn start(&mut self) -> Result<(), Fault> {
        let mut arguments = vec![
            "proxy".to_owned(),
            "--admin".to_owned(),
            self.layout.proxy_socket().display().to_string(),
            "--threads".to_owned(),
            self.config.threads.to_string(),
        ];
        if self.allow_faults {
            arguments.push("--allow-faults".to_owned());
        }
        let log = self.layout.logs().join("proxy.log");
        // Kept from its first moment on, so that whoever stops us finds it.
        self.child = Some(self.children.spawn(&arguments, &log)?);
        let deadline = Instant::now() + START_DEADLINE;
        while self.proxy.seen().await.is_err() {
            if self.ended(PACE).await || Instant::now() > deadline {
                let mut fault = Fault::internal("the proxy did not start");
                fault.notes = children::tail(&log, 5);
                self.kill().await;
                return Err(fault);
            }
        }
        if let Err(fault) = self.proxy.configure(&self.config.settings).await {
            self.kill().await;
            return Err(fault);
        }
        self.started.send_modify(|number| *number += 1);
        Ok(())
    }

    async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error means that it has ended already.
            drop(child.kill().await);
        }
    }

    /// Its driver.
    pub(super) fn proxy(&self) -> Arc<Proxy> {
        Arc::clone(&self.proxy)
    }

    /// Where it listens, for people.
    pub(super) fn listening(&self) -> Vec<String> {
        self.listeners.iter().map(Listener::shown).collect()
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|one| one.address).collect()
    }

    /// Tells the proxy to end and waits until it has, `within` at most.
    pub(super) async fn stop(&mut self, within: Duration) {
        self.listeners.clear();
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let told = self.proxy.stop(within_ms).await;
        let limit = within + Duration::from_secs(2);
        if told.is_err() || tokio::time::timeout(limit, self.gone()).await.is_err() {
            // It cannot be told, or it overran its own deadline.
            self.kill().await;
        }
    }
}

/// The listeners of a proxy that lives; `None` when there is none.
async fn take(proxy: &Proxy, config: &ProxyConfig) -> Result<Option<Vec<Listener>>, Fault> {
    let Ok(taken) = proxy.take_listeners().await else { return Ok(None) };
    let secure = proxy.seen().await?.secure;
    let listener = |(address, socket)| {
        let listener = Listener { address, socket, secure: secure.contains(&address) };
        listener.must_fit(config).map(|()| listener)
    };
    taken.into_iter().map(listener).collect::<Result<_, _>>().map(Some)
}
