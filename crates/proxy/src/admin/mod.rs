//! The admin socket: what the controller tells the proxy and asks of it.
//!
//! One loop on the process's first thread serves any number of clients. Nothing on the request path
//! waits for it, and the proxy goes on when every client is gone.

mod descriptors;
mod named;
mod observed;
mod receipts;
mod replaced;
mod socket;
mod watch;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use model::admin::{KeyPair, ProxySeen, Reply, Request};
use model::{Fault, Kind};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::ledger::Ledger;
use crate::life::Shared;
use crate::limits;
use crate::metrics::{self, Dialect};
use crate::wire;
use crate::worker::Control;
use descriptors::Line;
use observed::Telling;
use receipts::Books;
use replaced::{Replaced, Successor};
pub(crate) use socket::bind;
pub(crate) use watch::keep_watch;

/// A listening socket that was taken over.
#[derive(Debug)]
struct Listener {
    address: SocketAddr,
    socket: StdListener,
    secure: bool,
}

/// The proxy as its admin clients see it.
#[derive(Debug)]
pub(crate) struct Desk {
    shared: Arc<Shared>,
    ledger: RefCell<Ledger>,
    listeners: RefCell<Vec<Listener>>,
    telling: RefCell<Option<Telling>>,
    /// Those that were replaced, until they have ended.
    left: RefCell<Vec<Telling>>,
    workers: Vec<UnboundedSender<Control>>,
    allow_faults: bool,
    /// Whose requests get receipts.
    books: RefCell<Books>,
    /// When somebody last asked something.
    heard: Cell<Instant>,
    /// Its name among those that replace each other.
    process: String,
    replaced: Replaced,
}

impl Desk {
    /// A proxy without listeners and routes.
    pub(crate) fn new(
        shared: Arc<Shared>,
        workers: Vec<UnboundedSender<Control>>,
        allow_faults: bool,
    ) -> Self {
        let (ledger, listeners) = (RefCell::default(), RefCell::default());
        let (telling, left) = (RefCell::default(), RefCell::default());
        let (books, heard) = (RefCell::default(), Cell::new(Instant::now()));
        let started = shared.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let process = format!("{}-{}", std::process::id(), started.as_nanos());
        Self {
            shared,
            ledger,
            listeners,
            telling,
            left,
            workers,
            allow_faults,
            books,
            heard,
            process,
            replaced: Replaced::default(),
        }
    }

    fn tell(&self, control: impl Fn() -> Control) {
        for worker in &self.workers {
            // A worker that has ended needs to know nothing.
            let _ = worker.send(control());
        }
    }

    async fn answer(
        self: &Rc<Self>,
        request: Request,
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Result<Reply, Fault> {
        let swap = |table| self.shared.table.store(Arc::new(table));
        match request {
            Request::Listen { address } => self.listen(address, descriptors.pop_front(), false)?,
            Request::ListenTls { address } => {
                self.listen(address, descriptors.pop_front(), true)?;
            }
            Request::Certify { pairs, forgiving } => return self.certify(&pairs, forgiving),
            Request::TicketKeys => {
                return Ok(Reply::TicketKeys { keys: self.shared.tls.ticket_keys() });
            }
            Request::AdoptTicketKeys { keys } => self.shared.tls.adopt_ticket_keys(&keys)?,
            Request::CohortKey { key } => {
                let settings = self.shared.settings.load().signing(&key);
                self.shared.settings.store(Arc::new(settings));
            }
            Request::Listeners => {
                let listeners = self.listeners.borrow();
                let addresses = listeners.iter().map(|one| one.address).collect();
                return Ok(Reply::Listeners { addresses });
            }
            Request::Publish { epoch, expected, routes } => {
                let moves = self.ledger.borrow_mut().publish(epoch, expected, routes, swap)?;
                self.tell(|| Control::Sweep);
                if let Some(handing) = moves {
                    self.tell(|| Control::HandOver(Arc::clone(&handing)));
                }
            }
            Request::Withdraw { epoch, app } => {
                self.ledger.borrow_mut().withdraw(epoch, &app, swap)?;
                self.tell(|| Control::Sweep);
            }
            Request::Configure { settings } => {
                let settings = self.shared.settings.load().told(&settings);
                self.shared.settings.store(Arc::new(settings));
            }
            Request::Observe { observation } => self.observe(&observation)?,
            Request::Succeed { upgrades } => {
                self.shared.upgrades.store(upgrades, Ordering::Relaxed);
            }
            Request::Include { sockets } => self.include(sockets).await,
            Request::Account => return Ok(self.account()),
            Request::Look => return Ok(Reply::Seen(self.seen())),
            Request::Survey { survey, after_s } => {
                let surveyed = self.ledger.borrow().survey(survey, after_s)?;
                return Ok(Reply::Surveyed(surveyed));
            }
            Request::Receipts(question) => {
                return Ok(Reply::Receipts(self.receipts(question).await?));
            }
            Request::ForgetReceipts { key } => self.forget_receipts(&key),
            Request::Offenders { app, instances } => {
                return Ok(Reply::Offenders(self.offenders(&app, &instances).await?));
            }
            Request::Truncate { .. } if !self.allow_faults => {
                return Err(Fault::new(Kind::Usage, "this proxy does not inject faults")
                    .help("start it with --allow-faults"));
            }
            Request::Truncate { app, bodies } => self.ledger.borrow().truncate(&app, bodies)?,
            Request::Serve => self.serve(descriptors.pop_front())?,
            Request::Stop { within_ms, linger_ms } => {
                // A successor may want the place.
                let telling = self.telling.take();
                self.left.borrow_mut().extend(telling);
                self.shared.linger(Duration::from_millis(linger_ms));
                self.shared.end(Instant::now() + Duration::from_millis(within_ms));
            }
        }
        Ok(Reply::Done)
    }

    /// What this proxy carries and counts, and those that it replaces, as text.
    fn metrics(&self, dialect: Dialect) -> String {
        self.replaced.with(self.own_metrics(dialect))
    }

    fn own_metrics(&self, dialect: Dialect) -> String {
        metrics::tell(dialect, &self.shared, &self.ledger.borrow().census())
    }

    fn certify(&self, pairs: &[KeyPair], forgiving: bool) -> Result<Reply, Fault> {
        if pairs.is_empty() && self.listeners.borrow().iter().any(|one| one.secure) {
            return Err(Fault::new(
                Kind::Usage,
                "a TLS listener would be left without certificate",
            ));
        }
        if !forgiving {
            return self.shared.tls.certify(pairs).map(|()| Reply::Done);
        }
        let words = self.shared.tls.certify_as_far_as_possible(pairs)?;
        Ok(if words.is_empty() { Reply::Done } else { Reply::Warned { words } })
    }

    fn listen(
        &self,
        address: SocketAddr,
        descriptor: Option<OwnedFd>,
        secure: bool,
    ) -> Result<(), Fault> {
        if secure && !self.shared.tls.certified() {
            let what = format!("there is no certificate for {address}");
            return Err(Fault::new(Kind::Usage, what).help("send certificates first"));
        }
        let descriptor = descriptor
            .ok_or_else(|| Fault::new(Kind::Usage, format!("no descriptor came with {address}")))?;
        if !rustix::net::sockopt::socket_acceptconn(&descriptor).unwrap_or(false) {
            let what = format!("the descriptor for {address} is not a listening socket");
            return Err(Fault::new(Kind::Usage, what));
        }
        let mut listeners = self.listeners.borrow_mut();
        if listeners.iter().any(|known| known.address == address) {
            let what = format!("the proxy listens on {address} already");
            return Err(Fault::new(Kind::Conflict, what));
        }
        let listener = StdListener::from(descriptor);
        let trouble = |error: std::io::Error| {
            Fault::environment(format!("cannot use the listening socket for {address}: {error}"))
        };
        listener.set_nonblocking(true).map_err(trouble)?;
        // Accepted connections inherit it.
        if let Err(error) = rustix::net::sockopt::set_tcp_nodelay(&listener, true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        wire::keep_alive(&listener);
        for worker in &self.workers {
            let duplicate = listener.try_clone().map_err(trouble)?;
            let _ = worker.send(Control::Accept(duplicate, secure));
        }
        listeners.push(Listener { address, socket: listener, secure });
        Ok(())
    }

    /// Gives one connection to a worker.
    fn serve(&self, descriptor: Option<OwnedFd>) -> Result<(), Fault> {
        let usage = |what| Fault::new(Kind::Usage, what);
        let descriptor = descriptor.ok_or_else(|| usage("no descriptor came with it"))?;
        let stream = std::net::TcpStream::from(descriptor);
        if stream.peer_addr().is_err() {
            return Err(usage("the descriptor is not a connection"));
        }
        let trouble = |error| Fault::environment(format!("cannot use the connection: {error}"));
        stream.set_nonblocking(true).map_err(trouble)?;
        if let Some(worker) = self.workers.first() {
            // One that has ended serves nobody, and whoever waits for the answer learns it.
            let _ = worker.send(Control::Serve(stream));
        }
        Ok(())
    }

    fn seen(&self) -> ProxySeen {
        let (mut ledger, listeners) = (self.ledger.borrow_mut(), self.listeners.borrow());
        ProxySeen {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: ledger.epoch(),
            listening: listeners.iter().map(|one| one.address).collect(),
            secure: listeners.iter().filter(|one| one.secure).map(|one| one.address).collect(),
            metrics: self.tells_on(),
            connections: self.shared.connections(),
            tunnelling: self.shared.tunnelling(),
            upgrades: self.shared.upgrades.load(Ordering::Relaxed),
            apps: ledger.seen(),
        }
    }

    /// Writes one reply, and the listeners with it if they are what was asked for.
    async fn reply(&self, stream: &UnixStream, reply: &Reply) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        let listeners: Vec<_> = match reply {
            Reply::Listeners { .. } => {
                let listeners = self.listeners.borrow();
                listeners.iter().map(|one| one.socket.try_clone()).collect::<Result<_, _>>()?
            }
            _ => Vec::new(),
        };
        let descriptors: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
        descriptors::send(stream, &line, &descriptors).await
    }
}

/// Takes in admin clients for as long as the process lives.
pub(crate) async fn receive(desk: Rc<Desk>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                spawn_local(converse(Rc::clone(&desk), stream));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an admin client");
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(desk: Rc<Desk>, stream: UnixStream) {
    let mut lines = descriptors::Lines::default();
    let mut successor = None;
    while let Ok(Some(Line { text, mut descriptors })) = lines.next(&stream).await {
        // Who speaks HTTP asks for metrics, as over TCP.
        if text.starts_with(b"GET ") || text.starts_with(b"HEAD ") {
            let head = [&text[..], b"\n", lines.rest()].concat();
            return metrics::answer(stream, head, |dialect| desk.metrics(dialect)).await;
        }
        let (request, over) = (serde_json::from_slice(&text), desk.replaced.over());
        let asks = matches!(request, Ok(Request::Account));
        if asks {
            // Another proxy, which looks after nobody.
            successor.get_or_insert_with(|| Successor::of(&desk));
        } else {
            desk.heard.set(Instant::now());
        }
        let reply = match request {
            Ok(request) => {
                let answer = desk.answer(request, &mut descriptors).await;
                answer.unwrap_or_else(Reply::Refused)
            }
            Err(error) => {
                let what = format!("the admin request is malformed: {error}");
                Reply::Refused(Fault::new(Kind::Usage, what))
            }
        };
        desk.left().await;
        if let Err(error) = desk.reply(&stream, &reply).await {
            tracing::debug!(%error, "an admin client went before its reply");
            return;
        }
        if asks && over {
            successor = None;
        }
    }
}
