//! Keeps a proxy running and holds duplicates of its listening sockets.
//!
//! A proxy that lives is taken over, with its listeners; one that died is started again. A new one
//! gets the listeners only when it carries the routes that were committed: until then connections
//! wait in the backlog. It publishes no routes: each app's controller does.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use drivers::router::proxy::Proxy;
use model::Fault;
use model::admin::ProxySeen;
use rustix::process::Signal;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::Instant;

use super::children::{self, Children};
use super::layout::Layout;
use super::living::{Living, Server, server};
use super::takeover;

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
/// Backlog of a listening socket; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// The proxy of one state directory.
#[derive(Debug)]
pub(super) struct Keeper {
    layout: Layout,
    children: Children,
    proxy: Arc<Proxy>,
    threads: usize,
    allow_faults: bool,
    listeners: Vec<(SocketAddr, OwnedFd)>,
    /// The proxy, ours or one that was taken over.
    running: Option<Arc<Living>>,
    /// To be reaped, if it is ours.
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
        listen: &[SocketAddr],
        threads: usize,
        allow_faults: bool,
    ) -> Result<Self, Fault> {
        let found = takeover::take(&layout.proxy_socket(), &proxy, takeover::PATIENCE).await?;
        let living = found.is_some();
        let (running, listeners) = found.map_or_else(Default::default, |(running, listeners)| {
            (Some(Arc::new(running)), listeners)
        });
        let mut keeper = Self {
            layout,
            children,
            proxy,
            threads,
            allow_faults,
            listeners,
            running,
            child: None,
            open: living,
            started: watch::Sender::new(0),
        };
        let fresh: Vec<SocketAddr> = listen
            .iter()
            .filter(|address| !keeper.listeners.iter().any(|(bound, _)| bound == *address))
            .copied()
            .collect();
        keeper.warn_of_left_over(listen);
        let taken: Vec<SocketAddr> = keeper.listeners.iter().map(|(at, _)| *at).collect();
        for address in fresh {
            keeper.listeners.push((address, bind(address)?));
        }
        if living {
            keeper.hand_over(&taken).await?;
        } else {
            keeper.start().await?;
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
        let mut pause = Duration::ZERO;
        loop {
            let since = Instant::now();
            if !self.open {
                self.let_in(&carried).await;
            }
            self.gone().await;
            self.open = false;
            if since.elapsed() >= LIVED {
                pause = Duration::ZERO;
            }
            tracing::warn!("the proxy ended; starting it again on the same sockets");
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
        while !self.open && !self.ended(PACE).await {
            let Ok(seen) = self.proxy.seen().await else { continue };
            if !carried(&seen) && Instant::now() < deadline {
                continue;
            }
            match self.hand_over(&seen.listening).await {
                Ok(()) => self.open = true,
                Err(fault) => tracing::error!("{fault}"),
            }
        }
    }

    /// Gives the proxy what it does not listen on yet.
    async fn hand_over(&self, listening: &[SocketAddr]) -> Result<(), Fault> {
        for (address, socket) in &self.listeners {
            if !listening.contains(address) {
                self.proxy.send_listener(socket.as_fd(), *address).await?;
            }
        }
        Ok(())
    }

    /// True when the proxy has ended; takes `pause` if it has not.
    async fn ended(&self, pause: Duration) -> bool {
        match &self.running {
            Some(running) => tokio::time::timeout(pause, running.ended()).await.is_ok(),
            None => true,
        }
    }

    /// Resolves when the proxy does not run any more: its process says that, not a late answer.
    async fn gone(&mut self) {
        if let Some(running) = &self.running {
            running.ended().await;
        }
        if let Some(child) = &mut self.child {
            // An error means that it was reaped already.
            drop(child.wait().await);
        }
        (self.running, self.child) = (None, None);
    }

    async fn start(&mut self) -> Result<(), Fault> {
        let mut arguments = vec![
            "proxy".to_owned(),
            "--admin".to_owned(),
            self.layout.proxy_socket().display().to_string(),
            "--threads".to_owned(),
            self.threads.to_string(),
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

    /// Its driver.
    pub(super) fn proxy(&self) -> Arc<Proxy> {
        Arc::clone(&self.proxy)
    }

    /// Its process.
    pub(super) fn running(&self) -> Option<Arc<Living>> {
        self.running.clone()
    }

    /// Where it listens.
    pub(super) fn listening(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(address, socket)| bound(*address, socket)).collect()
    }

    /// Where the one listens that is configured so.
    pub(super) fn at(&self, configured: SocketAddr) -> Option<SocketAddr> {
        let mut all = self.listeners.iter();
        let (address, socket) = all.find(|(address, _)| *address == configured)?;
        Some(bound(*address, socket))
    }

    /// Says what a predecessor listened on and nobody wants any more: a proxy closes no listener.
    fn warn_of_left_over(&self, listen: &[SocketAddr]) {
        for (address, _) in self.listeners.iter().filter(|(at, _)| !listen.contains(at)) {
            tracing::warn!(
                "{address} is no longer in `listen`; it stays open until `cutover down`"
            );
        }
    }

    /// Tells the proxy to end and waits until it has. What is open has `within`, and is cut then.
    pub(super) async fn stop(&mut self, within: Duration) {
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

/// The address that a socket has: a free port may have been asked for.
fn bound(configured: SocketAddr, socket: &OwnedFd) -> SocketAddr {
    let own = socket2::SockRef::from(socket).local_addr().ok();
    own.and_then(|own| own.as_socket()).unwrap_or(configured)
}

fn bind(address: SocketAddr) -> Result<OwnedFd, Fault> {
    listening_socket(address).map(OwnedFd::from).map_err(|e| {
        let fault = Fault::environment(format!("{address} cannot be listened on: {e}"));
        match e.kind() {
            std::io::ErrorKind::AddrInUse => fault.help(
                "another program has this port: end it, or change `listen` under [proxy] in \
                 cutover.toml",
            ),
            std::io::ErrorKind::PermissionDenied => {
                fault.help("ports below 1024 need privileges: use a higher one")
            }
            _ => fault.help("change `listen` under [proxy] in cutover.toml"),
        }
    })
}

fn listening_socket(address: SocketAddr) -> std::io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Only lets us bind over connections in TIME_WAIT; two listeners are still refused.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
