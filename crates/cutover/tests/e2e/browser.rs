//! The page of the sample app in a real browser: a headless Chromium (`chromium`, which the tests of reports
//! have, too), asked what the page shows.
//!
//! Where there is no Chromium, that is said and nothing of this is done.

use serde_json::Value;

use crate::chromium;
use crate::world::wait_for;

/// What the page shows.
const SEEN: &str = r#"(() => {
    const of = (id) => document.getElementById(id)?.textContent ?? "";
    const ids = ["version", "state", "echoes", "reconnects", "failed", "log"];
    return JSON.stringify(Object.fromEntries(ids.map((id) => [id, of(id)])));
})()"#;

/// A browser that has the page open.
pub(crate) struct Browser(chromium::Browser);

impl Browser {
    /// Opens a page and waits until its socket is open.
    pub(crate) fn open(url: &str) -> Option<Self> {
        let Some(program) = chromium::program() else {
            aside::say("skipped: no Chromium, so nobody looks at the page");
            return None;
        };
        let mut browser = Self(chromium::Browser::start(&program));
        browser.0.open(url);
        wait_for("the page's socket is open", 60, || {
            (browser.seen()["state"] == "open").then_some(())
        });
        Some(browser)
    }

    /// What the page shows.
    fn seen(&mut self) -> Value {
        let shown = self.0.evaluate(SEEN);
        serde_json::from_str(shown.as_str().unwrap_or("{}")).unwrap()
    }

    /// Waits until it shows that version and a socket that was opened again; what it shows then.
    pub(crate) fn settled_on(&mut self, version: &str) -> Value {
        wait_for("the page has moved", 30, || {
            let seen = self.seen();
            let moved = seen["version"] == version && seen["reconnects"] != "0";
            (moved && seen["state"] == "open").then_some(seen)
        })
    }
}
