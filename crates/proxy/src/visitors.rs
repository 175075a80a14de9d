//! Who is inside the gates: what this thread has open on instances, by method, path and age, so that a
//! drain can name what it waits for.
//!
//! Who enters leaves a copy of its first words in a place that is there already: nothing is allocated for
//! it, and nothing is shared with other threads. They are read only when somebody asks. Queries, which may
//! hold secrets, are never copied.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use memchr::{memchr, memchr2};

use crate::gate::{Entry, Gate};

/// Bytes of method and path that are kept of each.
const WORDS: usize = 96;
/// Places beyond these are given back when nobody is inside.
const PLACES: usize = 1024;

/// One place in the book.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Number of the gate; `None` when nobody has it.
    gate: Option<u64>,
    began: Instant,
    tunnel: bool,
    length: u8,
    words: [u8; WORDS],
}

#[derive(Debug, Default)]
struct Book {
    places: Vec<Place>,
    free: Vec<usize>,
}

/// All of a thread.
#[derive(Debug, Default)]
pub(crate) struct Visitors(RefCell<Book>);

/// What is asked of every thread.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Numbers of the gates.
    pub(crate) gates: Arc<[u64]>,
    /// Most that are to be named.
    pub(crate) most: usize,
}

/// One request or tunnel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// Number of the gate.
    pub(crate) gate: u64,
    /// When its head was whole.
    pub(crate) began: Instant,
    /// It is a tunnel.
    pub(crate) tunnel: bool,
    /// Method and the front of its path, in printable ASCII.
    pub(crate) words: String,
}

/// What one thread says.
#[derive(Debug)]
pub(crate) struct Named {
    /// Those that are open for longest, oldest first.
    pub(crate) oldest: Vec<Visitor>,
    /// How many more.
    pub(crate) more: u64,
}

impl Visitors {
    /// Puts down who has entered a gate, with the head for its instance.
    pub(crate) fn sign(self: &Rc<Self>, entry: Entry, head: &[u8], began: Instant) -> Visit {
        let mut book = self.0.borrow_mut();
        let at = book.free.pop().unwrap_or(book.places.len());
        if at == book.places.len() {
            let (tunnel, length, words) = (false, 0, [0; WORDS]);
            book.places.push(Place { gate: None, began, tunnel, length, words });
        }
        let place = &mut book.places[at];
        (place.gate, place.began, place.tunnel) = (Some(entry.gate().serial), began, false);
        place.length = copy_words(head, &mut place.words);
        drop(book);
        Visit { entry, visitors: Rc::clone(self), at }
    }

    /// Those inside some gates.
    pub(crate) fn named(&self, question: &Question) -> Named {
        let book = self.0.borrow();
        let inside = |place: &&Place| place.gate.is_some_and(|gate| question.gates.contains(&gate));
        let mut all: Vec<&Place> = book.places.iter().filter(inside).collect();
        all.sort_by_key(|place| place.began);
        let more = all.len().saturating_sub(question.most) as u64;
        all.truncate(question.most);
        let visitor = |place: &&Place| Visitor {
            gate: place.gate.unwrap_or_default(),
            began: place.began,
            tunnel: place.tunnel,
            words: place.words(),
        };
        Named { oldest: all.iter().map(visitor).collect(), more }
    }

    fn leave(&self, at: usize) {
        let mut book = self.0.borrow_mut();
        book.places[at].gate = None;
        book.free.push(at);
        if book.free.len() == book.places.len() && book.places.len() > PLACES {
            *book = Book::default();
        }
    }
}

impl Place {
    fn words(&self) -> String {
        let length = usize::from(self.length);
        let printable = |byte: &u8| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '?',
        };
        let mut words: String = self.words[..length.min(WORDS)].iter().map(printable).collect();
        if length > WORDS {
            words.push('…');
        }
        words
    }
}

/// Copies method and path without the query; says how long they are, [`WORDS`] and one if there is more.
fn copy_words(head: &[u8], words: &mut [u8; WORDS]) -> u8 {
    let line = &head[..head.len().min(WORDS + 1)];
    let path = memchr(b' ', line).map_or(line.len(), |at| at + 1);
    let end = memchr2(b'?', b' ', &line[path..]).map_or(line.len(), |at| path + at);
    let kept = end.min(WORDS);
    words[..kept].copy_from_slice(&line[..kept]);
    u8::try_from(end).unwrap_or(u8::MAX)
}

/// A request or tunnel inside a gate, by name; dropping it leaves.
#[derive(Debug)]
pub(crate) struct Visit {
    entry: Entry,
    visitors: Rc<Visitors>,
    at: usize,
}

impl Visit {
    /// The gate it is inside of.
    pub(crate) const fn gate(&self) -> &Arc<Gate> {
        self.entry.gate()
    }

    /// Becomes a tunnel for the rest of its life.
    pub(crate) fn become_tunnel(&self) {
        self.entry.become_tunnel();
        self.visitors.0.borrow_mut().places[self.at].tunnel = true;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.visitors.leave(self.at);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{PLACES, Question, Visit, Visitors, WORDS};
    use crate::gate::{self, Entry, Gate};

    fn gate() -> Arc<Gate> {
        let gate = gate::tests::gate();
        gate.open();
        gate
    }

    fn visit(visitors: &Rc<Visitors>, gate: &Arc<Gate>, head: &str, began: Instant) -> Visit {
        visitors.sign(Entry::enter(gate).unwrap(), head.as_bytes(), began)
    }

    #[test]
    fn method_and_path_are_kept_without_query_and_control_characters() {
        let (visitors, gate) = (Rc::<Visitors>::default(), gate());
        let question = Question { gates: [gate.serial].into(), most: 1 };
        let long = "x".repeat(WORDS - 5);
        for (target, words) in [
            ("/a?token=secret", "GET /a".to_owned()),
            ("/caf\u{e9}\u{1b}[1m", "GET /caf???[1m".to_owned()),
            ("*", "GET *".to_owned()),
            (&*format!("/{long}"), format!("GET /{long}")),
            (&*format!("/{long}?y"), format!("GET /{long}")),
            (&*format!("/{long}y"), format!("GET /{long}…")),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
            let _visit = visit(&visitors, &gate, &head, Instant::now());
            assert_eq!(visitors.named(&question).oldest[0].words, words);
        }
        drop(visit(&visitors, &gate, "", Instant::now()));
        assert_eq!(visitors.named(&question).oldest, []);
    }

    #[test]
    fn the_oldest_of_some_gates_are_named_and_places_are_used_again() {
        let (visitors, gates) = (Rc::<Visitors>::default(), [gate(), gate()]);
        let now = Instant::now();
        let at = |n: usize| now + Duration::from_millis(n as u64);
        let head = |n: usize| format!("PUT /{n} HTTP/1.1\r\n\r\n");
        for _round in 0..2 {
            let mut all: Vec<_> =
                (0..2 * PLACES).map(|n| visit(&visitors, &gates[n % 2], &head(n), at(n))).collect();
            all[3].become_tunnel();
            let named = visitors.named(&Question { gates: [gates[1].serial].into(), most: 2 });
            let told: Vec<_> =
                named.oldest.iter().map(|one| (one.began, one.tunnel, &*one.words)).collect();
            assert_eq!(told, [(at(1), false, "PUT /1"), (at(3), true, "PUT /3")]);
            assert_eq!(named.more, PLACES as u64 - 2);
            drop(all.remove(3));
            let again = visit(&visitors, &gates[0], &head(9), at(9));
            assert_eq!((again.at, visitors.0.borrow().places.len()), (3, 2 * PLACES));
            assert!(!visitors.0.borrow().places[3].tunnel);
            drop((all, again));
            assert_eq!(visitors.0.borrow().places.len(), 0, "they are given back");
        }
    }
}
