//! What all connections of one sample app share: who it is, its phase, and what is open.
//!
//! It counts and remembers; it answers nothing and closes nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::StatusCode;
use tokio::sync::watch;
use tokio::time::Instant;

use super::book::Book;
use super::options::Options;
use super::route::Route;

/// How far the app is on its way out; only ever moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Nobody told it to stop.
    Serving,
    /// Told to stop: not ready, still answering.
    Stopping,
    /// Idle connections go now, sockets are closed with 1001.
    Closing,
}

/// Who answers, as put into headers and bodies.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) version: String,
    pub(super) instance: String,
}

/// What is open at this moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Requests whose last byte has not been handed over yet.
    pub(super) requests: u64,
    /// WebSockets, from the moment their upgrade was granted.
    pub(super) sockets: u64,
    /// TCP connections that speak HTTP (an upgraded one is a socket instead).
    pub(super) connections: u64,
    /// When the latest business request came, or the app began.
    pub(super) last_request: Instant,
}

/// Shared by every connection of one app.
#[derive(Debug)]
pub(super) struct State {
    pub(super) identity: Identity,
    pub(super) options: Options,
    pub(super) orders: Book,
    ready_at: Instant,
    phase: watch::Sender<Phase>,
    load: watch::Sender<Load>,
    business: AtomicU64,
    answers: Mutex<BTreeMap<(Route, StatusCode), u64>>,
}

impl State {
    /// The state of an app that begins to listen now.
    pub(super) fn new(options: Options) -> Arc<Self> {
        let now = Instant::now();
        let load = Load { requests: 0, sockets: 0, connections: 0, last_request: now };
        Arc::new(Self {
            identity: Identity {
                version: options.version.to_string(),
                instance: options.instance.clone(),
            },
            orders: Book::new(options.orders.clone()),
            ready_at: now + options.faults.ready_delay,
            options,
            phase: watch::Sender::new(Phase::Serving),
            load: watch::Sender::new(load),
            business: AtomicU64::new(0),
            answers: Mutex::default(),
        })
    }

    /// Tells everybody to stop; what is open goes on.
    pub(super) fn stop(&self) {
        self.enter(Phase::Stopping);
    }

    /// Moves on to `phase`; never back.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }

    /// True once it was told to stop.
    pub(super) fn stopping(&self) -> bool {
        *self.phase.borrow() >= Phase::Stopping
    }

    /// Resolves when `phase` or a later one is reached.
    pub(super) async fn reached(&self, phase: Phase) {
        // It cannot fail: the sender lives in `self`.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// True once the ready delay is over.
    pub(super) fn started(&self) -> bool {
        Instant::now() >= self.ready_at
    }

    /// What is open now.
    pub(super) fn load(&self) -> Load {
        *self.load.borrow()
    }

    /// Follows what is open.
    pub(super) fn watch_load(&self) -> watch::Receiver<Load> {
        self.load.subscribe()
    }

    /// Notes a business request and gives its number, from 1.
    pub(super) fn business_request(&self) -> u64 {
        self.load.send_modify(|load| load.last_request = Instant::now());
        self.business.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes an answer for the metrics.
    pub(super) fn answered(&self, route: Route, status: StatusCode) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry((route, status)).or_default() += 1;
    }

    /// Answers so far by route and status.
    pub(super) fn answers(&self) -> BTreeMap<(Route, StatusCode), u64> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What an [`Open`] counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Thing {
    Request,
    Socket,
    Connection,
}

/// Counts one open thing for as long as it lives.
#[derive(Debug)]
pub(super) struct Open {
    state: Arc<State>,
    thing: Thing,
}

impl Open {
    pub(super) fn new(state: &Arc<State>, thing: Thing) -> Self {
        state.load.send_modify(|load| *load.count(thing) += 1);
        Self { state: Arc::clone(state), thing }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.state.load.send_modify(|load| *load.count(self.thing) -= 1);
    }
}

impl Load {
    fn count(&mut self, thing: Thing) -> &mut u64 {
        match thing {
            Thing::Request => &mut self.requests,
            Thing::Socket => &mut self.sockets,
            Thing::Connection => &mut self.connections,
        }
    }
}
