//! Compares what the prober sent with what who carried it wrote down, request by request.
//!
//! A request without a receipt is lost only if the account is complete for its time; else nothing is said
//! of it. It weighs nothing: that is the verdict's.

use std::collections::{BTreeMap, BTreeSet};

use model::attempt::Connection;
use model::receipt::{End, Item};
use model::{Attempt, Class, Lane};

use crate::axis::axis;
use crate::clean;
use crate::ledger::{Account, Disagreement, Finding, FindingCount, Ledger, Receipted};
use crate::run::Run;

/// Disagreements kept one by one.
const ROWS: usize = 1_000;
/// Numbers kept of each finding.
const FIRST: usize = 10;
/// What the prober calls instances when it has met too many.
const OTHER: &str = "(other)";

/// The ledger; `None` where who carried the traffic kept no account.
pub(crate) fn ledger(run: &Run<'_>) -> Option<Ledger> {
    let account = run.input.account.as_ref()?;
    let mut receipts: BTreeMap<Item, Vec<&Receipted>> = BTreeMap::new();
    for one in &account.receipts {
        receipts.entry(one.item).or_default().push(one);
    }
    let troubles = account.troubles.iter();
    let incomplete = troubles.map(|why| clean::line(why, clean::LINE_MAX)).collect();
    let ledger = Ledger { who: clean::name(&account.who), incomplete, ..Ledger::default() };
    let mut work = Work { run, account, receipts, ledger, found: Vec::new() };
    work.requests();
    work.sockets();
    work.messages();
    work.strangers();
    Some(work.close())
}

struct Work<'a> {
    run: &'a Run<'a>,
    account: &'a Account,
    receipts: BTreeMap<Item, Vec<&'a Receipted>>,
    ledger: Ledger,
    found: Vec<Disagreement>,
}

impl<'a> Work<'a> {
    fn of(&self, item: Option<Item>) -> Vec<&'a Receipted> {
        item.and_then(|item| self.receipts.get(&item)).cloned().unwrap_or_default()
    }

    /// True when what was received and ended within this time must have a receipt.
    fn covered(&self, from_us: i64, to_us: i64) -> bool {
        let mut windows = self.account.covered.iter();
        self.account.lost == 0 && windows.any(|(from, to)| *from <= from_us && to_us <= *to)
    }

    fn requests(&mut self) {
        let run = self.run;
        let doubled = doubled_by_app(run);
        for a in run.sent.iter().copied().filter(|a| a.lane != Lane::Websocket) {
            let receipts = self.of(attempt(a));
            if receipts.is_empty() && a.sent_us == 0 {
                self.ledger.never_asked += 1;
                continue;
            }
            self.ledger.requests += 1;
            self.ledger.received += u64::from(!receipts.is_empty());
            self.ledger.resent += u64::from(receipts.iter().any(|one| one.sends > 1));
            let found = self.judge(a, &receipts);
            let whole = receipts.iter().any(|one| matches!(one.end, End::Whole | End::Tunnel));
            let mut agreed = found == Judged::Agreed;
            self.ledger.answered += u64::from(whole || agreed);
            match found {
                Judged::Agreed if a.lane == Lane::Orders && doubled.contains(&a.id) => {
                    agreed = false;
                    let times = receipts.iter().map(|one| u64::from(one.sends)).sum::<u64>();
                    let who = &self.ledger.who;
                    let words = format!(
                        "the app says that it carried it out more than once; {who} put it to an instance {}",
                        how_often(times)
                    );
                    self.find(Finding::Doubled, a, (receipts.last().copied(), words));
                }
                Judged::Agreed => {}
                Judged::Unknown => self.ledger.unknown += 1,
                Judged::Found(finding, words) => {
                    self.find(finding, a, (receipts.last().copied(), words));
                }
            }
            self.ledger.agreed += u64::from(agreed);
        }
    }

    fn judge(&self, a: &Attempt, receipts: &[&Receipted]) -> Judged {
        let who = self.ledger.who.as_str();
        let whole = took_whole(a.class);
        let [receipt] = receipts else {
            let (from, to) = (axis(a.dispatched_us), axis(a.done_us));
            return match (receipts.len(), whole) {
                (0, _) if !self.covered(from, to) => Judged::Unknown,
                (0, true) => Judged::Found(
                    Finding::NotThroughUs,
                    format!(
                        "it was answered, and {who} has no record of it: somebody else answered"
                    ),
                ),
                (0, false) => Judged::Found(
                    Finding::NeverReceived,
                    format!(
                        "it was sent, and {who} has no record of it: it was lost on the way there"
                    ),
                ),
                (times, _) => Judged::Found(
                    Finding::Doubled,
                    format!(
                        "the prober sent it once, and {who} received it {}",
                        how_often(times as u64)
                    ),
                ),
            };
        };
        let executed = receipt.sends.saturating_sub(receipt.unread);
        if a.lane == Lane::Orders && executed > 1 {
            let words = format!(
                "an order that was put to instances {}: each may have carried it out",
                how_often(u64::from(executed))
            );
            return Judged::Found(Finding::Doubled, words);
        }
        if let Some(words) = self.differs(a, receipt) {
            return Judged::Found(Finding::OtherAnswer, words);
        }
        fate(a, receipt, who)
            .map_or(Judged::Agreed, |(finding, words)| Judged::Found(finding, words))
    }

    /// In what the client's answer is another one than the instance's.
    fn differs(&self, a: &Attempt, receipt: &Receipted) -> Option<String> {
        let who = &self.ledger.who;
        let asked = asked(receipt);
        if took_whole(a.class) && a.status != 0 && receipt.status != 0 && a.status != receipt.status
        {
            let (seen, told) = (a.status, receipt.status);
            return Some(format!(
                "the client saw status {seen}, and {who} passed on {told} of {asked}"
            ));
        }
        if took_whole(a.class) && matches!(receipt.end, End::Cut | End::Injected) {
            return Some(format!(
                "the client took it for whole, and {who} passed on a part of {asked}"
            ));
        }
        if let Some((seen, _)) = a
            .instance
            .as_deref()
            .zip(receipt.instance.as_deref())
            .filter(|(seen, known)| seen != known && *seen != OTHER)
        {
            let seen = clean::name(seen);
            return Some(format!(
                "the answer names instance {seen}, and {who} had it from {asked}"
            ));
        }
        self.other_version(a.version.as_deref(), receipt)
            .map(|seen| format!("the answer names version {seen}, and {who} had it from {asked}"))
    }

    /// The version that was seen, if it is one of the two and the instance is of the other.
    fn other_version(&self, seen: Option<&str>, receipt: &Receipted) -> Option<String> {
        let (from, to) = self.run.apart()?;
        let (seen, known) = (seen?, receipt.version.as_deref()?);
        let other = (seen == from && known == to) || (seen == to && known == from);
        other.then(|| clean::name(seen))
    }

    fn sockets(&mut self) {
        let run = self.run;
        let socket = |c: &&Connection| c.lane == Lane::Websocket && c.established_us > 0;
        for c in run.input.connections.iter().filter(socket) {
            self.ledger.sockets += 1;
            let receipts = self.of(Some(Item::Socket(c.connection)));
            let seen = run.socket_version(c.connection);
            let carried =
                |one: &&&Receipted| one.status == 101 && self.other_version(seen, one).is_none();
            self.ledger.sockets_agreed += u64::from(receipts.iter().any(|one| carried(&one)));
            for one in &receipts {
                if let Some(seen) = self.other_version(seen, one) {
                    let words = format!(
                        "socket {} speaks to {seen}, and {} carried it to {}",
                        c.connection,
                        self.ledger.who,
                        asked(one)
                    );
                    let at_us = axis(c.opened_us);
                    self.found.push(row(
                        Finding::OtherAnswer,
                        (u64::from(c.connection), Some(c.lane)),
                        at_us,
                        (Some(one), words),
                    ));
                }
            }
        }
    }

    /// Messages without an echo, and sockets that were cut while none was under way. A late echo did arrive.
    fn messages(&mut self) {
        let run = self.run;
        for a in run.failures().filter(|a| a.class == Class::WsDropped) {
            let receipts = self.of(Some(Item::Socket(a.connection)));
            let Some(receipt) = receipts.last() else { continue };
            let (finding, what) = if a.is_bare_socket() {
                (Finding::SocketCut, "nothing was under way on")
            } else {
                (Finding::SocketLost, "a message on")
            };
            let words = format!(
                "{what} socket {}, which {} carried to {}",
                a.connection,
                self.ledger.who,
                asked(receipt)
            );
            self.find(finding, a, (Some(receipt), words));
        }
    }

    /// Receipts of attempts that were never sent. Without the prober's last word nobody knows.
    fn strangers(&mut self) {
        if self.run.input.footer.is_none() {
            return;
        }
        let sent: BTreeSet<Item> = self.run.sent.iter().filter_map(|a| attempt(a)).collect();
        let known = |item: &Item| matches!(item, Item::Socket(_)) || sent.contains(item);
        let strangers: Vec<&Receipted> = self
            .receipts
            .iter()
            .filter(|(item, _)| !known(item))
            .flat_map(|(_, all)| all.iter().copied())
            .collect();
        for one in strangers {
            let Item::Attempt(id) = one.item else { continue };
            let words = format!("{} received it, and the prober never sent it", self.ledger.who);
            self.found.push(row(
                Finding::NeverSent,
                (u64::from(id), None),
                one.received_us,
                (Some(one), words),
            ));
        }
    }

    fn find(&mut self, finding: Finding, a: &Attempt, told: (Option<&Receipted>, String)) {
        self.found.push(row(finding, (a.id, Some(a.lane)), axis(a.intended_us), told));
    }

    fn close(self) -> Ledger {
        let Self { mut ledger, mut found, .. } = self;
        found.sort_by_key(|row| (row.at_us, row.id));
        let mut counts: BTreeMap<Finding, FindingCount> = BTreeMap::new();
        for row in &found {
            let new = || FindingCount { finding: row.finding, count: 0, first: Vec::new() };
            let counted = counts.entry(row.finding).or_insert_with(new);
            counted.count += 1;
            if counted.first.len() < FIRST {
                counted.first.push(row.id);
            }
        }
        ledger.findings = counts.into_values().collect();
        ledger.left_out = found.len().saturating_sub(ROWS) as u64;
        found.truncate(ROWS);
        ledger.rows = found;
        ledger
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Agreed,
    Unknown,
    Found(Finding, String),
}

/// What became of a request that was received once.
fn fate(a: &Attempt, receipt: &Receipted, who: &str) -> Option<(Finding, String)> {
    let asked = asked(receipt);
    let said = match receipt.status {
        0 => "said nothing".to_owned(),
        status => format!("said {status} in its own name"),
    };
    let whole = took_whole(a.class);
    Some(match (receipt.end, whole) {
        (End::Whole | End::Tunnel | End::ClientGone, true) => return None,
        (End::Own, _) if receipt.instance.is_none() => {
            (Finding::NeverAnswered, format!("{who} asked no instance and {said}"))
        }
        (End::Own, _) => {
            (Finding::NeverAnswered, format!("{asked} gave no answer, and {who} {said}"))
        }
        (End::Whole | End::Tunnel, false) => (
            Finding::LostOnTheWayBack,
            format!(
                "{who} passed on the whole answer ({}) of {asked}, and it did not arrive",
                receipt.status
            ),
        ),
        (End::ClientGone, false) if receipt.status == 0 => (
            Finding::NeverAnswered,
            format!("{asked} had not begun to answer when the client was gone"),
        ),
        (End::ClientGone, false) => (
            Finding::CutShort,
            format!("the client was gone before {asked} had finished its answer"),
        ),
        (End::Cut, _) => (Finding::CutShort, format!("{asked} began to answer and did not finish")),
        (End::Injected, _) => (
            Finding::CutShort,
            format!("{who} cut the answer of {asked} on purpose: a fault was injected"),
        ),
    })
}

/// The client has a whole answer, whatever it says.
const fn took_whole(class: Class) -> bool {
    matches!(class, Class::Ok | Class::Late | Class::BadStatus | Class::WrongContent)
}

fn attempt(a: &Attempt) -> Option<Item> {
    u32::try_from(a.id).ok().map(Item::Attempt)
}

/// "demo-1-1 (v1)".
fn asked(receipt: &Receipted) -> String {
    let instance =
        receipt.instance.as_deref().map_or_else(|| "no instance".to_owned(), clean::name);
    match &receipt.version {
        Some(version) => format!("{instance} ({})", clean::name(version)),
        None => instance,
    }
}

fn how_often(times: u64) -> String {
    match times {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

/// Numbers of orders that the app says it carried out more than once; it names them as the prober did.
fn doubled_by_app(run: &Run<'_>) -> BTreeSet<u64> {
    let told = run.input.footer.as_ref().and_then(|footer| footer.orders.as_ref());
    let names = told.map(|told| told.examples.as_slice()).unwrap_or_default();
    names.iter().filter_map(|name| name.rsplit('-').next()?.parse().ok()).collect()
}

fn row(
    finding: Finding,
    (id, lane): (u64, Option<Lane>),
    at_us: i64,
    (receipt, words): (Option<&Receipted>, String),
) -> Disagreement {
    let named = |of: fn(&Receipted) -> Option<&str>| receipt.and_then(of).map(clean::name);
    Disagreement {
        finding,
        id,
        lane,
        at_us,
        instance: named(|one| one.instance.as_deref()),
        version: named(|one| one.version.as_deref()),
        words,
    }
}
