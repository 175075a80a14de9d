//! The WebSocket lane: long-lived sockets that carry numbered messages and expect them back.
//!
//! The lane deals attempts out to its slots in turn. A slot is one user: it has one socket at a time, and a
//! successor when that one ends or is asked to move. What happens on one socket is in `socket`; when a
//! message is due is the schedule's.

mod echo;
#[cfg(test)]
mod fuzz;
mod slot;
mod socket;
mod upgrade;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use model::attempt::{Attempt, Lane};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::options::Options;
use crate::site::Site;
use echo::Numbering;
use slot::{Input, Slot};
use upgrade::{Endpoint, upgrade};

/// How long the closing handshakes may take at the end of the run.
const GOODBYE: Duration = Duration::from_secs(2);

/// The lane.
#[derive(Debug)]
pub(crate) struct Websocket {
    slots: Vec<UnboundedSender<Input>>,
    tasks: RefCell<Vec<JoinHandle<()>>>,
    turn: Cell<usize>,
}

impl Websocket {
    /// Opens the sockets. The error says why the target does not serve this lane; a target that
    /// cannot be reached at the moment is not such an error, its attempts will fail.
    pub(crate) async fn start(site: &Rc<Site>, options: &Options) -> Result<Self, String> {
        let endpoint = Rc::new(Endpoint {
            site: Rc::clone(site),
            path: options.websocket_path.clone(),
            numbering: Numbering::new(site.clock.t0_ns),
        });
        let first = (0..options.sockets).map(|_| {
            let mut record = site.ledger.connection(Lane::Websocket);
            let endpoint = &endpoint;
            async move {
                let result = upgrade(endpoint, &mut record).await;
                (record, result)
            }
        });
        let first = join_all(first).await;
        if !first.iter().any(|(_, result)| result.is_ok()) {
            let unserved = first.iter().find_map(|(_, result)| result.as_ref().err()?.unserved());
            if let Some(reason) = unserved {
                for _ in &first {
                    site.ledger.forget_connection();
                }
                return Err(reason);
            }
        }
        let mut slots = Vec::new();
        let mut tasks = Vec::new();
        for (record, result) in first {
            let (inbox, received) = unbounded_channel();
            let slot = Slot::new(Rc::clone(&endpoint), inbox.clone());
            // The receiver is held by the task below.
            let _ = inbox.send(Input::Opened { record, result });
            tasks.push(tokio::task::spawn_local(slot.run(received)));
            slots.push(inbox);
        }
        Ok(Self { slots, tasks: RefCell::new(tasks), turn: Cell::new(0) })
    }

    /// Takes one attempt; its slot settles it. Gives it back if the lane has ended.
    pub(crate) fn carry(&self, attempt: Attempt) -> Option<Attempt> {
        let turn = self.turn.get();
        self.turn.set((turn + 1) % self.slots.len().max(1));
        let Some(slot) = self.slots.get(turn) else { return Some(attempt) };
        match slot.send(Input::Ticket(attempt)).err()?.0 {
            Input::Ticket(attempt) => Some(attempt),
            _ => None,
        }
    }

    /// Closes every socket, at the end of the run.
    pub(crate) async fn close(&self) {
        for slot in &self.slots {
            // A slot that has ended needs no word.
            let _ = slot.send(Input::Close);
        }
        let tasks = self.tasks.take();
        if tokio::time::timeout(GOODBYE, join_all(tasks)).await.is_err() {
            tracing::warn!("some sockets did not close in time");
        }
    }
}
