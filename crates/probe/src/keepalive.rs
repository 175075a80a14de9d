//! Lanes on connections that are kept: a pool used in turn, so that all stay warm, or one whose
//! connections rest for a random time before they are used again.
//!
//! A connection that was closed while idle is dropped before a request goes out on it and costs
//! nothing. One that closes after that is a lost request, and it is recorded as such.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use model::attempt::{Attempt, Connection, Ending};

use crate::exchange::{After, Words, exchange};
use crate::fresh::open;
use crate::http::{Answer, request};
use crate::site::Site;
use crate::stream::Stream;

/// Connections kept warm even when fewer would do: a cutover must be seen by more than one client.
const FLOOR: u32 = 8;

/// Most connections that rest at a time.
const RESTING_MAX: u32 = 1_000;

/// A pool of kept connections.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    site: Rc<Site>,
    request: Vec<u8>,
    idle: RefCell<VecDeque<Warm>>,
    /// Connections open, idle or in use.
    open: Cell<u32>,
    habit: Habit,
}

/// How a pool uses its connections.
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// In turn, at least so many.
    Warm(u32),
    /// Each after a random rest of at most so long, us.
    Resting(u64),
}

/// A connection between two requests.
#[derive(Debug)]
struct Warm {
    stream: Stream,
    record: Connection,
    /// When it may be used again, us.
    rested_us: u64,
}

impl KeepAlive {
    /// A pool for `rate` attempts per second; at a low rate it is small enough that each connection
    /// is used about once a second.
    pub(crate) fn warm(site: Rc<Site>, rate: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive rate, and a cast of what is too large saturates"
        )]
        let floor = (rate as u32).clamp(1, FLOOR);
        Self::new(site, Habit::Warm(floor))
    }

    /// A pool whose connections rest between two requests, each for a random time up to `most`.
    pub(crate) fn resting(site: Rc<Site>, most: Duration) -> Self {
        let most_us = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Self::new(site, Habit::Resting(most_us))
    }

    fn new(site: Rc<Site>, habit: Habit) -> Self {
        let request = request(&site.ask, &site.target, false);
        Self { site, request, idle: RefCell::default(), open: Cell::new(0), habit }
    }

    /// Carries one attempt to its end.
    pub(crate) async fn carry(&self, attempt: Attempt) {
        let attempt = self.say(&self.request, attempt).await;
        self.site.ledger.settle(attempt);
    }

    /// Says something else than usual for one attempt, which is given back at its end.
    pub(crate) async fn say(&self, request: &[u8], mut attempt: Attempt) -> Attempt {
        let Warm { mut stream, mut record, .. } = match self.idle_connection() {
            Some(warm) => warm,
            None => match self.new_connection(&mut attempt).await {
                Some(warm) => warm,
                None => return attempt,
            },
        };
        attempt.connection = record.connection;
        record.attempts += 1;
        let words = Words::plain(request);
        let mut answer = Answer::new(&self.site.reading);
        match exchange(&self.site, &mut stream, &words, &mut answer, &mut attempt).await {
            After::Reusable => self.keep(stream, record),
            After::Closing => self.end(record, Ending::AnnouncedByPeer),
            After::Ended(ending) => self.end(record, ending),
        }
        attempt
    }

    /// Drops idle connections that the peer has closed, and tells how long the others rest.
    pub(crate) fn sweep(&self) {
        let idle = self.idle.take();
        let (standing, ended): (VecDeque<_>, VecDeque<_>) = idle
            .into_iter()
            .map(|mut warm| (warm.stream.ending(), warm))
            .partition(|(e, _)| e.is_none());
        *self.idle.borrow_mut() = standing.into_iter().map(|(_, warm)| warm).collect();
        for (ending, warm) in ended {
            self.end(warm.record, ending.unwrap_or(Ending::IdleByPeer));
        }
        if matches!(self.habit, Habit::Resting(_)) {
            let latest = self.idle.borrow().iter().map(|warm| warm.rested_us).max();
            self.site.ledger.resting(latest.unwrap_or(0));
        }
    }

    /// Closes what is idle, at the end of the run.
    pub(crate) fn close(&self) {
        self.sweep();
        for warm in self.idle.take() {
            self.end(warm.record, Ending::ByUs);
        }
    }

    fn keep(&self, stream: Stream, record: Connection) {
        let rested_us = match self.habit {
            Habit::Warm(_) => 0,
            Habit::Resting(_) if self.open.get() > RESTING_MAX => {
                return self.end(record, Ending::ByUs);
            }
            Habit::Resting(most_us) => self.site.clock.us() + fastrand::u64(..=most_us),
        };
        self.idle.borrow_mut().push_back(Warm { stream, record, rested_us });
    }

    /// The least recently used one that still stands, once there are enough; or one that has rested.
    fn idle_connection(&self) -> Option<Warm> {
        loop {
            let mut warm = self.next_idle()?;
            match warm.stream.ending() {
                None => return Some(warm),
                Some(ending) => self.end(warm.record, ending),
            }
        }
    }

    fn next_idle(&self) -> Option<Warm> {
        let mut idle = self.idle.borrow_mut();
        match self.habit {
            Habit::Warm(floor) if self.open.get() < floor => None,
            Habit::Warm(_) => idle.pop_front(),
            Habit::Resting(_) => {
                let now_us = self.site.clock.us();
                let rested = idle.iter().position(|warm| warm.rested_us <= now_us)?;
                idle.remove(rested)
            }
        }
    }

    async fn new_connection(&self, attempt: &mut Attempt) -> Option<Warm> {
        self.open.set(self.open.get() + 1);
        let mut record = self.site.ledger.connection(attempt.lane);
        match open(&self.site, attempt, &mut record).await {
            Ok(stream) => Some(Warm { stream, record, rested_us: 0 }),
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
