//! Receipts: what is written down of each request of a prober, for whoever asks for it one by one.
//!
//! Each thread has a ring of its own for each prober's book and tells it when it is asked, so no request
//! waits for anybody. What was taken is forgotten; when there is no room the oldest
//! one goes, and that is counted. Whose requests these are is known by `prober`. Nothing is compared here.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use model::receipt::{self, End, Item};
use rustix::time::{ClockId, clock_gettime};

use crate::class::Class;
use crate::gate::Gate;
use crate::limits;
use crate::prober::Stub;
use crate::trail::Trail;

/// The receipts of one thread.
#[derive(Debug, Default)]
pub(crate) struct Receipts(RefCell<Vec<Ring>>);

/// Those of one book.
#[derive(Debug)]
struct Ring {
    book: u32,
    /// How many came before the first in `lines`.
    first: u64,
    lost: u64,
    open: u64,
    lines: VecDeque<Line>,
}

/// One receipt.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Who was asked last.
    pub(crate) gate: Option<Arc<Gate>>,
    received_us: u64,
    id: u32,
    took_us: u32,
    status: u16,
    sends: u8,
    unread: u8,
    end: End,
    socket: bool,
}

/// A question for one thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The book.
    pub(crate) book: u32,
    /// Number of the thread.
    pub(crate) thread: usize,
    /// So many are known.
    pub(crate) taken: u64,
}

/// What a thread answers.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Its number.
    pub(crate) thread: usize,
    /// How many came before the first of `told`.
    pub(crate) first: u64,
    /// In the order in which they ended.
    pub(crate) told: Vec<Line>,
    /// How many there are beyond these.
    pub(crate) left: u64,
    /// How many there was no room for.
    pub(crate) lost: u64,
    /// Requests that have not ended.
    pub(crate) open: u64,
    /// When this was said, us.
    pub(crate) until_us: u64,
}

impl Receipts {
    /// A request of a prober is under way.
    pub(crate) fn begin(&self, stub: Stub) {
        let mut rings = self.0.borrow_mut();
        if let Some(ring) = rings.iter_mut().find(|ring| ring.book == stub.book) {
            ring.open += 1;
        } else {
            rings.push(Ring { open: 1, ..Ring::of(stub.book) });
        }
    }

    /// It has ended.
    pub(crate) fn end(&self, stub: Stub, trail: &Trail, took: Duration) {
        // A book that was forgotten meanwhile wants nothing more.
        if let Some(ring) = self.0.borrow_mut().iter_mut().find(|ring| ring.book == stub.book) {
            ring.open = ring.open.saturating_sub(1);
            ring.add(Line::of(stub.item, trail, took));
        }
    }

    /// Forgets what was taken and tells what comes next.
    pub(crate) fn tell(&self, wanted: Wanted) -> Lines {
        let mut rings = self.0.borrow_mut();
        let ring = rings.iter_mut().find(|ring| ring.book == wanted.book);
        ring.map_or_else(|| Ring::of(wanted.book).tell(wanted), |ring| ring.tell(wanted))
    }

    /// Keeps nothing more of a book.
    pub(crate) fn forget(&self, book: u32) {
        self.0.borrow_mut().retain(|ring| ring.book != book);
    }
}

impl Ring {
    /// It stays small as long as it is read, and has its limit when it is not.
    const fn of(book: u32) -> Self {
        Self { book, first: 0, lost: 0, open: 0, lines: VecDeque::new() }
    }

    fn add(&mut self, line: Line) {
        if self.lines.len() >= limits::RECEIPTS {
            self.lines.pop_front();
            self.first += 1;
            self.lost += 1;
        }
        self.lines.push_back(line);
    }

    fn tell(&mut self, Wanted { thread, taken, .. }: Wanted) -> Lines {
        while self.first < taken && self.lines.pop_front().is_some() {
            self.first += 1;
        }
        let told: Vec<Line> = self.lines.iter().take(limits::RECEIPTS_TOLD).cloned().collect();
        let left = (self.lines.len() - told.len()) as u64;
        let (first, lost, open) = (self.first, self.lost, self.open);
        Lines { thread, first, told, left, lost, open, until_us: now_us() }
    }
}

impl Line {
    fn of(item: Item, trail: &Trail, took: Duration) -> Self {
        let took_us = took.as_micros();
        let (id, socket) = match item {
            Item::Attempt(id) => (id, false),
            Item::Socket(id) => (id, true),
        };
        Self {
            gate: trail.gate.clone(),
            received_us: now_us().saturating_sub(u64::try_from(took_us).unwrap_or(u64::MAX)),
            id,
            took_us: u32::try_from(took_us).unwrap_or(u32::MAX),
            status: trail.status,
            sends: trail.sends,
            unread: trail.unread,
            end: end(trail),
            socket,
        }
    }

    /// The receipt; `instance` is the place of its instance's name.
    pub(crate) const fn receipt(&self, instance: Option<u16>) -> receipt::Receipt {
        let item = if self.socket { Item::Socket(self.id) } else { Item::Attempt(self.id) };
        let Self { received_us, took_us, status, sends, unread, end, .. } = *self;
        receipt::Receipt { item, received_us, took_us, instance, status, sends, unread, end }
    }
}

/// How a request ended. Whether an answer that began was an instance's is not told by its status: an
/// instance may say 504 too.
fn end(trail: &Trail) -> End {
    if trail.own {
        return End::Own;
    }
    match (trail.class, trail.first) {
        (None, Some(_)) if trail.tunnel.is_some() => End::Tunnel,
        (None, Some(_)) => End::Whole,
        (Some(Class::Injected), _) => End::Injected,
        // It was silent for too long, or everything took too long: too late for an answer of our own.
        (Some(Class::Cut | Class::Overdue), Some(_)) => End::Cut,
        // Also a client that stopped sending the request, or broke its framing, in mid-answer.
        (Some(Class::ClientGone), _) | (Some(_), Some(_)) => End::ClientGone,
        (_, None) => End::Own,
    }
}

/// CLOCK_MONOTONIC, us.
pub(crate) fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |of: i64| u64::try_from(of).unwrap_or_default();
    part(now.tv_sec).saturating_mul(1_000_000).saturating_add(part(now.tv_nsec) / 1_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::receipt::Item;

    use super::{Line, Receipts, Wanted};
    use crate::age::Age;
    use crate::forwarded::Origin;
    use crate::limits;
    use crate::prober::Stub;
    use crate::trail::Trail;

    fn told(receipts: &Receipts, taken: u64) -> (Vec<u32>, u64, u64, u64, u64) {
        let told = receipts.tell(Wanted { book: 1, thread: 0, taken });
        let ids = told.told.iter().map(|line| line.id).collect();
        (ids, told.first, told.left, told.lost, told.open)
    }

    fn trail() -> Trail {
        let peer = "10.0.0.9".parse().unwrap();
        Trail::new(Origin { peer, secure: false, over: None, age: Age::begins() })
    }

    /// Writes down these, which begin and end.
    fn write(receipts: &Receipts, ids: std::ops::Range<u32>) {
        let trail = trail();
        for id in ids {
            let stub = Stub { book: 1, item: Item::Attempt(id) };
            receipts.begin(stub);
            receipts.end(stub, &trail, Duration::from_millis(1));
        }
    }

    #[test]
    fn a_receipt_is_small() {
        assert!(size_of::<Line>() <= 32, "{}", size_of::<Line>());
    }

    #[test]
    fn what_was_not_taken_is_told_again_and_what_was_is_not() {
        let receipts = Receipts::default();
        assert_eq!(told(&receipts, 0), (vec![], 0, 0, 0, 0));
        write(&receipts, 5..8);
        assert_eq!(told(&receipts, 0), (vec![5, 6, 7], 0, 0, 0, 0));
        assert_eq!(told(&receipts, 0), (vec![5, 6, 7], 0, 0, 0, 0));
        assert_eq!(told(&receipts, 2), (vec![7], 2, 0, 0, 0));
        // Somebody who knows nothing learns that he came too late for two.
        assert_eq!(told(&receipts, 0), (vec![7], 2, 0, 0, 0));
        // Nobody can have taken what is not there.
        assert_eq!(told(&receipts, 9), (vec![], 3, 0, 0, 0));
        receipts.begin(Stub { book: 1, item: Item::Attempt(8) });
        receipts.begin(Stub { book: 2, item: Item::Attempt(8) });
        assert_eq!(told(&receipts, 3), (vec![], 3, 0, 0, 1));
        receipts.forget(1);
        write(&receipts, 9..9);
        assert_eq!(told(&receipts, 3), (vec![], 0, 0, 0, 0));
    }

    #[test]
    fn when_there_is_no_room_the_oldest_goes_and_is_counted() {
        let receipts = Receipts::default();
        let room = u32::try_from(limits::RECEIPTS).unwrap();
        write(&receipts, 0..room + 3);
        let (ids, first, left, lost, open) = told(&receipts, 0);
        assert_eq!((ids[0], first, lost, open), (3, 3, 3, 0));
        assert_eq!(ids.len(), limits::RECEIPTS_TOLD);
        assert_eq!(left, (limits::RECEIPTS - limits::RECEIPTS_TOLD) as u64);
        assert_eq!(
            told(&receipts, 3 + ids.len() as u64).0[0],
            3 + u32::try_from(ids.len()).unwrap()
        );
    }
}
