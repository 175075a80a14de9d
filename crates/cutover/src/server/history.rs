//! What the API and `cutover history` tell of rollouts, the newest first.
//!
//! The journal knows all but the verdict, which stands in the report as long as that is kept.

use std::fs::File;
use std::io::BufReader;

use model::{AppName, Fault, Outcome, Verdict};
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use crate::store::{Past, Store};

/// One rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PastRun {
    /// Its id.
    pub(crate) run: String,
    /// Its app.
    pub(crate) app: String,
    /// Version that users were on, if any.
    pub(crate) from: Option<String>,
    /// Version that was shipped.
    pub(crate) to: String,
    /// How it ended; `None` while it is under way.
    pub(crate) outcome: Option<Outcome>,
    /// What the traffic saw, if somebody looked and the report is still there.
    pub(crate) verdict: Option<Verdict>,
    /// Wall clock at its begin, ms since 1970.
    pub(crate) began_unix_ms: u64,
    /// How long it took, or has taken, ms.
    pub(crate) took_ms: u64,
    /// The report's page, while it is kept.
    pub(crate) report: Option<String>,
}

/// The newest rollouts of an app, or of all.
pub(crate) fn history(
    store: &Store,
    layout: &Layout,
    (app, limit): (Option<&AppName>, u32),
) -> Result<Vec<PastRun>, Fault> {
    let past = store.past(app, limit)?;
    Ok(past.into_iter().map(|one| told(layout, one)).collect())
}

fn told(layout: &Layout, past: Past) -> PastRun {
    let Past { run, app, from, to, outcome, began_unix_ms, took_ms } = past;
    let page = layout.report(&run, "html");
    let report = page.exists().then(|| page.display().to_string());
    let verdict = verdict(layout, &run);
    PastRun { run, app, from, to, outcome, verdict, began_unix_ms, took_ms, report }
}

fn verdict(layout: &Layout, run: &str) -> Option<Verdict> {
    #[derive(Deserialize)]
    struct Judged {
        verdict: Verdict,
    }
    let file = File::open(layout.report(run, "json")).ok()?;
    let judged: Judged = serde_json::from_reader(BufReader::new(file)).ok()?;
    Some(judged.verdict)
}
