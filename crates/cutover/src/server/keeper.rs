//! Keeps a proxy running and holds duplicates of its listening sockets.
//!
//! A proxy that lives is taken over, with its listeners; one that died is started again. A new one
//! gets the listeners only when it carries the routes that were committed: until then connections
//! wait in the backlog. It publishes no routes: each app's controller does.

mod entrance;
mod reconfigure;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use drivers::router::proxy::Proxy;
use futures_util::future::join_all;
use model::admin::{CohortKey, ProxySeen};
use model::{Fault, Kind};
use rustix::process::Signal;
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::children::{self, Children};
use super::layout::Layout;
use super::listener::Listener;
use super::living::{Living, Server, server};
use super::others::{self, Other};
use super::passed::Passed;
use super::reload::Reconfigure;
use super::upgrade::Place;
use super::{cohort_key, takeover};
use crate::config::ProxyConfig;

/// How long a fresh proxy may take to answer on its admin socket.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// How long users wait at most for the routes of a fresh proxy.
const ROUTES_DEADLINE: Duration = Duration::from_secs(5);
/// How often a fresh proxy is looked at while something is waited for.
const PACE: Duration = Duration::from_millis(10);
/// Pause before a proxy is started again if the one before ended at once; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A proxy that lived for so long did not end at once.
const LIVED: Duration = Duration::from_secs(10);
/// What a proxy that is told to end may need beyond the time it was given.
const SLACK: Duration = Duration::from_secs(2);
/// How often listeners are offered again to a proxy that refused one.
const OFFER_EVERY: Duration = Duration::from_secs(1);

/// The proxy of one state directory.
#[derive(Debug)]
pub(super) struct Keeper {
    layout: Layout,
    children: Children,
    proxy: Arc<Proxy>,
    config: ProxyConfig,
    cohort_key: CohortKey,
    allow_faults: bool,
    listeners: Vec<Listener>,
    /// Proxies that were here beside it at the start.
    others: Vec<Other>,
    /// The proxy, ours or one that was taken over.
    running: Option<Arc<Living>>,
    /// To be reaped, if it is ours.
    child: Option<Child>,
    /// The proxy has the listeners, but for those that wait for a certificate.
    open: bool,
    /// No certificate could be used when it was to listen for TLS.
    uncertified: bool,
    started: watch::Sender<u64>,
    orders: (mpsc::Sender<Reconfigure>, mpsc::Receiver<Reconfigure>),
    /// What the proxy was told last, for those who start one beside it.
    told: watch::Sender<ProxyConfig>,
}

impl Keeper {
    /// Takes over the living proxy or starts one; binds what is not bound yet. A fresh one accepts
    /// nobody before [`Self::keep`].
    pub(super) async fn open(
        (layout, children): (Layout, Children),
        proxy: Arc<Proxy>,
        config: &ProxyConfig,
        (allow_faults, passed): (bool, &mut Passed),
    ) -> Result<Self, Fault> {
        let found = takeover::take(&layout.proxy_socket(), &proxy, takeover::PATIENCE).await?;
        let living = found.is_some();
        let (running, sockets) = found
            .map_or_else(Default::default, |(running, sockets)| (Some(Arc::new(running)), sockets));
        let cohort_key = cohort_key::read_or_make(&layout.cohort_key())?;
        let others = others::find(&layout).await;
        for other in &others {
            proxy.beside(other.socket());
            other.leave_metrics(&config.observation).await;
        }
        let mut listeners = fitting(&proxy, config, running.as_deref(), sockets).await?;
        if !living && let Some(other) = others.first() {
            // The one that took over from it is gone: it still has the sockets.
            let (process, sockets) = (Some(&other.process), other.listeners().await?);
            listeners = fitting(&other.proxy, config, process, sockets).await?;
        }
        let mut keeper = Self {
            layout,
            children,
            proxy,
            config: config.clone(),
            cohort_key,
            allow_faults,
            listeners,
            others,
            running,
            child: None,
            open: living,
            uncertified: false,
            started: watch::Sender::new(0),
            orders: mpsc::channel(4),
            told: watch::Sender::new(config.clone()),
        };
        keeper.warn_of_left_over();
        let taken: Vec<SocketAddr> = keeper.listeners.iter().map(|one| one.address).collect();
        let plain = config.listen.iter().map(|address| (*address, false));
        for (address, secure) in plain.chain(config.tls_listen.iter().map(|at| (*at, true))) {
            if !taken.contains(&address) {
                let listener = match passed.of(address)? {
                    Some(socket) => Listener { address, socket, secure },
                    None => Listener::bind(address, secure)?,
                };
                keeper.listeners.push(listener);
            } else if let Ok(Some(_again)) = passed.of(address) {
                // The same one that the proxy has.
            }
        }
        passed.warn_of_rest();
        if living {
            patiently(keeper.running.as_deref(), || keeper.configure()).await?;
            match keeper.certify().await {
                // It goes on showing those that it has.
                Err(fault) if fault.kind == Kind::Config => tracing::error!("{fault}"),
                done => done?,
            }
            patiently(keeper.running.as_deref(), || keeper.observe()).await?;
            keeper.hand_over(&taken).await?;
        } else {
            keeper.start().await?;
            if let Err(fault) = keeper.observe().await {
                keeper.kill().await;
                return Err(fault);
            }
        }
        Ok(keeper)
    }

    /// Where it takes another configuration, while it is kept.
    pub(super) fn orders(&self) -> mpsc::Sender<Reconfigure> {
        self.orders.0.clone()
    }

    /// Counts the proxies started from here on.
    pub(super) fn started(&self) -> watch::Receiver<u64> {
        self.started.subscribe()
    }

    /// Lets users in as soon as all their routes are `carried`, and starts the proxy again whenever
    /// it is gone, for ever; `open` says what was open when somebody last looked.
    pub(super) async fn keep(
        &mut self,
        carried: impl Fn(&ProxySeen) -> bool,
        open: impl Fn() -> String,
    ) {
        let mut pause = Duration::ZERO;
        loop {
            let since = Instant::now();
            if !self.open {
                self.let_in(&carried).await;
                self.keep_observing().await;
            }
            let how = self.attend().await;
            let lost = open();
            self.open = false;
            if since.elapsed() >= LIVED {
                pause = Duration::ZERO;
            }
            tracing::warn!(
                "the proxy ended ({how}); what was in flight on it is lost, when last seen {lost}; \
                 new connections wait until it is started again on the same sockets"
            );
            loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                match self.start().await {
                    Ok(()) => break,
                    Err(fault) => tracing::error!("{fault}"),
                }
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

    /// Tells the proxy what holds for all apps and listeners.
    async fn configure(&self) -> Result<(), Fault> {
        self.proxy.configure(&self.config.settings).await?;
        self.proxy.sign_cohorts(&self.cohort_key).await
    }

    /// Has the proxy tell of itself, and of those before it.
    async fn observe(&self) -> Result<(), Fault> {
        let others = self.layout.other_proxy_sockets();
        if !others.is_empty() {
            // One of an older version does not know this word, and only its metrics miss them.
            drop(self.proxy.include(others).await);
        }
        self.proxy.observe(&self.config.observation).await
    }

    /// The same, until it does or has ended; whatever stands in the way keeps no user out.
    async fn keep_observing(&self) {
        let mut said = false;
        while let Err(fault) = self.observe().await {
            if !std::mem::replace(&mut said, true) {
                tracing::error!("{fault}; trying again until it is mended");
            }
            if self.ended(OFFER_EVERY).await {
                return;
            }
        }
    }

    /// True when the proxy has ended; takes `pause` if it has not.
    async fn ended(&self, pause: Duration) -> bool {
        match &self.running {
            Some(running) => tokio::time::timeout(pause, running.ended()).await.is_ok(),
            None => true,
        }
    }

    /// Resolves when the proxy does not run any more: its process says that, not a late answer. Says
    /// how it ended.
    async fn gone(&mut self) -> String {
        let mut how = String::new();
        if let Some(running) = &self.running {
            running.ended().await;
            how = format!("pid {}", running.pid());
        }
        if let Some(child) = &mut self.child
            && let Ok(status) = child.wait().await
        {
            how = format!("{how}, {status}");
        } else if let Some(status) = self.running.as_ref().and_then(|running| running.reap()) {
            // It was started by whoever became this program.
            how = format!("{how}, {status}");
        }
        (self.running, self.child) = (None, None);
        how
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
        let mut child = self.children.spawn(&arguments, &log)?;
        // It was not reaped yet, so the number is still its own.
        let found = child.id().map_or(Ok(None), Living::find).map_err(|e| {
            // An error means that it has ended already.
            drop(child.start_kill());
            takeover::unknown(&e)
        })?;
        // Kept from its first moment on, so that whoever stops us finds it.
        (self.running, self.child) = (found.map(Arc::new), Some(child));
        if !self.answers().await {
            let mut fault = Fault::internal("the proxy did not start");
            fault.notes = children::tail(&log, 5);
            self.kill().await;
            self.adopt(fault).await?;
        }
        if let Err(fault) = self.configure().await {
            self.kill().await;
            return Err(fault);
        }
        self.started.send_modify(|number| *number += 1);
        Ok(())
    }

    /// True as soon as the very proxy that was started answers; false when it ends or is late.
    async fn answers(&self) -> bool {
        let pid = self.running.as_ref().map(|running| running.pid());
        let deadline = Instant::now() + START_DEADLINE;
        while !self.proxy.seen().await.is_ok_and(|seen| Some(seen.pid) == pid) {
            if self.ended(PACE).await || Instant::now() > deadline {
                return false;
            }
        }
        true
    }

    /// Goes on with another proxy that serves already, as one does that an `up` started just before
    /// it was killed. Nobody else's can be there, for the state directory is locked.
    async fn adopt(&mut self, otherwise: Fault) -> Result<(), Fault> {
        match server(&self.layout.proxy_socket()).await {
            Ok(Server::Found(other)) => {
                tracing::warn!("going on with the proxy that serves already (pid {})", other.pid());
                self.running = Some(Arc::new(other));
                Ok(())
            }
            _ => Err(otherwise),
        }
    }

    async fn kill(&mut self) {
        if let Some(running) = &self.running {
            running.signal(Signal::KILL);
        }
        self.gone().await;
    }

    /// The proxies that were here beside it at the start, once.
    pub(super) fn others(&mut self) -> Vec<Other> {
        std::mem::take(&mut self.others)
    }

    /// Where its state directory is.
    pub(super) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Its driver.
    pub(super) fn proxy(&self) -> Arc<Proxy> {
        Arc::clone(&self.proxy)
    }

    /// What it takes to put another one in its place.
    pub(super) fn place(&self) -> Place {
        Place {
            layout: self.layout.clone(),
            children: self.children.clone(),
            config: self.told.subscribe(),
            cohort_key: self.cohort_key.clone(),
            allow_faults: self.allow_faults,
            present: self.proxy(),
        }
    }

    /// Its process.
    pub(super) fn running(&self) -> Option<Arc<Living>> {
        self.running.clone()
    }

    /// Where it listens, for people.
    pub(super) fn listening(&self) -> Vec<String> {
        self.listeners.iter().map(Listener::shown).collect()
    }

    /// Where the one listens that is configured so.
    pub(super) fn at(&self, configured: SocketAddr) -> Option<SocketAddr> {
        self.listeners.iter().find(|one| one.address == configured).map(Listener::bound)
    }

    /// Says what a predecessor listened on and nobody wants any more: a proxy closes no listener.
    fn warn_of_left_over(&self) {
        let ProxyConfig { listen, tls_listen, .. } = &self.config;
        let wanted = |at: &SocketAddr| listen.contains(at) || tls_listen.contains(at);
        for left in self.listeners.iter().filter(|one| !wanted(&one.address)) {
            let (address, key) = (left.address, if left.secure { "tls_listen" } else { "listen" });
            tracing::warn!("{address} is no longer in `{key}`; it stays open until `cutover down`");
        }
    }

    /// Tells the proxy to end and waits until it has. What is open has `within`, and is cut then.
    pub(super) async fn stop(&mut self, within: Duration) {
        let others = others::find(&self.layout).await.into_iter();
        let others = join_all(others.map(|other| other.see_off(within)));
        tokio::join!(self.stop_own(within), others);
    }

    async fn stop_own(&mut self, within: Duration) {
        self.listeners.clear();
        let Some(running) = self.running.clone() else { return };
        let deadline = Instant::now() + within;
        let told = self.tell_to_stop(&running, deadline).await;
        if !told {
            tracing::warn!("the proxy (pid {}) does not answer; ending it", running.pid());
            running.signal(Signal::TERM);
        }
        let limit = deadline.max(Instant::now()) + SLACK;
        if tokio::time::timeout_at(limit, running.ended()).await.is_err() {
            tracing::warn!("the proxy (pid {}) overran its time; killing it", running.pid());
            running.signal(Signal::KILL);
        }
        self.gone().await;
    }

    /// Tells it until it has heard, has ended, or is late. One that is mute may be so for a moment
    /// only, and to end it would cut what is open.
    async fn tell_to_stop(&self, running: &Living, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let within_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            if self.proxy.stop(within_ms).await.is_ok() {
                return true;
            }
            if tokio::time::timeout(PACE, running.ended()).await.is_ok() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
        }
    }
}

/// Asks a proxy that was taken over until it answers: a moment's silence is no reason to leave its
/// users without anybody who looks after them.
async fn patiently<T, F>(running: Option<&Living>, ask: impl Fn() -> F) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
{
    let deadline = Instant::now() + takeover::PATIENCE;
    loop {
        let answer = ask().await;
        // What it refuses it refuses for ever; a late or broken answer is neither.
        let late = |fault: &Fault| matches!(fault.kind, Kind::Environment | Kind::Internal);
        let mute = answer.as_ref().is_err_and(late);
        if !mute || Instant::now() >= deadline || !running.is_some_and(Living::lives) {
            return answer;
        }
        tokio::time::sleep(PACE).await;
    }
}

/// The listeners of a proxy that lives, as the configuration can have them.
async fn fitting(
    proxy: &Proxy,
    config: &ProxyConfig,
    running: Option<&Living>,
    sockets: Vec<(SocketAddr, OwnedFd)>,
) -> Result<Vec<Listener>, Fault> {
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    let secure = patiently(running, || proxy.seen()).await?.secure;
    let listener = |(address, socket)| {
        let listener = Listener { address, socket, secure: secure.contains(&address) };
        listener.must_fit(config).map(|()| listener)
    };
    sockets.into_iter().map(listener).collect()
}
