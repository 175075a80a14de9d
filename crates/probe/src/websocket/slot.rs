//! One user of the WebSocket lane: a socket, and its successor when it ends or must move.
//!
//! A message waits while no socket stands, and its latency shows it. A socket that cannot be opened
//! fails the messages that wait for it; the next message tries again. Nothing is sent twice. Who is sent
//! away again and again follows no more often than once a second, but for a message that needs a socket.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use model::attempt::{Attempt, Connection, Ending, Lane};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::socket::{News, Order, Socket};
use super::upgrade::{Endpoint, Open, Refusal, upgrade};

/// Between two successors that nobody waits for.
const PAUSE: Duration = Duration::from_secs(1);

/// What a slot is told.
#[derive(Debug)]
pub(super) enum Input {
    /// An attempt to carry.
    Ticket(Attempt),
    /// An opening has come to its end.
    Opened { record: Connection, result: Result<Box<Open>, Refusal> },
    /// Word from a socket.
    News { connection: u32, news: News },
    /// It is time for the successor that was put off.
    Follow,
    /// The run is over.
    Close,
}

/// One user.
#[derive(Debug)]
pub(super) struct Slot {
    endpoint: Rc<Endpoint>,
    inbox: UnboundedSender<Input>,
    current: Option<Standing>,
    /// The newest socket that ever stood.
    last: Option<u32>,
    /// A successor is being opened.
    opening: bool,
    /// The app has asked for a successor, and there is none yet.
    asked_to_move: bool,
    followed: Followed,
    waiting: Vec<Attempt>,
    /// Which socket took over from which.
    heirs: BTreeMap<u32, u32>,
    /// Sockets that have not ended.
    alive: u32,
    last_echo_us: Rc<Cell<u64>>,
    closing: bool,
}

/// The last successor that no message waited for.
#[derive(Clone, Copy, Debug)]
enum Followed {
    Never,
    At(u64),
    /// It is too soon for another one, which will be opened.
    PutOff,
}

#[derive(Debug)]
struct Standing {
    connection: u32,
    orders: UnboundedSender<Order>,
}

impl Slot {
    /// A slot whose first socket is being opened.
    pub(super) fn new(endpoint: Rc<Endpoint>, inbox: UnboundedSender<Input>) -> Self {
        Self {
            endpoint,
            inbox,
            current: None,
            last: None,
            opening: true,
            asked_to_move: false,
            followed: Followed::Never,
            waiting: Vec::new(),
            heirs: BTreeMap::new(),
            alive: 0,
            last_echo_us: Rc::default(),
            closing: false,
        }
    }

    /// Lives until the run is over and every socket has ended.
    pub(super) async fn run(mut self, mut received: UnboundedReceiver<Input>) {
        while let Some(input) = received.recv().await {
            match input {
                Input::Ticket(attempt) => self.carry(attempt),
                Input::Opened { record, result: Ok(open) } => self.opened(record, *open),
                Input::Opened { record, result: Err(refusal) } => self.refused(record, &refusal),
                Input::News { connection, news } => self.hear(connection, news),
                Input::Follow => {
                    self.followed = Followed::Never;
                    if self.asked_to_move || self.current.is_none() {
                        self.follow();
                    }
                }
                Input::Close => self.close(),
            }
            if self.closing && self.alive == 0 && !self.opening {
                return;
            }
        }
    }

    fn carry(&mut self, attempt: Attempt) {
        if self.asked_to_move {
            self.follow();
        }
        let order = Order::Carry(attempt);
        let refused = match &self.current {
            Some(standing) => standing.orders.send(order).err().map(|refused| refused.0),
            None => Some(order),
        };
        if let Some(Order::Carry(attempt)) = refused {
            self.current = None;
            self.waiting.push(attempt);
            self.open_successor();
        }
    }

    /// Opens a successor that no message waits for: at once, unless that was done a moment ago.
    fn follow(&mut self) {
        let now_us = self.endpoint.site.clock.us();
        let left = match self.followed {
            Followed::Never => Duration::ZERO,
            Followed::At(us) => {
                PAUSE.saturating_sub(Duration::from_micros(now_us.saturating_sub(us)))
            }
            Followed::PutOff => return,
        };
        if left.is_zero() {
            self.followed = Followed::At(now_us);
            return self.open_successor();
        }
        self.followed = Followed::PutOff;
        let inbox = self.inbox.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(left).await;
            // The run may be over.
            let _ = inbox.send(Input::Follow);
        });
    }

    fn open_successor(&mut self) {
        if self.opening || self.closing {
            return;
        }
        self.opening = true;
        let mut record = self.endpoint.site.ledger.connection(Lane::Websocket);
        if let Some(last) = self.last {
            self.heirs.insert(last, record.connection);
        }
        let endpoint = Rc::clone(&self.endpoint);
        let inbox = self.inbox.clone();
        tokio::task::spawn_local(async move {
            let result = upgrade(&endpoint, &mut record).await;
            // The slot lives as long as something is being opened.
            let _ = inbox.send(Input::Opened { record, result });
        });
    }

    fn opened(&mut self, record: Connection, open: Open) {
        self.opening = false;
        self.asked_to_move = false;
        self.alive += 1;
        let established_us = record.established_us;
        let (orders, received) = unbounded_channel();
        let standing = Standing { connection: record.connection, orders };
        let socket = Socket::new(Rc::clone(&self.endpoint), record, open, received)
            .after(Rc::clone(&self.last_echo_us));
        let connection = standing.connection;
        self.last = Some(connection);
        let inbox = self.inbox.clone();
        tokio::task::spawn_local(socket.run(move |news| {
            // The slot outlives its sockets.
            let _ = inbox.send(Input::News { connection, news });
        }));
        if let Some(old) = self.current.replace(standing) {
            // One that has ended already needs no word.
            let _ = old.orders.send(Order::Leave);
        }
        for mut attempt in std::mem::take(&mut self.waiting) {
            attempt.connected_us = established_us;
            self.carry(attempt);
        }
        if self.closing {
            self.close();
        }
    }

    fn refused(&mut self, record: Connection, refusal: &Refusal) {
        self.opening = false;
        let ledger = &self.endpoint.site.ledger;
        if self.waiting.is_empty() && self.asked_to_move && !self.closing {
            // Nobody waits for it, but a user who does as he is told fails here.
            self.waiting.push(ledger.take(Lane::Websocket, self.endpoint.site.clock.us()));
        }
        for mut attempt in std::mem::take(&mut self.waiting) {
            attempt.class = refusal.failure.class;
            attempt.detail = Some(refusal.failure.detail.clone());
            attempt.status = refusal.status;
            ledger.settle(attempt);
        }
        ledger.end_connection(record, Ending::Failed);
    }

    fn hear(&mut self, connection: u32, news: News) {
        let is_current = self.current.as_ref().is_some_and(|now| now.connection == connection);
        match news {
            News::AskedToMove => {
                if is_current {
                    self.asked_to_move = true;
                    self.follow();
                }
            }
            News::Closing => {
                if is_current {
                    self.lose();
                }
            }
            News::Ended(end) => {
                if is_current {
                    self.lose();
                }
                self.alive -= 1;
                let mut record = end.record;
                record.successor = self.heirs.remove(&connection);
                self.endpoint.site.ledger.end_connection(record, end.ending);
                for attempt in end.unsent {
                    self.carry(attempt);
                }
            }
        }
    }

    /// The current socket is lost: a user opens a new one.
    fn lose(&mut self) {
        self.current = None;
        self.follow();
    }

    fn close(&mut self) {
        self.closing = true;
        if let Some(standing) = self.current.take() {
            // One that has ended already needs no word.
            let _ = standing.orders.send(Order::Leave);
        }
    }
}
