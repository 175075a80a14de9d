//! The figures of the moment, said a few times a second while a rollout is under way.
//!
//! Sums of what the prober tells; nothing is decided by them.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Window;
use tokio::time::Instant;

use super::bus::Live;

/// How often figures are said.
const EVERY: Duration = Duration::from_millis(250);
/// Shortest span that rates are taken over, us.
const SPAN_US: u64 = 400_000;

/// Sums for the live line.
#[derive(Debug, Default)]
pub(super) struct Figures {
    sent: u64,
    failed: u64,
    recent: BTreeMap<String, u64>,
    since_us: u64,
    said: Option<Instant>,
    shown: Live,
}

impl Figures {
    /// Adds what the prober saw.
    pub(super) fn add(&mut self, window: &Window) {
        for (version, tally) in &window.by_version {
            self.sent += tally.all();
            self.failed += tally.failures();
            *self.recent.entry(version.clone()).or_default() += tally.all();
        }
        self.shown.p50_us = window.p50_us.or(self.shown.p50_us);
        self.shown.late_us = Some(window.late_us);
        let span_us = window.to_us.saturating_sub(self.since_us);
        if span_us >= SPAN_US {
            let per_second = |n: u64| n as f64 * 1e6 / span_us as f64;
            let recent = std::mem::take(&mut self.recent);
            self.shown.per_version =
                recent.into_iter().map(|(version, n)| (version, per_second(n))).collect();
            self.since_us = window.to_us;
        }
        self.shown.sent = self.sent;
        self.shown.failed = self.failed;
    }

    /// The figures as they were said last, with what came since.
    pub(super) fn shown(&self) -> Live {
        self.shown.clone()
    }

    /// The figures at `at_ms` of the rollout, when it is time to say them again.
    pub(super) fn due(&mut self, at_ms: u64, open_old: Option<(u64, u64)>) -> Option<Live> {
        let now = Instant::now();
        if self.said.is_some_and(|said| now.duration_since(said) < EVERY) {
            return None;
        }
        self.said = Some(now);
        self.shown.at_ms = at_ms;
        self.shown.open_old = open_old;
        Some(self.shown.clone())
    }
}
