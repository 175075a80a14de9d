//! The ledger with three sides, request by request: sent by the prober, received by who carries the
//! traffic, answered by an instance. What was found, and the sentences on it.
//!
//! Types and words; the sides are compared in `reconcile`.

use model::Lane;
use model::receipt::{End, Item};
use serde::{Deserialize, Serialize};

use crate::figures::{count, several};

/// Requests that a sentence names by their numbers.
const NAMED: usize = 5;

/// What who carries the traffic has written down of the prober's requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Who: `the proxy`.
    pub who: String,
    /// One for each request.
    pub receipts: Vec<Receipted>,
    /// Times on the samples' axis, us: what was received and had ended within one of them has a receipt.
    pub covered: Vec<(i64, i64)>,
    /// Receipts that there was no room for.
    pub lost: u64,
    /// Why the account is not complete, one sentence each.
    pub troubles: Vec<String>,
}

/// One request of the prober, as who carried it saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipted {
    /// The attempt or connection.
    pub item: Item,
    /// When it was received, us on the samples' axis.
    pub received_us: i64,
    /// The instance that was asked last.
    pub instance: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What its client was told; 0 for nothing.
    pub status: u16,
    /// How often it was put on a connection to an instance.
    pub sends: u8,
    /// How often of these the instance is known not to have read it.
    pub unread: u8,
    /// How it ended.
    pub end: End,
}

/// In what the three sides do not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Sent, and never received.
    NeverReceived,
    /// Received, and answered by no instance.
    NeverAnswered,
    /// An instance began to answer and that came to no end.
    CutShort,
    /// Answered by an instance, and not received by the client.
    LostOnTheWayBack,
    /// The client has another answer than the instance gave.
    OtherAnswer,
    /// It may have been carried out more than once.
    Doubled,
    /// Received, and never sent.
    NeverSent,
    /// Answered, and never received by who carries the traffic.
    NotThroughUs,
    /// A message on a WebSocket that was never echoed.
    SocketLost,
    /// A WebSocket that was cut while no message was under way on it.
    SocketCut,
}

impl Finding {
    /// A user would have lost something by it.
    const fn is_loss(self) -> bool {
        matches!(
            self,
            Self::NeverReceived | Self::NeverAnswered | Self::CutShort | Self::LostOnTheWayBack
        )
    }

    /// Its name on the page.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NeverReceived => "sent, never received",
            Self::NeverAnswered => "received, never answered by an instance",
            Self::CutShort => "answered in part",
            Self::LostOnTheWayBack => "answered, lost on the way back",
            Self::OtherAnswer => "another answer than the instance gave",
            Self::Doubled => "perhaps carried out more than once",
            Self::NeverSent => "received, never sent",
            Self::NotThroughUs => "answered by somebody else",
            Self::SocketLost => "message on a WebSocket lost",
            Self::SocketCut => "WebSocket cut, no message under way",
        }
    }
}

/// How often something was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingCount {
    /// What.
    pub finding: Finding,
    /// How often.
    pub count: u64,
    /// Numbers of the first attempts.
    pub first: Vec<u64>,
}

/// One request on which the sides do not agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disagreement {
    /// What was found.
    pub finding: Finding,
    /// Number of the attempt.
    pub id: u64,
    /// Its lane; `None` where there is no such attempt.
    pub lane: Option<Lane>,
    /// When it was meant to be sent, or was received.
    pub at_us: i64,
    /// The instance that was asked last.
    pub instance: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What it means.
    pub words: String,
}

/// The three sides, compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Who carried the traffic.
    pub who: String,
    /// Requests that the prober sent; messages on WebSockets are none.
    pub requests: u64,
    /// Of these, requests that were received.
    pub received: u64,
    /// Of these, requests that an instance answered whole.
    pub answered: u64,
    /// Requests on which all sides agree.
    pub agreed: u64,
    /// WebSockets that stood.
    pub sockets: u64,
    /// Of these, those that were carried to an instance, as it says.
    pub sockets_agreed: u64,
    /// Requests that were put on a connection to an instance more than once.
    pub resent: u64,
    /// Attempts that came to no request: no connection.
    pub never_asked: u64,
    /// Requests of which nothing can be said, because the account is not complete.
    pub unknown: u64,
    /// Why it is not, one sentence each.
    pub incomplete: Vec<String>,
    /// What was found, and how often.
    pub findings: Vec<FindingCount>,
    /// One by one, in the order of time.
    pub rows: Vec<Disagreement>,
    /// Those that `rows` has no room for.
    pub left_out: u64,
}

impl Ledger {
    /// Why the verdict is FAIL; losses are no reason where a demand says how many there may be.
    pub(crate) fn faults(&self, limited: bool) -> Vec<String> {
        let bad = |finding: Finding| match finding {
            Finding::OtherAnswer | Finding::Doubled => true,
            loss => loss.is_loss() && !limited,
        };
        self.told(bad)
    }

    /// Why nobody can tell.
    pub(crate) fn doubts(&self) -> Vec<String> {
        self.told(|finding| matches!(finding, Finding::NeverSent | Finding::NotThroughUs))
    }

    fn told(&self, which: impl Fn(Finding) -> bool) -> Vec<String> {
        let found = self.findings.iter().filter(|found| which(found.finding));
        found.map(|found| self.sentence(found)).collect()
    }

    fn sentence(&self, found: &FindingCount) -> String {
        let Self { who, .. } = self;
        let one = found.count == 1;
        let (requests, answers) = (several(found.count, "request"), several(found.count, "answer"));
        let was = if one { "was" } else { "were" };
        let words = match found.finding {
            Finding::NeverReceived => format!("{requests} never reached {who}"),
            Finding::NeverAnswered => {
                format!("{requests} reached {who} and {was} answered by no instance")
            }
            Finding::CutShort => format!("{answers} of instances {was} not finished"),
            Finding::LostOnTheWayBack => {
                format!("{answers} of instances {was} lost on the way back")
            }
            Finding::OtherAnswer => {
                format!("{answers} {was} not what {who} had from the instance that it asked")
            }
            Finding::Doubled => format!("{requests} may have been carried out more than once"),
            Finding::NeverSent => {
                format!("{who} received {requests} with the prober's key that it never sent")
            }
            Finding::NotThroughUs => {
                format!("{requests} {was} answered although {who} received no such request")
            }
            Finding::SocketLost => {
                format!("{} on WebSockets {was} lost", several(found.count, "message"))
            }
            Finding::SocketCut => {
                let sockets = several(found.count, "WebSocket");
                format!("{sockets} {was} cut with no message under way")
            }
        };
        let named: Vec<String> =
            found.first.iter().take(NAMED).map(|id| format!("#{id}")).collect();
        let more = if found.count > named.len() as u64 { ", …" } else { "" };
        format!("{words} ({}{more})", named.join(", "))
    }

    /// What is to be said of it beside the verdict.
    pub(crate) fn fact(&self) -> Option<String> {
        if self.requests == 0 {
            return None;
        }
        let mut words = format!(
            "{} of {} requests accounted for one by one: sent by the prober, received by {}, answered by an instance",
            count(self.agreed),
            count(self.requests),
            self.who
        );
        if self.sockets > 0 {
            let (agreed, all) = (count(self.sockets_agreed), several(self.sockets, "WebSocket"));
            words = format!("{words} · {agreed} of {all} too");
        }
        if self.resent > 0 {
            words = format!("{words} · {} put to an instance again", count(self.resent));
        }
        if self.unknown > 0 {
            words = format!("{words} · of {} nothing is known", count(self.unknown));
        }
        for why in &self.incomplete {
            words = format!("{words} · not complete: {why}");
        }
        Some(words)
    }
}
