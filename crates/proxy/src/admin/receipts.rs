//! Books of receipts, one for each prober, and what all threads have written into one.
//!
//! A book is begun when its prober's key is first named, before the prober asks anything. Receipts are
//! told by the threads themselves; what one of them does not tell in time is asked for again.

use std::sync::Arc;

use model::Fault;
use model::receipt::{Book, Question, Receipts, Told};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, timeout};

use super::Desk;
use crate::limits;
use crate::prober::Probers;
use crate::receipts::{Lines, Wanted, now_us};
use crate::worker::Control;

/// The books that are open.
#[derive(Debug, Default)]
pub(super) struct Books {
    last: u32,
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    key: String,
    serial: u32,
    since_us: u64,
    asked: Instant,
}

impl Books {
    /// Forgets the one of which this is true; gives its number.
    fn close(&mut self, which: impl Fn(&Open) -> bool) -> Option<u32> {
        let at = self.open.iter().position(which)?;
        Some(self.open.remove(at).serial)
    }

    fn probers(&self) -> Option<Arc<Probers>> {
        let known = self.open.iter().map(|open| (open.key.clone(), open.serial)).collect();
        (!self.open.is_empty()).then(|| Arc::new(Probers(known)))
    }
}

impl Desk {
    /// Begins a book, or goes on with it, and tells what is in it.
    pub(super) async fn receipts(&self, question: Question) -> Result<Receipts, Fault> {
        let Question { key, book: known, taken } = question;
        let (serial, since_us) = self.book(key);
        let book = Book { pid: std::process::id(), serial };
        let (answer, mut answers) = unbounded_channel();
        for (thread, worker) in self.workers.iter().enumerate() {
            let taken = taken.get(thread).copied().filter(|_| known == Some(book));
            let wanted = Wanted { book: serial, thread, taken: taken.unwrap_or_default() };
            // One that has ended tells nothing.
            let _ = worker.send(Control::Receipts(wanted, answer.clone()));
        }
        drop(answer);
        let mut threads = Vec::new();
        let collect = async {
            while let Some(lines) = answers.recv().await {
                threads.push(lines);
            }
        };
        let in_time = timeout(limits::NAMING, collect).await.is_ok();
        if !in_time || threads.len() != self.workers.len() {
            return Err(Fault::environment("a thread of the proxy does not tell its receipts")
                .help("ask again: nothing is forgotten that was not taken"));
        }
        threads.sort_by_key(|lines| lines.thread);
        Ok(Receipts { book, since_us, threads: threads.into_iter().map(told).collect() })
    }

    /// Keeps no more receipts for this key.
    pub(super) fn forget_receipts(&self, key: &str) {
        let closed = self.books.borrow_mut().close(|open| open.key == key);
        self.closed(closed);
    }

    /// The number of a key's book, and since when it is complete.
    fn book(&self, key: String) -> (u32, u64) {
        let asked = Instant::now();
        let mut books = self.books.borrow_mut();
        if let Some(open) = books.open.iter_mut().find(|open| open.key == key) {
            open.asked = asked;
            return (open.serial, open.since_us);
        }
        let oldest = books.open.iter().map(|open| open.asked).min();
        let full = books.open.len() >= limits::PROBERS;
        let closed = full.then(|| books.close(|open| Some(open.asked) == oldest)).flatten();
        books.last += 1;
        let serial = books.last;
        books.open.push(Open { key, serial, since_us: 0, asked });
        drop(books);
        self.closed(closed);
        // Only now is the book complete.
        let since_us = now_us();
        if let Some(open) = self.books.borrow_mut().open.last_mut() {
            open.since_us = since_us;
        }
        (serial, since_us)
    }

    /// Tells the threads who is a prober now, and of the book that was closed.
    fn closed(&self, closed: Option<u32>) {
        let settings = self.shared.settings.load().probed(self.books.borrow().probers());
        self.shared.settings.store(Arc::new(settings));
        if let Some(serial) = closed {
            self.tell(|| Control::Forget(serial));
        }
    }
}

/// Names each instance once.
fn told(lines: Lines) -> Told {
    let Lines { first, told: lines, left, lost, open, until_us, .. } = lines;
    let mut serials = Vec::new();
    let mut told = Told { first, left, lost, open, until_us, ..Told::default() };
    for line in lines {
        let place = line.gate.as_ref().map(|gate| {
            serials.iter().position(|serial| *serial == gate.serial).unwrap_or_else(|| {
                serials.push(gate.serial);
                told.names.push((gate.id.clone(), gate.release));
                serials.len() - 1
            })
        });
        let place = place.and_then(|place| u16::try_from(place).ok());
        told.receipts.push(line.receipt(place));
    }
    told
}
