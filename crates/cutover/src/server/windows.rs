//! What the prober sees, joined into longer windows before it is journaled.
//!
//! A long bake would otherwise be ten rows a second. Nothing is judged here.

use model::Window;

/// Windows are joined up to this length, us.
const LENGTH_US: u64 = 250_000;

/// The window that is being filled.
#[derive(Debug, Default)]
pub(super) struct Windows {
    filling: Window,
}

impl Windows {
    /// Adds a window; answers the joined one when it is long enough. It goes on being filled until
    /// [`Self::told`].
    pub(super) fn add(&mut self, window: &Window) -> Option<Window> {
        let sum = &mut self.filling;
        if sum.to_us == 0 {
            sum.from_us = window.from_us;
        }
        sum.to_us = window.to_us;
        sum.not_sent += window.not_sent;
        for (version, tally) in &window.by_version {
            sum.by_version.entry(version.clone()).or_default().add(tally);
        }
        let long = sum.to_us.saturating_sub(sum.from_us) >= LENGTH_US;
        long.then(|| sum.clone())
    }

    /// The joined one was told, or nobody wants it: begins another.
    pub(super) fn told(&mut self) {
        self.filling = Window::default();
    }
}
