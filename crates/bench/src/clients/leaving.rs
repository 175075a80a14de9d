//! How far an instance is with leaving, for all that is open on it.
//!
//! It only remembers what it was told: what comes of it is seen in `instance` and `long`.

use std::sync::atomic::{AtomicBool, Ordering};

/// How far an instance is with leaving.
#[derive(Debug, Default)]
pub(super) struct State {
    announcing: AtomicBool,
    leaving: AtomicBool,
}

impl State {
    /// True once each connection is to end as announced.
    pub(super) fn announcing(&self) -> bool {
        self.announcing.load(Ordering::SeqCst)
    }

    /// True once it is gone for everybody.
    pub(super) fn leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    /// From now on each connection ends as announced.
    pub(super) fn announce(&self) {
        self.announcing.store(true, Ordering::SeqCst);
    }

    /// It is gone from now on.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }
}
