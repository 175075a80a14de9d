//! The new binary's proxy: started beside the old one, given all that it has, tried, let in.
//!
//! From the moment on that it has the listening sockets both carry users, with the same routes: nothing
//! is lost if one of them goes. Which one stays is not decided here.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drivers::router::proxy::Proxy;
use model::admin::{CohortKey, Observation, ProxySeen};
use model::{Fault, Routes};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::ProxyConfig;
use crate::server::children::{self, Children};
use crate::server::layout::Layout;
use crate::server::living::Living;

/// How long a fresh proxy may take to answer on its admin socket.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is asked until then.
const PACE: Duration = Duration::from_millis(10);
/// How long one answer to a user may take when it is tried.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What it takes to have a second proxy.
#[derive(Clone, Debug)]
pub(in crate::server) struct Place {
    pub(in crate::server) layout: Layout,
    pub(in crate::server) children: Children,
    /// What the present one was told last.
    pub(in crate::server) config: watch::Receiver<ProxyConfig>,
    pub(in crate::server) cohort_key: CohortKey,
    pub(in crate::server) allow_faults: bool,
    /// The proxy that carries users now.
    pub(in crate::server) present: Arc<Proxy>,
}

/// A proxy beside the present one.
#[derive(Debug)]
pub(super) struct Successor {
    /// Its process.
    pub(super) process: Living,
    /// Its admin socket.
    pub(super) socket: PathBuf,
    proxy: Proxy,
    /// It has listening sockets, so it may have users.
    open: bool,
}

impl Successor {
    /// Starts `program` as a proxy. It has no users yet.
    pub(super) async fn start(place: &Place, program: &Path, id: &str) -> Result<Self, Fault> {
        let socket = place.layout.other_proxy_socket(id);
        let threads = place.config.borrow().threads.to_string();
        let admin = socket.display().to_string();
        let mut arguments = vec!["proxy", "--admin", &admin, "--threads", &threads];
        arguments.extend(place.allow_faults.then_some("--allow-faults"));
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let log = place.layout.logs().join("proxy.log");
        let mut child = place.children.spawn_program(program, &arguments, &log)?;
        // It was not reaped yet, so the number is still its own.
        let found = child.id().map_or(Ok(None), Living::find);
        let Ok(Some(process)) = found else {
            drop(child.start_kill());
            return Err(died(&log));
        };
        let successor = Self { process, proxy: Proxy::new(&socket), socket, open: false };
        if !successor.answers().await {
            successor.process.signal(Signal::KILL);
            return Err(died(&log));
        }
        Ok(successor)
    }

    async fn answers(&self) -> bool {
        let deadline = Instant::now() + START_DEADLINE;
        while self.proxy.seen().await.is_err() {
            if tokio::time::timeout(PACE, self.process.ended()).await.is_ok()
                || Instant::now() > deadline
            {
                return false;
            }
        }
        true
    }

    /// Gives it what the present proxy has but for the listening sockets: settings, certificates, keys
    /// of session tickets and cohorts, routes.
    pub(super) async fn equip(&self, place: &Place, epoch: u64) -> Result<ProxySeen, Fault> {
        let config = place.config.borrow().clone();
        self.proxy.configure(&config.settings).await?;
        self.proxy.sign_cohorts(&place.cohort_key).await?;
        if !config.certificates.is_empty() {
            self.proxy.certify(&config.certificates).await?;
            self.proxy.adopt_ticket_keys(place.present.ticket_keys().await?).await?;
        }
        // The present one has the address of metrics, and leaves it when it is settled who stays.
        let observation = Observation { metrics: None, ..config.observation };
        self.proxy.observe(&observation).await?;
        let seen = place.present.seen().await?;
        // One of an older version does not know this word, and only its metrics miss it.
        drop(self.proxy.succeed(seen.upgrades + 1).await);
        drop(self.proxy.include(vec![place.layout.proxy_socket()]).await);
        for app in &seen.apps {
            self.proxy.carry(epoch, app.routes.clone()).await?;
        }
        // From now on it is told of what changes meanwhile.
        place.present.beside(&self.socket);
        Ok(seen)
    }

    /// Asks it as a user does, once for each app that is served, on connections of its own.
    pub(super) async fn probe(&self, seen: &ProxySeen) -> Result<usize, Fault> {
        let mut asked = 0;
        for app in seen.apps.iter().filter(|app| served(&app.routes)) {
            let head = ask_as_user(&self.proxy, &app.routes).await?;
            if !head.to_ascii_lowercase().contains("x-cutover-instance:") {
                let said = head.lines().next().unwrap_or_default().to_owned();
                let name = &app.routes.app;
                return Err(failed(&format!("`{name}` is not served by it: {said}")));
            }
            asked += 1;
        }
        Ok(asked)
    }

    /// Gives it the listening sockets.
    pub(super) async fn let_in(&mut self, place: &Place, seen: &ProxySeen) -> Result<(), Fault> {
        let sockets = place.present.take_listeners().await?;
        self.open = true;
        for (address, socket) in &sockets {
            if seen.secure.contains(address) {
                self.proxy.send_tls_listener(socket.as_fd(), *address).await?;
            } else {
                self.proxy.send_listener(socket.as_fd(), *address).await?;
            }
        }
        Ok(())
    }

    /// Takes it back. What is open on it has `within`.
    pub(super) async fn take_back(&self, within: Duration) {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        if !self.open || self.proxy.stop(within_ms).await.is_err() {
            self.process.signal(if self.open { Signal::TERM } else { Signal::KILL });
        }
    }
}

/// Asks a proxy as a user of an app does, on a connection of its own; answers the head of what it says.
pub(crate) async fn ask_as_user(proxy: &Proxy, routes: &Routes) -> Result<String, Fault> {
    let (ours, theirs) = pair().map_err(|e| trouble(&e))?;
    proxy.serve(theirs.as_fd()).await?;
    drop(theirs);
    let (name, routes) = (routes.app.clone(), routes.clone());
    let answer = tokio::task::spawn_blocking(move || ask(ours, &routes)).await;
    let answer = answer.map_err(|e| Fault::internal(format!("a question: {e}")))?;
    answer.map_err(|error| failed(&format!("no answer for `{name}`: {error}")))
}

/// Puts each of two sockets in the place of the other, in one step.
pub(crate) fn exchange(one: &Path, other: &Path) -> Result<(), Fault> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(|e| {
        let what = format!("{} cannot be exchanged: {e}", one.display());
        Fault::environment(what).help("put the state directory on a file system of this machine")
    })
}

fn served(routes: &Routes) -> bool {
    routes.pools.iter().any(|pool| !pool.instances.is_empty() && pool.weight.basis_points() > 0)
}

/// Both ends of a connection.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let own = ours.local_addr()?;
    loop {
        let (theirs, peer) = listener.accept()?;
        // Somebody else may have been quicker.
        if peer == own {
            return Ok((ours, theirs));
        }
    }
}

/// The head of an answer.
fn ask(mut stream: TcpStream, routes: &Routes) -> io::Result<String> {
    let host = routes.hosts.first().map_or("localhost", String::as_str).replace('*', "cutover");
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let path = &routes.path_prefix;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let (mut head, mut bytes) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => head.extend_from_slice(&bytes[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn died(log: &Path) -> Fault {
    let mut fault = failed("it did not start as a proxy");
    fault.notes = children::tail(log, 5);
    fault
}

fn trouble(error: &io::Error) -> Fault {
    Fault::environment(format!("a connection on loopback cannot be made: {error}"))
}

fn failed(why: &str) -> Fault {
    Fault::environment(format!("the new binary's proxy was tried: {why}"))
        .help("the running server and its proxy go on as they are")
}
