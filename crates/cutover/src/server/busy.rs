//! How many requests a second users send, as the router counts them while no rollout is under way.
//!
//! Only for what people are told beforehand. During a rollout the prober's requests are among those that
//! are counted, so it begins anew after one. It asks nobody.

use std::collections::VecDeque;
use std::time::Duration;

use drivers::router::RoutesHave;
use tokio::time::Instant;

/// How far back is looked.
const WINDOW: Duration = Duration::from_mins(2);
/// How often it is noted.
const PACE: Duration = Duration::from_secs(1);
/// Less than this is no rate.
const LEAST: Duration = Duration::from_secs(5);

/// What was counted lately, oldest first.
#[derive(Debug, Default)]
pub(super) struct Busy(VecDeque<(Instant, u64)>);

/// A rate, and of how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    /// Requests a second.
    pub(super) per_second: f64,
    /// Counted for so long.
    pub(super) within: Duration,
}

impl Busy {
    /// Notes what a look found.
    pub(super) fn saw(&mut self, routes: &RoutesHave, under_way: bool, now: Instant) {
        // A release whose counters are given up is in the sum of those: nothing falls.
        let all =
            routes.counters.values().fold(routes.past, |all, of| all.saturating_add(of.requests));
        self.counted(all, under_way, now);
    }

    fn counted(&mut self, all: u64, under_way: bool, now: Instant) {
        let last = self.0.back().copied();
        if under_way || last.is_some_and(|(_, before)| all < before) {
            // The prober's are among them, or somebody counts anew.
            self.0.clear();
        }
        if under_way || last.is_some_and(|(at, _)| now.saturating_duration_since(at) < PACE) {
            return;
        }
        self.0.push_back((now, all));
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.0.pop_front();
        }
    }

    /// How many a second; `None` while nothing is known, or nobody came.
    pub(super) fn rate(&self) -> Option<Rate> {
        let ((from, before), (until, after)) = (self.0.front()?, self.0.back()?);
        let within = until.saturating_duration_since(*from);
        let requests = after - before;
        let known = within >= LEAST && requests > 0;
        known.then(|| Rate { per_second: requests as f64 / within.as_secs_f64(), within })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Busy, Rate};

    #[test]
    fn users_are_counted_at_rest_and_anew_after_a_rollout() {
        let begun = Instant::now();
        let at = |s| begun + Duration::from_secs(s);
        let mut busy = Busy::default();
        for s in 0..300 {
            busy.counted(s * 50, false, at(s));
        }
        let within = Duration::from_mins(2);
        assert_eq!(busy.rate(), Some(Rate { per_second: 50.0, within }));
        busy.counted(20_000, true, at(300));
        assert_eq!(busy.rate(), None);
        for s in 301..311 {
            busy.counted(20_000 + s * 10, false, at(s));
        }
        assert_eq!(busy.rate().map(|rate| rate.per_second), Some(10.0));
        // The router was started anew.
        busy.counted(3, false, at(311));
        assert_eq!(busy.rate(), None);
    }

    #[test]
    fn nobody_and_a_moment_are_no_rate() {
        let begun = Instant::now();
        let mut busy = Busy::default();
        for (s, all) in [(0, 0), (2, 80), (4, 160)] {
            busy.counted(all, false, begun + Duration::from_secs(s));
            assert_eq!(busy.rate(), None, "{s}");
        }
        let mut idle = Busy::default();
        for s in 0..30 {
            idle.counted(7, false, begun + Duration::from_secs(s));
        }
        assert_eq!(idle.rate(), None);
    }
}
