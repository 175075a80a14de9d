//! Units: requests counted so that two releases of an app can be compared while both serve.
//!
//! A unit is the first request of a client in a tick (a second), whichever release and thread it goes to.
//! It belongs to the release it was sent to *first* and to the tick in which that was; how it ends, and how
//! long after it was sent, is added there: what it waited before (held while an only copy was replaced) is
//! nobody's. One that was sent again elsewhere has failed, but for a pooled connection that turned
//! out to be closed. Requests of the prober, which knows the key of its run, are no units.
//!
//! How exact: never two units of one client in a tick. Clients share [`SLOTS`] slots, and one that finds
//! its slot taken is not counted in that tick; which those are does not depend on how requests end.
//! Whoever keeps going away before an answer counts as answered then, and an event stream as slow.
//! Nothing is compared or judged here, and nobody waits for anybody.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use model::survey::{CountBy, TickSeen};
use model::{ReleaseId, receipt, survey};
use rustix::time::{ClockId, clock_gettime};

use crate::finely::Finely;

/// Slots of clients; 64 K of them are 256 KiB, and of 1000 clients in a tick 8 are not counted.
const SLOTS: usize = 1 << 16;
/// Ticks that are kept.
const TICKS: usize = 64;
/// Who is not asked for so long counts no more, seconds.
const LEASE: u64 = 30;

/// What is counted of one app, for as long as somebody asks.
#[derive(Debug)]
pub(crate) struct Survey {
    /// What was asked for.
    pub(crate) wanted: survey::Survey,
    /// The last tick in which each slot had a unit.
    slots: Box<[AtomicU32]>,
    arms: Vec<(ReleaseId, Box<[ArcSwapOption<Cell>]>)>,
    hasher: RandomState,
    asked_s: AtomicU64,
}

/// One release in one tick.
#[derive(Debug, Default)]
struct Cell {
    at_s: u64,
    units: AtomicU64,
    ended: AtomicU64,
    errors: AtomicU64,
    lasted: Finely,
}

impl Survey {
    /// Counts nothing yet.
    pub(crate) fn new(wanted: survey::Survey) -> Self {
        let ring = || (0..TICKS).map(|_| ArcSwapOption::empty()).collect();
        Self {
            slots: (0..SLOTS).map(|_| AtomicU32::new(u32::MAX)).collect(),
            arms: wanted.releases.iter().map(|release| (*release, ring())).collect(),
            wanted,
            hasher: RandomState::new(),
            asked_s: AtomicU64::new(now_s()),
        }
    }

    /// What was counted in ticks after this one, and the tick of now.
    pub(crate) fn tell(&self, after_s: u64) -> (u64, Vec<TickSeen>) {
        let now_s = now_s();
        self.asked_s.store(now_s, Ordering::Relaxed);
        let mut ticks = Vec::new();
        for (release, ring) in &self.arms {
            let cells = ring.iter().filter_map(ArcSwapOption::load_full);
            ticks.extend(cells.filter(|cell| cell.at_s > after_s).map(|cell| cell.seen(*release)));
        }
        ticks.sort_by_key(|tick| (tick.at_s, tick.release));
        (now_s, ticks)
    }

    /// How a request stands that was just read.
    pub(crate) fn asked<'a>(
        self: &Arc<Self>,
        mut fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        client: impl FnOnce() -> IpAddr,
    ) -> Standing {
        if fields.any(|(name, value)| receipt::said(name, value, &self.wanted.probe_key).is_some())
        {
            return Standing::Probe;
        }
        let slot = match self.wanted.count_by {
            CountBy::Request => None,
            CountBy::Client => Some(self.slot(client())),
        };
        Standing::Asked(Arc::clone(self), slot)
    }

    fn slot(&self, client: IpAddr) -> usize {
        let whole = match client {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            // A network of this size is one customer's.
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        usize::try_from(self.hasher.hash_one(whole)).unwrap_or_default() % SLOTS
    }

    /// Counts a unit that is sent to this release now; nothing if its client had one in this tick, or
    /// nobody asks any more.
    fn claim(&self, slot: Option<usize>, release: ReleaseId, waited: Duration) -> Option<Unit> {
        let now_s = now_s();
        if now_s.saturating_sub(self.asked_s.load(Ordering::Relaxed)) > LEASE {
            return None;
        }
        let mark = u32::try_from(now_s).unwrap_or_default();
        if slot.is_some_and(|slot| self.slots[slot].swap(mark, Ordering::Relaxed) == mark) {
            return None;
        }
        let (_, ring) = self.arms.iter().find(|(arm, _)| *arm == release)?;
        let place = &ring[usize::try_from(now_s).unwrap_or_default() % TICKS];
        let fits = |cell: &Option<Arc<Cell>>| cell.as_ref().is_some_and(|c| c.at_s == now_s);
        let mut present = place.load_full();
        if !fits(&present) {
            let fresh = Arc::new(Cell { at_s: now_s, ..Cell::default() });
            place.compare_and_swap(&present, Some(fresh));
            // Another thread may have been first.
            present = place.load_full();
        }
        let cell = present.filter(|cell| cell.at_s == now_s)?;
        cell.units.fetch_add(1, Ordering::Relaxed);
        Some(Unit { cell, release, waited })
    }
}

impl Cell {
    fn seen(&self, release: ReleaseId) -> TickSeen {
        // In the opposite order of writing: how each of those that ended did is there, and of neither are more
        // than there are.
        let ended = self.ended.load(Ordering::Acquire);
        let errors = self.errors.load(Ordering::Acquire);
        let units = self.units.load(Ordering::Relaxed);
        let lasted = self.lasted.get();
        TickSeen { at_s: self.at_s, release, units, ended, errors: errors.min(units), lasted }
    }
}

/// One unit, as long as it has not ended.
#[derive(Debug)]
pub(crate) struct Unit {
    cell: Arc<Cell>,
    release: ReleaseId,
    /// How long after it came it was sent.
    waited: Duration,
}

/// How one request stands to the survey of its app.
#[derive(Debug)]
pub(crate) enum Standing {
    /// There is none, or it is counted already.
    None,
    /// It is the prober's.
    Probe,
    /// It was not sent yet; its client's slot, if clients are told apart.
    Asked(Arc<Survey>, Option<usize>),
    /// It was sent, and is counted.
    Sent(Unit),
}

impl Standing {
    /// It is sent to this release now, so long after it came.
    pub(crate) fn sent(&mut self, release: ReleaseId, took: Duration) {
        match std::mem::replace(self, Self::None) {
            Self::Asked(survey, slot) => {
                if let Some(unit) = survey.claim(slot, release, took) {
                    *self = Self::Sent(unit);
                }
            }
            // After a pooled connection that was closed: not the release's fault, nor its merit.
            Self::Sent(unit) if unit.release != release => unit.ended(false, took),
            other => *self = other,
        }
    }

    /// What was sent first has ended so, this long after the request came.
    pub(crate) fn ended(&mut self, failed: bool, took: Duration) {
        match std::mem::replace(self, Self::None) {
            Self::Sent(unit) => unit.ended(failed, took),
            Self::Probe => *self = Self::Probe,
            Self::None | Self::Asked(..) => {}
        }
    }
}

impl Unit {
    fn ended(self, failed: bool, took: Duration) {
        self.cell.lasted.note(took.saturating_sub(self.waited));
        if failed {
            self.cell.errors.fetch_add(1, Ordering::Release);
        }
        self.cell.ended.fetch_add(1, Ordering::Release);
    }
}

/// The tick of now.
fn now_s() -> u64 {
    u64::try_from(clock_gettime(ClockId::Monotonic).tv_sec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use model::survey::{CountBy, TickSeen};
    use model::{AppName, ReleaseId};

    use super::{Standing, Survey};

    fn survey(count_by: CountBy) -> Arc<Survey> {
        let app = AppName::new("shop").unwrap();
        let releases = vec![ReleaseId(1), ReleaseId(2)];
        let probe_key = "secret".to_owned();
        Arc::new(Survey::new(model::Survey { app, releases, count_by, probe_key }))
    }

    fn asked(survey: &Arc<Survey>, client: &str) -> Standing {
        let client: IpAddr = client.parse().unwrap();
        survey.asked(std::iter::empty(), || client)
    }

    /// Units, ended, errors of a release in all ticks.
    fn sums(survey: &Survey, release: u32) -> (u64, u64, u64) {
        let ticks = survey.tell(0).1;
        let own = |tick: &&TickSeen| tick.release == ReleaseId(release);
        let add = |a: (u64, u64, u64), t: &TickSeen| (a.0 + t.units, a.1 + t.ended, a.2 + t.errors);
        ticks.iter().filter(own).fold((0, 0, 0), add)
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_client_is_one_unit_in_a_tick_whatever_it_asks_and_whoever_answers() {
        // Another second may begin in between; then each has one more.
        for _ in 0..5 {
            let survey = survey(CountBy::Client);
            for _ in 0..20 {
                for (client, release) in
                    [("10.0.0.1", 1), ("10.0.0.1", 2), ("2001:db8::1", 2), ("2001:db8::2", 2)]
                {
                    let mut standing = asked(&survey, client);
                    standing.sent(ReleaseId(release), MS);
                    standing.ended(release == 1, MS);
                }
            }
            let ticks = survey.tell(0).1;
            if ticks.iter().all(|tick| tick.at_s == ticks[0].at_s) {
                assert_eq!((sums(&survey, 1), sums(&survey, 2)), ((1, 1, 1), (1, 1, 0)));
                return;
            }
        }
        panic!("five times in a row a second began within microseconds");
    }

    #[test]
    fn requests_count_each_and_belong_to_where_they_were_sent_first() {
        let survey = survey(CountBy::Request);
        for _ in 0..3 {
            let mut standing = asked(&survey, "10.0.0.1");
            standing.sent(ReleaseId(2), MS);
            standing.ended(true, MS);
            // Sent again elsewhere, and answered there.
            standing.sent(ReleaseId(1), MS);
            standing.ended(false, MS);
        }
        let mut stale = asked(&survey, "10.0.0.1");
        stale.sent(ReleaseId(2), MS);
        stale.sent(ReleaseId(2), MS);
        stale.ended(false, MS);
        let mut open = asked(&survey, "10.0.0.1");
        open.sent(ReleaseId(1), MS);
        assert_eq!((sums(&survey, 1), sums(&survey, 2)), ((1, 0, 0), (4, 4, 3)));
    }

    #[test]
    fn what_was_waited_before_it_was_sent_is_nobodys() {
        let survey = survey(CountBy::Request);
        let mut held = asked(&survey, "10.0.0.1");
        held.sent(ReleaseId(2), 900 * MS);
        held.ended(false, 905 * MS);
        let ticks = survey.tell(0).1;
        let lasted: Vec<u64> = ticks[0]
            .lasted
            .iter()
            .map(|(bucket, _)| model::latency::bound_us(usize::from(*bucket)).unwrap())
            .collect();
        assert!(matches!(lasted[..], [5_000..=5_999]), "{lasted:?}");
    }

    #[test]
    fn only_who_knows_the_key_is_the_prober() {
        let survey = survey(CountBy::Request);
        for (value, probe) in [
            ("secret", true),
            ("secret-a7", true),
            ("secre", false),
            ("", false),
            ("Secret", false),
        ] {
            let fields = [("accept", &b"*/*"[..]), ("X-Cutover-Probe", value.as_bytes())];
            let standing = survey.asked(fields.into_iter(), || "10.0.0.1".parse().unwrap());
            assert_eq!(matches!(standing, Standing::Probe), probe, "{value}");
        }
    }

    #[test]
    fn what_nobody_asks_about_is_not_counted() {
        let survey = survey(CountBy::Request);
        survey
            .asked_s
            .store(super::now_s().saturating_sub(super::LEASE + 1), super::Ordering::Relaxed);
        let mut standing = asked(&survey, "10.0.0.1");
        standing.sent(ReleaseId(1), MS);
        assert_eq!(sums(&survey, 1), (0, 0, 0));
    }
}
