//! Counts of what ended since somebody last asked, for one listener that may be slow or away.
//!
//! What was not fetched stays and is merged into the next window, so that no attempt is left out.

use std::cell::RefCell;

use model::attempt::{Attempt, Class};
use model::window::Window;

/// The open window of one listener.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    window: RefCell<Window>,
    /// TTLB of the answers in the open window, us.
    ttlb_us: RefCell<Vec<u64>>,
}

/// Most answers whose times are kept for the median; those of a long unfetched window are its first.
const TIMES_MAX: usize = 4_096;

impl Tap {
    /// Counts an attempt that has ended.
    pub(crate) fn count(&self, attempt: &Attempt) {
        let mut window = self.window.borrow_mut();
        if attempt.class == Class::NotSent {
            window.not_sent += 1;
            return;
        }
        window.late_us =
            window.late_us.max(attempt.dispatched_us.saturating_sub(attempt.intended_us));
        let mut times = self.ttlb_us.borrow_mut();
        if attempt.class == Class::Ok && times.len() < TIMES_MAX {
            times.push(attempt.ttlb_us());
        }
        let version = attempt.version.as_deref().unwrap_or_default();
        match window.by_version.get_mut(version) {
            Some(tally) => tally.count(attempt.class),
            None => window.by_version.entry(version.to_owned()).or_default().count(attempt.class),
        }
    }

    /// Ends the window now and begins the next one.
    pub(crate) fn take(&self, now_us: u64) -> Window {
        let next = Window { from_us: now_us, to_us: now_us, ..Window::default() };
        let mut window = self.window.replace(next);
        window.to_us = now_us;
        window.p50_us = median(&mut self.ttlb_us.borrow_mut());
        window
    }

    /// Takes back a window that could not be delivered.
    pub(crate) fn put_back(&self, undelivered: Window) {
        let mut window = self.window.borrow_mut();
        window.from_us = undelivered.from_us;
        window.not_sent += undelivered.not_sent;
        window.late_us = window.late_us.max(undelivered.late_us);
        for (version, tally) in undelivered.by_version {
            window.by_version.entry(version).or_default().add(&tally);
        }
    }
}

/// The median of `times`, which are forgotten.
fn median(times: &mut Vec<u64>) -> Option<u64> {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied();
    times.clear();
    median
}
