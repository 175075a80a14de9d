//! Which requests are a prober's: those that know the key of its run.
//!
//! While there is no prober, every request finds that out by a look at a pointer. What is written down of
//! those that are stands in `receipts`.

use httparse::Header;
use model::receipt::{self, Item};

/// Probers whose requests get receipts: their keys, and the number of each one's book.
#[derive(Debug)]
pub(crate) struct Probers(pub(crate) Vec<(String, u32)>);

/// Where a receipt is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stub {
    /// Number of the book.
    pub(crate) book: u32,
    /// What the request belongs to.
    pub(crate) item: Item,
}

impl Probers {
    /// Whether this is a request of one of them: of which book, and what it belongs to if it is no
    /// trial.
    pub(crate) fn which(&self, fields: &[Header<'_>]) -> Option<(u32, Option<Item>)> {
        let of_field = |field: &Header<'_>| {
            let mut known = self.0.iter();
            known
                .find_map(|(key, book)| Some((*book, receipt::said(field.name, field.value, key)?)))
        };
        fields.iter().find_map(of_field)
    }
}

impl Stub {
    /// The receipt of a trial goes nowhere.
    pub(crate) fn of((book, item): (u32, Option<Item>)) -> Option<Self> {
        Some(Self { book, item: item? })
    }
}
