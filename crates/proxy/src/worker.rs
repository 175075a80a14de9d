//! One worker thread: its runtime and its accept loops.
//!
//! Workers share listening sockets (each accepts from a duplicate of the same one) and the atomic
//! words of `Shared` and the gates; nothing else. They know nothing of the admin socket.

use std::io;
use std::net::{IpAddr, TcpListener as StdListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use rustix::net::SocketFlags;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::spawn_local;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

use crate::age::Age;
use crate::class::Class;
use crate::client;
use crate::clients::Client;
use crate::forwarded::Origin;
use crate::handover::{Handing, hand_over};
use crate::life::{Life, Shared};
use crate::limits;
use crate::receipts::{Lines, Wanted};
use crate::thread::{Open, Worker};
use crate::visitors::{Named, Question};

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Control {
    /// Accept from this socket too, with TLS or without.
    Accept(StdListener, bool),
    /// Serve this connection, which was accepted elsewhere.
    Serve(std::net::TcpStream),
    /// The routes changed: close idle connections to instances that left them.
    Sweep,
    /// WebSockets on these instances are to leave.
    HandOver(Arc<Handing>),
    /// Say what is open on some instances.
    Name(Question, UnboundedSender<Named>),
    /// Say what was written down of a prober's requests.
    Receipts(Wanted, UnboundedSender<Lines>),
    /// Keep no more of these receipts.
    Forget(u32),
}

/// Runs a worker until the process ends.
pub(crate) fn run(shared: Arc<Shared>, controls: UnboundedReceiver<Control>) -> io::Result<()> {
    // Its tasks stay on this thread; a `LocalSet` would be a second queue in front of the runtime's.
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let worker = Rc::new(Worker::new(shared));
    runtime.block_on(work(&worker, controls));
    // With what was open and is cut now go its tasks, and leave their lines.
    drop(runtime);
    worker.pen.borrow_mut().flush();
    Ok(())
}

async fn work(worker: &Rc<Worker>, mut controls: UnboundedReceiver<Control>) {
    let mut life = worker.shared.life();
    let mut beat = interval(limits::POOL_SWEEP);
    loop {
        let now = *life.borrow_and_update();
        worker.lives(now);
        let deadline = match now {
            Life::Ending(_) if worker.idle() => return,
            Life::Ending(deadline) => Some(deadline),
            Life::Running => None,
        };
        let due = deadline.unwrap_or_else(|| Instant::now() + limits::TERM_DEADLINE);
        tokio::select! {
            _ = life.changed() => {}
            control = controls.recv() => match control {
                Some(Control::Accept(listener, secure)) => listen(worker, listener, secure),
                Some(Control::Serve(stream)) => {
                    let worker = Rc::clone(worker);
                    let admitted = async move {
                        admit(&worker, TcpStream::from_std(stream), false).await;
                    };
                    spawn_local(admitted);
                }
                Some(Control::Sweep) => worker.upstreams.sweep(),
                Some(Control::Name(question, answer)) => {
                    // Nobody waits for one that comes too late.
                    let _ = answer.send(worker.visitors.named(&question));
                }
                Some(Control::Receipts(wanted, answer)) => {
                    // As above.
                    let _ = answer.send(worker.receipts.tell(wanted));
                }
                Some(Control::Forget(book)) => worker.receipts.forget(book),
                Some(Control::HandOver(handing)) => {
                    spawn_local(hand_over(Rc::clone(worker), handing));
                }
                None => return,
            },
            _ = beat.tick() => {
                worker.upstreams.sweep();
                worker.pen.borrow_mut().flush();
            }
            () = worker.closed.notified() => {}
            () = sleep_until(due), if deadline.is_some() => return,
        }
    }
}

fn listen(worker: &Rc<Worker>, listener: StdListener, secure: bool) {
    match TcpListener::from_std(listener) {
        Ok(listener) => {
            spawn_local(accept(Rc::clone(worker), listener, secure));
        }
        Err(error) => tracing::error!(%error, "cannot accept from a listening socket"),
    }
}

/// Accepts until the process ends; then takes what the kernel has accepted already, since closing
/// the last descriptor of a listening socket resets it.
async fn accept(worker: Rc<Worker>, listener: TcpListener, secure: bool) {
    let mut life = worker.life.subscribe();
    // Counts as open until the backlog is taken.
    let _open = Open::of(&worker);
    while !worker.shared.ending() {
        tokio::select! {
            accepted = listener.accept() => {
                admit(&worker, accepted.map(|(stream, _)| stream), secure).await;
            }
            _ = life.changed() => {}
        }
    }
    while let Ok(accepted) = rustix::net::accept_with(&listener, FLAGS) {
        let stream = TcpStream::from_std(std::net::TcpStream::from(accepted));
        admit(&worker, stream, secure).await;
    }
}

/// Room for one more connection of this client, and why it is one too many, if it is. A client with more
/// than its share is told so, apart from the others; if many are being told, nobody waits for it.
async fn place(shared: &Shared, peer: IpAddr) -> Option<Admitted> {
    let client = {
        let settings = shared.settings.load();
        // One that is trusted speaks for many.
        if settings.trusts(peer) { Ok(None) } else { settings.share.connection(peer) }
    };
    match client {
        Ok(client) => {
            let (room, full) = room(shared).await?;
            Some(Admitted { _room: room, _client: client, over: full.then_some(Class::Full) })
        }
        Err(class) => {
            shared.totals.greedy.up();
            let room = Arc::clone(&shared.greedy).try_acquire_owned().ok()?;
            Some(Admitted { _room: room, _client: None, over: Some(class) })
        }
    }
}

/// A connection that was let in, for as long as it lasts.
struct Admitted {
    _room: OwnedSemaphorePermit,
    _client: Option<Client>,
    over: Option<Class>,
}

/// Room for one more connection, and whether it is one too many: that is told so and closed, and if
/// too many are being told at a time, it waits until somebody of either kind has gone, and those behind
/// it wait in the backlog.
async fn room(shared: &Shared) -> Option<(OwnedSemaphorePermit, bool)> {
    loop {
        if let Some(found) = room_now(shared) {
            return Some(found);
        }
        // Listens before it looks again, or it would miss who goes in between.
        let mut freed = pin!(shared.freed.notified());
        freed.as_mut().enable();
        if let Some(found) = room_now(shared) {
            return Some(found);
        }
        tokio::select! {
            () = freed => {}
            told = shared.overflow.acquire() => drop(told.ok()?),
        }
    }
}

fn room_now(shared: &Shared) -> Option<(OwnedSemaphorePermit, bool)> {
    let _door = shared.door();
    if shared.served() < shared.settings.load().connections
        && shared.files_for_a_client()
        && let Ok(room) = Arc::clone(&shared.room).try_acquire_owned()
    {
        return Some((room, false));
    }
    let room = Arc::clone(&shared.overflow).try_acquire_owned().ok()?;
    shared.totals.overflowed.up();
    Some((room, true))
}

/// Tells a client that it is one too many.
async fn tell(worker: &Rc<Worker>, stream: TcpStream, origin: Origin) {
    let told = async {
        if origin.secure {
            client::secure(worker, stream, origin).await;
        } else {
            client::plain(worker, stream, origin).await;
        }
    };
    // Too long is as good as done.
    let _ = timeout(limits::OVERFLOW_WHOLE, told).await;
}

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

async fn admit(worker: &Rc<Worker>, accepted: io::Result<TcpStream>, secure: bool) {
    match accepted {
        Ok(stream) => {
            let Ok(peer) = stream.peer_addr() else { return };
            let Some(admitted) = place(&worker.shared, peer.ip()).await else { return };
            let origin =
                Origin { peer: peer.ip(), secure, over: admitted.over, age: Age::begins() };
            let worker = Rc::clone(worker);
            // Counted before its task first runs: a thread that ends in between would lose it.
            let guards = (admitted, worker.shared.connected(), Open::of(&worker));
            spawn_local(async move {
                let _guards = guards;
                // Boxed, so that a plain connection does not hold the room of the others.
                if origin.over.is_some() {
                    Box::pin(tell(&worker, stream, origin)).await;
                } else if secure {
                    Box::pin(client::secure(&worker, stream, origin)).await;
                } else {
                    client::plain(&worker, stream, origin).await;
                }
            });
        }
        // The client has gone again: nothing of ours is wrong.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            sleep(limits::ACCEPT_PAUSE).await;
        }
    }
}
