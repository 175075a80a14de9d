//! What a probe has seen so far, summed up from its beats: for the picture and for metrics.
//!
//! Bounded: the prober tells so many versions apart and no more, and of times and failures only the last
//! are kept. It shows nothing and judges nothing.

use std::collections::{BTreeMap, VecDeque};

use ::probe::{Beat, Times};
use model::attempt::RunHeader;
use model::{Attempt, Class, Lane};

use crate::say::Bar;

/// Over how long percentiles are taken, us, and over how many answers at most.
pub(super) const LATELY_US: u64 = 10_000_000;
const ANSWERS_MAX: usize = 20_000;

/// Over how long rates are taken, us.
const RATE_OVER_US: u64 = 2_000_000;

/// So many answers have one beyond their 99th percentile; without one it is but the largest.
const P99_FROM: usize = 100;

/// Failures kept.
const FAILURES_MAX: usize = 200;

/// What is known of one version.
#[derive(Debug, Default)]
pub(super) struct OfVersion {
    /// Attempts by lane and class.
    pub(super) counts: BTreeMap<(Lane, Class), u64>,
    /// Its answers a second.
    pub(super) bar: Bar,
    /// When it last answered a request (messages on sockets do not count), us; and its number in the order
    /// in which versions came.
    pub(super) answered: Option<(u64, usize)>,
}

/// Times to the last byte of late, us.
#[derive(Debug)]
pub(super) struct Quick {
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: Option<u64>,
    pub(super) max: u64,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) header: Option<RunHeader>,
    pub(super) now_us: u64,
    /// By the version in the answer; an empty key holds those without one.
    pub(super) versions: BTreeMap<String, OfVersion>,
    /// Times of whole, right answers.
    pub(super) ttlb: BTreeMap<Lane, Times>,
    /// The prober's own lateness; the largest of the last beat, us.
    pub(super) lateness: Times,
    pub(super) late_us: u64,
    /// Blind windows, and how long in all, us.
    pub(super) blind: (u64, u64),
    pub(super) in_flight: u64,
    /// The last failures, oldest first.
    pub(super) failures: VecDeque<Attempt>,
    /// Answers of late: when they were told, lane, time to the last byte, us.
    lately: VecDeque<(u64, Lane, u64)>,
    /// What ended of late: from when to when, and how many by version.
    ended: VecDeque<(u64, u64, BTreeMap<String, u64>)>,
}

impl Sums {
    /// Adds a beat.
    pub(super) fn add(&mut self, beat: Beat) {
        if let Some(header) = beat.header {
            self.header = Some(*header);
        }
        let (from_us, to_us) = (beat.window.from_us, beat.window.to_us);
        self.now_us = to_us;
        self.late_us = beat.window.late_us;
        self.in_flight = beat.in_flight;
        self.blind.0 += beat.blind.0;
        self.blind.1 += beat.blind.1;
        self.lateness.merge(&beat.lateness);
        for (lane, times) in &beat.ttlb {
            self.ttlb.entry(*lane).or_default().merge(times);
        }
        self.end(&beat.counts, (from_us, to_us));
        for (version, counts) in beat.counts {
            self.count(version, counts, (from_us, to_us));
        }
        self.lately.extend(beat.recent_us.into_iter().map(|(lane, us)| (to_us, lane, us)));
        let old = |at: u64| at + LATELY_US < to_us;
        while self.lately.len() > ANSWERS_MAX
            || self.lately.front().is_some_and(|(at, ..)| old(*at))
        {
            self.lately.pop_front();
        }
        self.failures.extend(beat.failures);
        while self.failures.len() > FAILURES_MAX {
            self.failures.pop_front();
        }
    }

    fn end(
        &mut self,
        counts: &BTreeMap<String, BTreeMap<(Lane, Class), u64>>,
        (from_us, to_us): (u64, u64),
    ) {
        let ended = counts.iter().map(|(version, counts)| (version.clone(), sent(counts)));
        self.ended.push_back((from_us, to_us, ended.filter(|(_, n)| *n > 0).collect()));
        while self.ended.front().is_some_and(|(from, ..)| from + RATE_OVER_US < to_us) {
            self.ended.pop_front();
        }
    }

    fn count(
        &mut self,
        version: String,
        counts: BTreeMap<(Lane, Class), u64>,
        (from_us, to_us): (u64, u64),
    ) {
        let known = self.versions.values().filter(|of| of.answered.is_some()).count();
        let named = !version.is_empty();
        let of = self.versions.entry(version).or_default();
        let requests = counts.keys().any(|(lane, _)| *lane != Lane::Websocket);
        if named && requests {
            let number = of.answered.map_or(known, |(_, number)| number);
            of.answered = Some((to_us, number));
        }
        let sent = sent(&counts);
        let seconds = to_us.saturating_sub(from_us).max(1) as f64 / 1e6;
        of.bar.add(to_us / 1_000, sent as f64 / seconds);
        for (key, n) in counts {
            *of.counts.entry(key).or_default() += n;
        }
    }

    /// Attempts that ended, a second, of late: by version, in the order in which they came, then those without
    /// one. Who has none of late is not there.
    pub(super) fn rates(&self) -> Vec<(String, f64)> {
        let since = self.ended.front().map_or(self.now_us, |(from, ..)| *from);
        let seconds = self.now_us.saturating_sub(since).max(1) as f64 / 1e6;
        let mut ended: BTreeMap<&str, u64> = BTreeMap::new();
        for (version, n) in self.ended.iter().flat_map(|(.., ended)| ended) {
            *ended.entry(version).or_default() += n;
        }
        let order = |name: &str| {
            let answered = self.versions.get(name).and_then(|of| of.answered);
            answered.map_or(usize::MAX, |(_, number)| number)
        };
        let mut rates: Vec<_> = ended.into_iter().collect();
        rates.sort_by_key(|(name, _)| order(name));
        rates.into_iter().map(|(name, n)| (name.to_owned(), n as f64 / seconds)).collect()
    }

    /// Times of requests that the prober does not make slow itself; none without an answer of late.
    pub(super) fn quick(&self) -> Option<Quick> {
        let times = self.times(|lane| !lane.slow());
        let max = *times.last()?;
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).copied().unwrap_or(max)
        };
        let p99 = (times.len() >= P99_FROM).then(|| at(99));
        Some(Quick { p50: at(50), p90: at(90), p99, max })
    }

    /// Attempts that fit.
    pub(super) fn of(&self, fits: impl Fn(Lane, Class) -> bool) -> u64 {
        let all = self.versions.values().flat_map(|of| &of.counts);
        all.filter(|((lane, class), _)| fits(*lane, *class)).map(|(_, n)| n).sum()
    }

    /// Times to the last byte of late, of these lanes, sorted, us.
    pub(super) fn times(&self, fits: impl Fn(Lane) -> bool) -> Vec<u64> {
        let fitting = self.lately.iter().filter(|(_, lane, _)| fits(*lane));
        let mut times: Vec<u64> = fitting.map(|(.., us)| *us).collect();
        times.sort_unstable();
        times
    }

    /// Versions that answered requests, in the order in which they came, with the time of the last answer.
    pub(super) fn answered(&self) -> Vec<(&str, u64)> {
        let named = self.versions.iter().filter_map(|(name, of)| Some((name, of.answered?)));
        let mut all: Vec<_> = named.collect();
        all.sort_by_key(|(_, (_, number))| *number);
        all.into_iter().map(|(name, (at, _))| (name.as_str(), at)).collect()
    }
}

/// What was not sent was answered by nobody.
fn sent(counts: &BTreeMap<(Lane, Class), u64>) -> u64 {
    counts.iter().filter(|((_, class), _)| *class != Class::NotSent).map(|(_, n)| n).sum()
}
