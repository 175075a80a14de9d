//! What all threads share, and whether the process still takes work.
//!
//! The request path only reads from here; nothing in it is guarded by a lock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use crate::counters::Totals;
use crate::files::Files;
use crate::limits;
use crate::log::Log;
use crate::settings::Settings;
use crate::table::Table;
use crate::tls::Tls;

/// Whether the process takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It does.
    Running,
    /// It finishes what is open, until then at most.
    Ending(Instant),
}

/// Shared by all threads.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The routes of now.
    pub(crate) table: ArcSwap<Table>,
    /// What holds for all apps.
    pub(crate) settings: ArcSwap<Settings>,
    /// Where requests are written down.
    pub(crate) log: ArcSwapOption<Log>,
    /// What is counted of no app.
    pub(crate) totals: Arc<Totals>,
    /// Cheap form of "not running", for the request path.
    ending: AtomicBool,
    life: watch::Sender<Life>,
    linger_ms: AtomicU64,
    connections: AtomicU64,
    tunnelling: AtomicU64,
    /// Connections to instances, idle ones too.
    upstream: AtomicU64,
    files: Files,
    /// Somebody who counts against the room has gone.
    pub(crate) freed: Notify,
    /// When the process was started, by the wall clock.
    pub(crate) started: SystemTime,
    /// Upgrades that led to it.
    pub(crate) upgrades: AtomicU64,
    /// Nobody has spoken to the proxy for a while.
    pub(crate) unattended: AtomicBool,
    /// Room for client connections.
    pub(crate) room: Arc<Semaphore>,
    door: Mutex<()>,
    /// Room for those beyond it, which are answered and no more.
    pub(crate) overflow: Arc<Semaphore>,
    /// Room for those of clients that have more than their share, which are answered and no more.
    pub(crate) greedy: Arc<Semaphore>,
    /// Certificates and session tickets.
    pub(crate) tls: Tls,
}

impl Shared {
    /// With room for so many connections.
    pub(crate) fn new(files: Files, tls: Tls) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::default()),
            settings: ArcSwap::from_pointee(Settings::default()),
            log: ArcSwapOption::empty(),
            totals: Arc::default(),
            ending: AtomicBool::new(false),
            life: watch::Sender::new(Life::Running),
            linger_ms: AtomicU64::new(ms(limits::IDLE_LINGER)),
            connections: AtomicU64::new(0),
            tunnelling: AtomicU64::new(0),
            upstream: AtomicU64::new(0),
            files,
            freed: Notify::new(),
            started: SystemTime::now(),
            upgrades: AtomicU64::new(0),
            unattended: AtomicBool::new(false),
            room: Arc::new(Semaphore::new(files.clients)),
            door: Mutex::new(()),
            overflow: Arc::new(Semaphore::new(files.told)),
            greedy: Arc::new(Semaphore::new(files.told)),
            tls,
        }
    }

    /// True once the process is ending.
    pub(crate) fn ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Follows the process's life.
    pub(crate) fn life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    /// Ends the process by then; an earlier deadline than the present one hurries it.
    pub(crate) fn end(&self, deadline: Instant) {
        self.ending.store(true, Ordering::Relaxed);
        self.life.send_if_modified(|life| {
            let sooner = match *life {
                Life::Running => true,
                Life::Ending(present) => deadline < present,
            };
            if sooner {
                *life = Life::Ending(deadline);
            }
            sooner
        });
    }

    /// From now on an idle connection stays for so long once the process is ending.
    pub(crate) fn linger(&self, lasting: Duration) {
        self.linger_ms.store(ms(lasting), Ordering::Relaxed);
    }

    /// How long an idle connection stays once the process is ending.
    pub(crate) fn lingering(&self) -> Duration {
        Duration::from_millis(self.linger_ms.load(Ordering::Relaxed))
    }

    /// Client connections open now.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Client connections that are served, or about to be: not those that are only told that they are one too many.
    pub(crate) fn served(&self) -> u64 {
        self.files.clients.saturating_sub(self.room.available_permits()) as u64
    }

    /// Whoever holds this is the only one who lets a client in: two who counted at once would let in one too many.
    pub(crate) fn door(&self) -> MutexGuard<'_, ()> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sockets of clients that are served, and to instances.
    fn carried(&self) -> u64 {
        self.served() + self.upstream.load(Ordering::Relaxed)
    }

    /// True while open files allow another client, and then a connection to an instance for it.
    pub(crate) fn files_for_a_client(&self) -> bool {
        self.files.lets_in(self.carried())
    }

    /// A place for another connection to an instance, for as long as the guard lives.
    pub(crate) fn reach(self: &Arc<Self>) -> Option<Reaching> {
        self.upstream.fetch_add(1, Ordering::Relaxed);
        let place = Reaching(Arc::clone(self));
        (self.carried() <= self.files.carry).then_some(place)
    }

    /// Counts a client connection for as long as the guard lives.
    pub(crate) fn connected(self: &Arc<Self>) -> Connected {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.totals.connections.up();
        Connected(Arc::clone(self))
    }

    /// Client connections that carry a tunnel and nothing beside it.
    pub(crate) fn tunnelling(&self) -> u64 {
        self.tunnelling.load(Ordering::Relaxed)
    }

    /// Counts a client connection as such for as long as the guard lives.
    pub(crate) fn tunnels(&self) -> Tunnelling<'_> {
        self.tunnelling.fetch_add(1, Ordering::Relaxed);
        Tunnelling(self)
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One open client connection.
#[derive(Debug)]
pub(crate) struct Connected(Arc<Shared>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_one();
    }
}

/// One connection to an instance.
#[derive(Debug)]
pub(crate) struct Reaching(Arc<Shared>);

impl Drop for Reaching {
    fn drop(&mut self) {
        self.0.upstream.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_one();
    }
}

/// A client connection that carries a tunnel and nothing beside it.
#[derive(Debug)]
pub(crate) struct Tunnelling<'a>(&'a Shared);

impl Drop for Tunnelling<'_> {
    fn drop(&mut self) {
        self.0.tunnelling.fetch_sub(1, Ordering::Relaxed);
    }
}
