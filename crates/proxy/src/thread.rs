//! What belongs to one worker thread alone.
//!
//! State only: who accepts and who carries requests stands elsewhere.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use crate::life::{Life, Shared};
use crate::log::Pen;
use crate::receipts::Receipts;
use crate::roster::Roster;
use crate::space::Space;
use crate::upstream::Upstreams;
use crate::visitors::Visitors;

/// What belongs to one thread.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Shared with the other threads.
    pub(crate) shared: Arc<Shared>,
    /// Idle connections to instances.
    pub(crate) upstreams: Upstreams,
    /// WebSockets that are open.
    pub(crate) roster: Roster,
    /// What is open on instances, by name.
    pub(crate) visitors: Rc<Visitors>,
    /// Writes the access log.
    pub(crate) pen: RefCell<Pen>,
    /// Receipts of requests of probers.
    pub(crate) receipts: Receipts,
    /// Memory for bodies that are gathered.
    pub(crate) space: Space,
    /// The process's life as this thread knows it. Who waits for its end beside a client puts itself on
    /// a list that has a lock, so each thread has its own.
    pub(crate) life: watch::Sender<Life>,
    open: Cell<usize>,
    /// Something has ended.
    pub(crate) closed: Notify,
}

impl Worker {
    /// A thread with nothing open.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            upstreams: Upstreams::default(),
            roster: Roster::default(),
            visitors: Rc::default(),
            pen: RefCell::default(),
            receipts: Receipts::default(),
            space: Space::default(),
            life: watch::Sender::new(Life::Running),
            open: Cell::new(0),
            closed: Notify::new(),
        }
    }

    /// Tells this thread what has become of the process.
    pub(crate) fn lives(&self, now: Life) {
        self.life.send_if_modified(|known| std::mem::replace(known, now) != now);
    }

    /// True when nothing is left that the thread must not end before.
    pub(crate) fn idle(&self) -> bool {
        self.open.get() == 0
    }
}

/// Something the worker must not end before.
pub(crate) struct Open(Rc<Worker>);

impl Open {
    /// Counts until it is dropped.
    pub(crate) fn of(worker: &Rc<Worker>) -> Self {
        worker.open.set(worker.open.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
        self.0.closed.notify_one();
    }
}
