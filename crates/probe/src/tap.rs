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
}

impl Tap {
    /// Counts an attempt that has ended.
    pub(crate) fn count(&self, attempt: &Attempt) {
        let mut window = self.window.borrow_mut();
        if attempt.class == Class::NotSent {
            window.not_sent += 1;
            return;
        }
        let version = attempt.version.clone().unwrap_or_default();
        window.by_version.entry(version).or_default().count(attempt.class);
    }

    /// Ends the window now and begins the next one.
    pub(crate) fn take(&self, now_us: u64) -> Window {
        let next = Window { from_us: now_us, to_us: now_us, ..Window::default() };
        let mut window = self.window.replace(next);
        window.to_us = now_us;
        window
    }

    /// Takes back a window that could not be delivered.
    pub(crate) fn put_back(&self, undelivered: Window) {
        let mut window = self.window.borrow_mut();
        window.from_us = undelivered.from_us;
        window.not_sent += undelivered.not_sent;
        for (version, tally) in undelivered.by_version {
            window.by_version.entry(version).or_default().add(&tally);
        }
    }
}
