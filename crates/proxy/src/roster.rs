//! The WebSockets of one thread, so that each can be asked to leave.
//!
//! Seats and tickets only: who is asked when is decided by `handover`, and what a WebSocket does then by
//! `talk`. All of it belongs to one thread, so a tunnel costs no lock.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use model::Farewell;
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// A WebSocket is to leave.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What its client is told.
    pub(crate) farewell: Farewell,
    /// Its place among those that leave at once; dropped when it has left, or does not.
    pub(crate) _place: OwnedSemaphorePermit,
}

/// What a WebSocket holds to hear that it is to leave.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    /// Instance it is on.
    gate: u64,
    /// It was asked, once and for all.
    called: Cell<bool>,
    asked: RefCell<Option<Asked>>,
    waker: RefCell<Option<Waker>>,
}

impl Ticket {
    /// Waits until it is asked.
    pub(crate) fn poll_asked(&self, context: &mut Context<'_>) -> Poll<Asked> {
        if let Some(asked) = self.asked.take() {
            return Poll::Ready(asked);
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// The instance it is on.
    pub(crate) const fn gate(&self) -> u64 {
        self.gate
    }

    /// True when it was asked.
    pub(crate) fn was_asked(&self) -> bool {
        self.called.get()
    }

    /// Asks it.
    pub(crate) fn ask(&self, asked: Asked) {
        self.called.set(true);
        *self.asked.borrow_mut() = Some(asked);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// All of a thread.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    seats: RefCell<Vec<Option<Rc<Ticket>>>>,
    free: RefCell<Vec<usize>>,
    /// Somebody has come.
    pub(crate) came: Notify,
}

impl Roster {
    /// A seat for a WebSocket on the instance of this gate, for as long as it lives.
    pub(crate) fn sit(&self, gate: u64) -> Seat<'_> {
        let ticket = Rc::new(Ticket { gate, ..Ticket::default() });
        let mut seats = self.seats.borrow_mut();
        let place = self.free.borrow_mut().pop().unwrap_or(seats.len());
        if place == seats.len() {
            seats.push(None);
        }
        seats[place] = Some(Rc::clone(&ticket));
        self.came.notify_waiters();
        Seat { roster: self, place, ticket }
    }

    /// One that was not asked yet, on an instance for which that is so.
    pub(crate) fn next(&self, of: impl Fn(u64) -> bool) -> Option<Rc<Ticket>> {
        let seats = self.seats.borrow();
        let waits = |ticket: &&Rc<Ticket>| !ticket.called.get() && of(ticket.gate);
        seats.iter().flatten().find(waits).cloned()
    }
}

/// A place in the roster.
pub(crate) struct Seat<'a> {
    roster: &'a Roster,
    place: usize,
    /// To hear with.
    pub(crate) ticket: Rc<Ticket>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.roster.seats.borrow_mut()[self.place] = None;
        self.roster.free.borrow_mut().push(self.place);
    }
}
