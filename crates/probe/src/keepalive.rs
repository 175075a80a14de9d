//! The keep-alive lane: a pool of connections that are used in turn, so that all stay warm.
//!
//! A connection that was closed while idle is dropped before a request goes out on it and costs
//! nothing. One that closes after that is a lost request, and it is recorded as such.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use model::attempt::{Attempt, Connection, Ending, Lane};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::net::TcpStream;

use crate::exchange::{After, exchange};
use crate::fresh::open;
use crate::http::request;
use crate::site::Site;

/// Connections kept warm even when fewer would do: a cutover must be seen by more than one client.
const FLOOR: u32 = 8;

/// The lane.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    site: Rc<Site>,
    request: Vec<u8>,
    idle: RefCell<VecDeque<Warm>>,
    /// Connections open, idle or in use.
    open: Cell<u32>,
    floor: u32,
}

/// A connection between two requests.
#[derive(Debug)]
struct Warm {
    stream: TcpStream,
    record: Connection,
}

impl KeepAlive {
    /// A pool for `rate` attempts per second; at a low rate it is small enough that each connection
    /// is used about once a second.
    pub(crate) fn new(site: Rc<Site>, rate: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive rate, and a cast of what is too large saturates"
        )]
        let floor = (rate as u32).clamp(1, FLOOR);
        let request = request(&site.target, false);
        Self { site, request, idle: RefCell::default(), open: Cell::new(0), floor }
    }

    /// Carries one attempt to its end.
    pub(crate) async fn carry(&self, mut attempt: Attempt) {
        let ledger = &self.site.ledger;
        let Warm { mut stream, mut record } = match self.idle_connection() {
            Some(warm) => warm,
            None => match self.new_connection(&mut attempt).await {
                Some(warm) => warm,
                None => return ledger.settle(attempt),
            },
        };
        attempt.connection = record.connection;
        record.attempts += 1;
        let after = exchange(&self.site, &mut stream, &self.request, &mut attempt).await;
        ledger.settle(attempt);
        match after {
            After::Reusable => self.idle.borrow_mut().push_back(Warm { stream, record }),
            After::Closing => self.end(record, Ending::AnnouncedByPeer),
            After::Ended(ending) => self.end(record, ending),
        }
    }

    /// Drops idle connections that the peer has closed.
    pub(crate) fn sweep(&self) {
        let idle = self.idle.take();
        let (standing, ended): (VecDeque<_>, VecDeque<_>) = idle
            .into_iter()
            .map(|warm| (ending(&warm.stream), warm))
            .partition(|(e, _)| e.is_none());
        *self.idle.borrow_mut() = standing.into_iter().map(|(_, warm)| warm).collect();
        for (ending, warm) in ended {
            self.end(warm.record, ending.unwrap_or(Ending::IdleByPeer));
        }
    }

    /// Closes what is idle, at the end of the run.
    pub(crate) fn close(&self) {
        self.sweep();
        for warm in self.idle.take() {
            self.end(warm.record, Ending::ByUs);
        }
    }

    /// The least recently used one that still stands, once there are enough.
    fn idle_connection(&self) -> Option<Warm> {
        loop {
            if self.open.get() < self.floor {
                return None;
            }
            let warm = self.idle.borrow_mut().pop_front()?;
            match ending(&warm.stream) {
                None => return Some(warm),
                Some(ending) => self.end(warm.record, ending),
            }
        }
    }

    async fn new_connection(&self, attempt: &mut Attempt) -> Option<Warm> {
        self.open.set(self.open.get() + 1);
        let mut record = self.site.ledger.connection(Lane::KeepAlive);
        match open(&self.site, attempt, &mut record).await {
            Ok(stream) => Some(Warm { stream, record }),
            Err(failure) => {
                failure.tell(attempt);
                self.end(record, Ending::Failed);
                None
            }
        }
    }

    fn end(&self, record: Connection, ending: Ending) {
        self.open.set(self.open.get() - 1);
        self.site.ledger.end_connection(record, ending);
    }
}

/// How an idle connection has ended, if it has. Asks the kernel itself: the runtime may not have
/// heard of the end yet. Bytes that nobody asked for (some servers send a 408) end it too.
fn ending(stream: &TcpStream) -> Option<Ending> {
    let mut byte = [0_u8];
    match recv(stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Err(Errno::AGAIN | Errno::INTR) => None,
        Ok(_) => Some(Ending::IdleByPeer),
        Err(_) => Some(Ending::Reset),
    }
}
