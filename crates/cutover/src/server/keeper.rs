//! Keeps a proxy running and holds duplicates of its listening sockets.
//!
//! A proxy that lives is taken over, with its listeners; one that died is started again on the same
//! sockets, so that new connections wait in the backlog meanwhile. It publishes no routes: each
//! app's controller does, when it sees that its routes are missing.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use drivers::router::proxy::Proxy;
use model::Fault;
use tokio::process::Child;
use tokio::time::Instant;

use super::children;
use super::layout::Layout;

/// How long a fresh proxy may take to answer on its admin socket.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// How often a proxy that is not our child is asked whether it lives.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Backlog of a listening socket; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// The proxy of one state directory.
#[derive(Debug)]
pub(super) struct Keeper {
    layout: Layout,
    proxy: Arc<Proxy>,
    threads: usize,
    allow_faults: bool,
    listeners: Vec<(SocketAddr, OwnedFd)>,
    child: Option<Child>,
}

impl Keeper {
    /// Takes over the living proxy or starts one; binds what is not bound yet.
    pub(super) async fn open(
        layout: Layout,
        proxy: Arc<Proxy>,
        listen: &[SocketAddr],
        threads: usize,
        allow_faults: bool,
    ) -> Result<Self, Fault> {
        let listeners = proxy.take_listeners().await;
        let living = listeners.is_ok();
        let mut keeper = Self {
            layout,
            proxy,
            threads,
            allow_faults,
            listeners: listeners.unwrap_or_default(),
            child: None,
        };
        let fresh: Vec<SocketAddr> = listen
            .iter()
            .filter(|address| !keeper.listeners.iter().any(|(bound, _)| bound == *address))
            .copied()
            .collect();
        let first_new = keeper.listeners.len();
        for address in fresh {
            keeper.listeners.push((address, bind(address)?));
        }
        if living {
            for (address, socket) in &keeper.listeners[first_new..] {
                keeper.proxy.send_listener(socket.as_fd(), *address).await?;
            }
        } else {
            keeper.start().await?;
        }
        Ok(keeper)
    }

    /// Waits until the proxy is gone and starts it again, for ever.
    pub(super) async fn keep(&mut self) {
        loop {
            self.gone().await;
            tracing::warn!("the proxy ended; starting it again on the same sockets");
            while let Err(fault) = self.start().await {
                tracing::error!("{fault}");
                tokio::time::sleep(LOOK_EVERY).await;
            }
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
        while self.proxy.seen().await.is_ok() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
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
        let mut child = children::spawn_self(&arguments, &log)?;
        let deadline = Instant::now() + START_DEADLINE;
        while self.proxy.seen().await.is_err() {
            let ended = tokio::time::timeout(Duration::from_millis(10), child.wait()).await;
            if ended.is_ok() || Instant::now() > deadline {
                let mut fault = Fault::internal("the proxy did not start");
                fault.notes = children::tail(&log, 5);
                return Err(fault);
            }
        }
        for (address, socket) in &self.listeners {
            self.proxy.send_listener(socket.as_fd(), *address).await?;
        }
        self.child = Some(child);
        Ok(())
    }

    /// Where it listens.
    pub(super) fn listening(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(address, _)| *address).collect()
    }

    /// Tells the proxy to end and waits until it has, `within` at most.
    pub(super) async fn stop(&mut self, within: Duration) {
        self.listeners.clear();
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        if self.proxy.stop(within_ms).await.is_err() {
            return;
        }
        let limit = within + Duration::from_secs(2);
        if tokio::time::timeout(limit, self.gone()).await.is_err()
            && let Some(child) = &mut self.child
        {
            // It overran its own deadline.
            drop(child.kill().await);
        }
    }
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
