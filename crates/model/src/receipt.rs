//! What the proxy writes down of each request of a prober, and how such a request makes itself known.
//!
//! A prober says the key of its run in [`PROBE_FIELD`], and behind it which of its attempts, or which of
//! its sockets, the request is: `KEY-a17`, `KEY-s3`. The bare key is the prober's too, but outside of its
//! book: a trial. Who does not know the key is nobody's prober. Nothing is judged here.

use serde::{Deserialize, Serialize};

use crate::fleet::{InstanceId, ReleaseId};
use crate::survey::PROBE_FIELD;

/// What a request of a prober belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// The attempt of this number.
    Attempt(u32),
    /// The connection of this number, which asks to become a WebSocket.
    Socket(u32),
}

/// What the prober with this key says in [`PROBE_FIELD`].
pub fn says(key: &str, item: Option<Item>) -> String {
    match item {
        None => key.to_owned(),
        Some(Item::Attempt(id)) => format!("{key}-a{id}"),
        Some(Item::Socket(id)) => format!("{key}-s{id}"),
    }
}

/// Whether a field says that the prober with this key asks: `Some(None)` for a trial.
pub fn said(name: &str, value: &[u8], key: &str) -> Option<Option<Item>> {
    if key.is_empty() || !name.eq_ignore_ascii_case(PROBE_FIELD) {
        return None;
    }
    let rest = value.strip_prefix(key.as_bytes())?;
    if rest.is_empty() {
        return Some(None);
    }
    let number = std::str::from_utf8(rest.get(2..)?).ok()?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = number.parse().ok()?;
    match &rest[..2] {
        b"-a" => Some(Some(Item::Attempt(number))),
        b"-s" => Some(Some(Item::Socket(number))),
        _ => None,
    }
}

/// How a request ended in the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The whole answer of an instance was passed on.
    Whole,
    /// The proxy answered in its own name, or nobody did.
    Own,
    /// The instance began to answer and did not finish, or not in time.
    Cut,
    /// The answer was cut on purpose: a fault was injected.
    Injected,
    /// The client went before the end; or it broke its own request off, or took nothing, for too long.
    ClientGone,
    /// It became a tunnel, or an endless answer, which is over.
    Tunnel,
}

/// One request of a prober, as the proxy saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
pub struct Receipt {
    /// What it belongs to.
    pub item: Item,
    /// When its head was whole, us of CLOCK_MONOTONIC.
    pub received_us: u64,
    /// How long it took from then on, us.
    pub took_us: u32,
    /// Who was asked last: place in [`Told::names`].
    pub instance: Option<u16>,
    /// What its client was told; 0 for nothing.
    pub status: u16,
    /// How often it was put on a connection to an instance.
    pub sends: u8,
    /// How often of these the instance is known not to have read it.
    pub unread: u8,
    /// How it ended.
    pub end: End,
}

/// A receipt on the line: there are many.
type Packed = (Item, u64, u32, Option<u16>, u16, u8, u8, End);

impl From<Packed> for Receipt {
    fn from(packed: Packed) -> Self {
        let (item, received_us, took_us, instance, status, sends, unread, end) = packed;
        Self { item, received_us, took_us, instance, status, sends, unread, end }
    }
}

impl From<Receipt> for Packed {
    fn from(one: Receipt) -> Self {
        let Receipt { item, received_us, took_us, instance, status, sends, unread, end } = one;
        (item, received_us, took_us, instance, status, sends, unread, end)
    }
}

/// The receipts of one run in one proxy process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Book {
    /// The process.
    pub pid: u32,
    /// Which book of that process.
    pub serial: u32,
}

/// Asks for receipts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Key of the prober. The first time it is named a book is begun.
    pub key: String,
    /// The book that `taken` speaks of.
    pub book: Option<Book>,
    /// So many receipts of each thread need not be told again, and are forgotten.
    pub taken: Vec<u64>,
}

/// What a proxy has to say of a book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipts {
    /// Which.
    pub book: Book,
    /// What came after this is in it, us of CLOCK_MONOTONIC.
    pub since_us: u64,
    /// Per thread, in order.
    pub threads: Vec<Told>,
}

/// What one thread has to say of a book.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// How many came before the first of `receipts`.
    pub first: u64,
    /// In the order in which they ended.
    pub receipts: Vec<Receipt>,
    /// Instances and their releases.
    pub names: Vec<(InstanceId, ReleaseId)>,
    /// How many are there beyond these.
    pub left: u64,
    /// How many there was no room for; they count among those before `first`.
    pub lost: u64,
    /// Requests of the prober that have not ended.
    pub open: u64,
    /// What had ended by then is told or `left`, us of CLOCK_MONOTONIC.
    pub until_us: u64,
}

impl Told {
    /// How many there are up to the last of `receipts`.
    pub fn taken(&self) -> u64 {
        self.first.saturating_add(self.receipts.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Item, Receipt, said, says};
    use crate::survey::PROBE_FIELD;

    #[test]
    fn what_a_prober_says_is_read_again_and_nothing_else_is() {
        for item in
            [None, Some(Item::Attempt(0)), Some(Item::Attempt(u32::MAX)), Some(Item::Socket(7))]
        {
            let value = says("secret", item);
            assert_eq!(said("X-Cutover-Probe", value.as_bytes(), "secret"), Some(item), "{value}");
            assert_eq!(said(PROBE_FIELD, value.as_bytes(), "other"), None);
            assert_eq!(said("x-cutover-prober", value.as_bytes(), "secret"), None);
        }
        for odd in [
            "secre",
            "secret2",
            "secret-",
            "secret-a",
            "secret-b1",
            "secret-a1x",
            "secret-a+1",
            "secret-a4294967296",
            "secret-a-1",
            "Secret-a1",
            "",
            "-a1",
            "secret\u{e9}a1",
        ] {
            assert_eq!(said(PROBE_FIELD, odd.as_bytes(), "secret"), None, "{odd}");
        }
        assert_eq!(said(PROBE_FIELD, b"-a1", ""), None, "no key is nobody's");
    }

    #[test]
    fn a_receipt_is_short_on_the_line() {
        let receipt = Receipt {
            item: Item::Attempt(17),
            received_us: 123_456_789_012,
            took_us: 1_500,
            instance: Some(0),
            status: 200,
            sends: 1,
            unread: 0,
            end: End::Whole,
        };
        let line = serde_json::to_string(&receipt).unwrap();
        assert_eq!(line, r#"[{"attempt":17},123456789012,1500,0,200,1,0,"whole"]"#);
        assert_eq!(serde_json::from_str::<Receipt>(&line).unwrap(), receipt);
    }
}
