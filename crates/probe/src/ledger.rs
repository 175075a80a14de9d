//! The book of a run: every attempt and connection from its number to its end.
//!
//! Whatever a lane takes from the book it gives back exactly once, so that planned = sent + not
//! sent at the end. It decides nothing but what is `late`, and it bounds what hostile answers make
//! it remember.

use std::cell::RefCell;
use std::collections::BTreeSet;

use model::attempt::{
    Attempt, BlindWindow, Class, Connection, Ending, Lane, RunFooter, RunHeader, SampleLine,
};
use tokio::sync::Notify;

use crate::arming::{Arming, Wanted};
use crate::clock::Clock;
use crate::jars::Clients;
use crate::live::{Beat, Live};
use crate::packed::{Attempts, Connections};
use crate::samples::{Run, Writer};
use crate::switch::Switch;
use crate::tap::Tap;

/// Most distinct versions (and instances) told apart in one run.
const NAMES_MAX: usize = 64;

/// Number of what is no attempt: a trial.
pub(crate) const NO_ATTEMPT: u64 = u64::MAX;

/// What all further ones are called.
const OTHER: &str = "(other)";

/// The open book of a run.
#[derive(Debug)]
pub(crate) struct Ledger {
    clock: Clock,
    late_after_us: u64,
    /// Statuses from 400 on that are right answers of the URL.
    expected: Vec<u16>,
    writer: Option<Writer>,
    book: RefCell<Book>,
    ended: Notify,
    /// For the caller's own listener.
    pub(crate) live: Live,
    /// For the controller.
    pub(crate) control: Tap,
    /// Those who come back.
    pub(crate) clients: Clients,
}

#[derive(Debug, Default)]
struct Book {
    header: Option<RunHeader>,
    attempts: Attempts,
    connections: Connections,
    blind: Vec<BlindWindow>,
    footer: RunFooter,
    in_flight: u64,
    last_connection: u32,
    open_connections: u32,
    arming: Arming,
    switch: Switch,
    versions: Names,
    instances: Names,
}

impl Ledger {
    pub(crate) fn new(
        clock: Clock,
        late_after_us: u64,
        writer: Option<Writer>,
        clients: Clients,
    ) -> Self {
        Self {
            clock,
            late_after_us,
            expected: Vec::new(),
            writer,
            book: RefCell::default(),
            ended: Notify::new(),
            live: Live::default(),
            control: Tap::default(),
            clients,
        }
    }

    /// The same, to which these statuses from 400 on are right answers of the URL.
    pub(crate) fn expecting(mut self, statuses: &[u16]) -> Self {
        self.expected = statuses.to_vec();
        self
    }

    /// A status that is expected of the URL makes an answer no worse; other lanes have places of their own.
    pub(crate) fn excuse(&self, attempt: &mut Attempt) {
        let of_url =
            matches!(attempt.lane, Lane::KeepAlive | Lane::Fresh | Lane::Http2 | Lane::Idle);
        let expected = attempt.class == Class::BadStatus && self.expected.contains(&attempt.status);
        if of_url && expected {
            (attempt.class, attempt.detail) = (Class::Ok, None);
        }
    }

    /// Opens the book; what is `wanted` must be in place before the run counts as armed.
    pub(crate) fn open(&self, header: RunHeader, wanted: Wanted) {
        self.write(|| SampleLine::Header(header.clone()));
        self.live.begin(&header);
        let mut book = self.book.borrow_mut();
        // Sockets may stand already.
        let standing = book.arming.stand();
        book.arming = Arming::new(wanted, header.lanes.iter().map(|(lane, _)| *lane));
        (0..standing).for_each(|_| book.arming.standing(true));
        book.header = Some(header);
    }

    /// A new attempt, taken up now. It must be given back to [`Ledger::settle`].
    pub(crate) fn take(&self, lane: Lane, intended_us: u64) -> Attempt {
        let mut book = self.book.borrow_mut();
        let id = book.footer.planned;
        book.footer.planned += 1;
        book.footer.until_us = book.footer.until_us.max(intended_us);
        book.in_flight += 1;
        book.arming.began(lane, id, self.clock.us());
        Attempt { client: self.clients.seat(lane), ..self.blank(id, lane, intended_us) }
    }

    /// An attempt outside the book, as of now: for a trial. It is not given back.
    pub(crate) fn draft(&self, lane: Lane) -> Attempt {
        self.blank(NO_ATTEMPT, lane, self.clock.us())
    }

    fn blank(&self, id: u64, lane: Lane, intended_us: u64) -> Attempt {
        Attempt {
            id,
            lane,
            class: Class::NotSent,
            intended_us,
            dispatched_us: self.clock.us().max(intended_us),
            connected_us: 0,
            sent_us: 0,
            first_byte_us: 0,
            done_us: 0,
            status: 0,
            connection: 0,
            bytes: 0,
            client: None,
            version: None,
            witness: None,
            instance: None,
            detail: None,
        }
    }

    /// Records what became of an attempt.
    pub(crate) fn settle(&self, mut attempt: Attempt) {
        if attempt.done_us == 0 {
            attempt.done_us = self.clock.us().max(attempt.intended_us);
        }
        self.clients.leave(attempt.client);
        self.excuse(&mut attempt);
        let (from_us, to_us) = attempt.waited();
        let waited_us = to_us.saturating_sub(from_us);
        if attempt.class == Class::Ok && waited_us > self.late_after_us {
            attempt.class = Class::Late;
            attempt.detail = Some(format!("answered after {} ms", waited_us / 1_000));
        }
        let mut book = self.book.borrow_mut();
        attempt.version = attempt.version.map(|version| book.versions.known(version));
        attempt.instance = attempt.instance.map(|instance| book.instances.known(instance));
        match attempt.class {
            Class::NotSent => book.footer.not_sent += 1,
            _ => book.footer.sent += 1,
        }
        book.arming.ended(attempt.lane, attempt.id, attempt.class == Class::Ok);
        if attempt.lane != Lane::Websocket
            && let Some(version) = &attempt.version
        {
            // By the time at which it can have been routed: an upload leaves slowly.
            let routed_us = attempt.dispatched_us.max(attempt.connected_us);
            book.switch.answered(version, routed_us);
        }
        self.live.count(&attempt);
        self.control.count(&attempt);
        book.attempts.push(&attempt);
        self.write(|| SampleLine::Attempt(attempt));
        book.in_flight = book.in_flight.saturating_sub(1);
        if book.in_flight == 0 {
            self.ended.notify_waiters();
        }
    }

    /// What happened since the caller last heard, up to now.
    pub(crate) fn beat(&self) -> Beat {
        self.live.take(self.clock.us(), self.in_flight())
    }

    /// Attempts taken and not yet given back.
    pub(crate) fn in_flight(&self) -> u64 {
        self.book.borrow().in_flight
    }

    /// Waits until nothing is in flight.
    pub(crate) async fn drained(&self) {
        while self.in_flight() > 0 {
            self.ended.notified().await;
        }
    }

    /// A new connection, asked for now. It must be given back to [`Ledger::end_connection`].
    pub(crate) fn connection(&self, lane: Lane) -> Connection {
        let mut book = self.book.borrow_mut();
        book.last_connection += 1;
        book.open_connections += 1;
        Connection {
            connection: book.last_connection,
            lane,
            opened_us: self.clock.us(),
            established_us: 0,
            closed_us: 0,
            ending: Ending::ByUs,
            close_code: None,
            attempts: 0,
            successor: None,
        }
    }

    /// Records the end of a connection, now.
    pub(crate) fn end_connection(&self, mut connection: Connection, ending: Ending) {
        connection.ending = ending;
        connection.closed_us = self.clock.us();
        let mut book = self.book.borrow_mut();
        book.connections.push(&connection);
        self.write(|| SampleLine::Connection(connection));
        book.open_connections = book.open_connections.saturating_sub(1);
        if book.open_connections == 0 {
            self.ended.notify_waiters();
        }
    }

    /// Takes back a connection of a lane that is not run; it leaves no record.
    pub(crate) fn forget_connection(&self) {
        let mut book = self.book.borrow_mut();
        book.open_connections = book.open_connections.saturating_sub(1);
    }

    /// Waits until no connection is open.
    pub(crate) async fn disconnected(&self) {
        while self.book.borrow().open_connections > 0 {
            self.ended.notified().await;
        }
    }

    /// Records a time in which the prober saw nothing.
    pub(crate) fn blind(&self, window: BlindWindow) {
        self.write(|| SampleLine::Blind(window));
        self.live.blind(window);
        self.book.borrow_mut().blind.push(window);
    }

    /// Counts what happened on WebSockets.
    pub(crate) fn count(&self, change: impl FnOnce(&mut RunFooter)) {
        change(&mut self.book.borrow_mut().footer);
    }

    /// A socket stands, or no longer does.
    pub(crate) fn standing(&self, up: bool) {
        self.book.borrow_mut().arming.standing(up);
    }

    /// Until when a connection of the idle lane will rest, us.
    pub(crate) fn resting(&self, until_us: u64) {
        self.book.borrow_mut().arming.resting(until_us);
    }

    /// A controller waits for the run to be armed, or no longer does.
    pub(crate) fn arm(&self, asked: bool) {
        self.book.borrow_mut().arming.ask(asked);
    }

    /// The lane that should have the next turn so that the run is armed.
    pub(crate) fn due(&self) -> Option<Lane> {
        self.book.borrow().arming.due(self.clock.us())
    }

    /// True when what the run is armed for may happen now: see [`Arming`].
    pub(crate) fn armed(&self) -> bool {
        self.book.borrow().arming.ready(self.clock.us())
    }

    /// True when the version has changed, and the first one did not answer for so long.
    pub(crate) fn switched(&self, settle_us: u64) -> bool {
        self.book.borrow().switch.over(self.clock.us(), settle_us)
    }

    /// Closes the book. Attempts that the samples have need not be told. What is still in flight was sent, and nobody
    /// can say what became of it.
    pub(crate) fn close(&self, keep: bool) -> Run {
        let mut book = self.book.take();
        book.footer.sent += book.in_flight;
        book.footer.lateness_us = lateness(book.attempts.lateness());
        self.write(|| SampleLine::Footer(book.footer.clone()));
        let sampling = self.writer.as_ref().map_or(Ok(()), Writer::finish);
        Run {
            header: book.header.unwrap_or_else(Run::no_header),
            attempts: if keep { book.attempts.unpack() } else { Vec::new() },
            connections: book.connections.unpack(),
            blind: book.blind,
            footer: Some(book.footer),
            trouble: sampling.err(),
        }
    }

    fn write(&self, line: impl FnOnce() -> SampleLine) {
        if let Some(writer) = &self.writer {
            writer.write(line());
        }
    }
}

/// Median, 99th percentile (nearest rank) and largest of `dispatched - intended`, us.
fn lateness(mut all: Vec<u64>) -> [u64; 3] {
    all.sort_unstable();
    let rank = |percent: usize| {
        let rank = (all.len() * percent).div_ceil(100).max(1);
        all.get(rank - 1).copied().unwrap_or(0)
    };
    [rank(50), rank(99), rank(100)]
}

/// Names told apart, up to a limit.
#[derive(Debug, Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn known(&mut self, name: String) -> String {
        if self.0.contains(&name) {
            return name;
        }
        if self.0.len() >= NAMES_MAX {
            return OTHER.to_owned();
        }
        self.0.insert(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use model::attempt::{Attempt, Class, Ending, Lane, Witness};

    use super::{Ledger, Names, lateness};
    use crate::clock::Clock;
    use crate::jars::Clients;

    /// Resident memory of this process, bytes.
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }

    /// An attempt with a connection of its own leaves two records. Measured in a process in which no other test
    /// takes memory meanwhile.
    #[test]
    fn an_attempt_and_the_connection_opened_for_it_take_at_most_64_bytes_together() {
        const MANY: u64 = 500_000;
        const MOST: u64 = 64;
        const ALONE: &str = "CUTOVER_TEST_ALONE";
        const NAME: &str = "ledger::tests::an_attempt_and_the_connection_opened_for_it_take_at_most_64_bytes_together";
        if std::env::var_os(ALONE).is_none() {
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let ran =
                alone.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1").output().unwrap();
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success() && said.contains("bytes for each"), "{ran:?}");
            return;
        }
        let ledger = Ledger::new(Clock::start(), 1_000_000, None, Clients::default());
        let fresh = |number: u64| {
            let mut record = ledger.connection(Lane::Fresh);
            let mut attempt = ledger.take(Lane::Fresh, number * 1_000);
            // As one that took a while, and whose end came later than that of many others.
            let begun = number * 1_000 + number * 7_919 % 3_000;
            record.opened_us = begun + 5;
            record.established_us = begun + 150 + number % 200;
            record.attempts = 1;
            attempt.class = Class::Ok;
            attempt.connection = record.connection;
            attempt.dispatched_us = begun;
            attempt.connected_us = record.established_us;
            attempt.sent_us = begun + 400;
            attempt.first_byte_us = begun + 3_000 + number * 31 % 20_000;
            attempt.done_us = attempt.first_byte_us + 300;
            (attempt.status, attempt.bytes) = (200, 20_000);
            attempt.version = Some(format!("2026-11-{}", number % 3));
            attempt.instance = Some(format!("web-{}", number % 12));
            attempt.witness = Some(Witness::App);
            ledger.settle(attempt);
            ledger.end_connection(record, Ending::AnnouncedByPeer);
        };
        (0..MANY / 10).for_each(fresh);
        let before = resident();
        (MANY / 10..MANY).for_each(fresh);
        let each = resident().saturating_sub(before) / (MANY - MANY / 10);
        println!("{each} bytes for each");
        assert_eq!(ledger.close(false).connections.len() as u64, MANY);
        assert!((1..=MOST).contains(&each), "{each} bytes for each");
    }

    #[test]
    fn an_expected_status_is_right_on_the_lanes_of_the_url_alone() {
        let ledger = Ledger::new(Clock::start(), 1_000_000, None, Clients::default());
        let ledger = ledger.expecting(&[404]);
        let class = |lane, status, class| {
            let mut attempt = Attempt { status, class, ..ledger.draft(lane) };
            ledger.excuse(&mut attempt);
            attempt.class
        };
        for lane in Lane::ALL {
            let expected = match lane {
                Lane::KeepAlive | Lane::Fresh | Lane::Http2 | Lane::Idle => Class::Ok,
                _ => Class::BadStatus,
            };
            assert_eq!(class(lane, 404, Class::BadStatus), expected, "{lane:?}");
            assert_eq!(class(lane, 410, Class::BadStatus), Class::BadStatus, "{lane:?}");
            assert_eq!(class(lane, 404, Class::Truncated), Class::Truncated, "{lane:?}");
        }
    }

    #[test]
    fn a_billion_versions_are_not_remembered() {
        let mut names = Names::default();
        for n in 0..64 {
            assert_eq!(names.known(n.to_string()), n.to_string());
        }
        assert_eq!(names.known("64".to_owned()), "(other)");
        assert_eq!(names.known("63".to_owned()), "63");
    }

    #[test]
    fn lateness_is_median_p99_and_largest() {
        assert_eq!(lateness((1..=200).rev().collect()), [100, 198, 200]);
        assert_eq!(lateness(Vec::new()), [0, 0, 0]);
    }
}
