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
use futures_util::{SinkExt as _, StreamExt as _};
use model::attempt::{Attempt, Connection, Lane};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use crate::options::Options;
use crate::site::Site;
use crate::trial::PATIENCE;
use echo::Numbering;
use slot::{Input, Slot};
use upgrade::{Endpoint, Open, Refusal, upgrade};

/// A socket of the beginning, or why it is none.
type First = (Connection, Result<Box<Open>, Refusal>);

/// Why the lane is not served, as far as the first sockets show it. Where nobody named the lane one must stand, and
/// send a message back.
async fn unserved(endpoint: &Endpoint, first: &mut [First]) -> Option<String> {
    let if_served = endpoint.site.if_served;
    let stands = first.iter_mut().find_map(|(_, result)| result.as_mut().ok());
    match stands {
        Some(open) if if_served => silent(endpoint, open).await,
        Some(_) => None,
        None => first.iter().find_map(|(_, result)| result.as_ref().err()?.unserved(if_served)),
    }
}

/// Sends a message outside the count; the reason when it does not come back.
async fn silent(endpoint: &Endpoint, open: &mut Open) -> Option<String> {
    let patience = PATIENCE.min(endpoint.site.timeout);
    let echoed = tokio::time::timeout(patience, async {
        let text = endpoint.numbering.text(TRIAL);
        open.stream.send(Message::text(text)).await.ok()?;
        while let Some(Ok(message)) = open.stream.next().await {
            let text = message.to_text().unwrap_or_default();
            if endpoint.numbering.find(text) == Some(TRIAL) {
                return Some(());
            }
        }
        None
    });
    match echoed.await {
        Ok(Some(())) => None,
        Ok(None) => Some("tried once: the socket ended in place of an echo".to_owned()),
        Err(_) => Some(format!(
            "tried once: a message was not sent back within {} ms",
            patience.as_millis()
        )),
    }
}

/// How long the closing handshakes may take at the end of the run.
const GOODBYE: Duration = Duration::from_secs(2);

/// The number of a message that no attempt has.
const TRIAL: u64 = u64::MAX;

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
        let mut first = join_all(first).await;
        if let Some(reason) = unserved(&endpoint, &mut first).await {
            for _ in &first {
                site.ledger.forget_connection();
            }
            return Err(reason);
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
