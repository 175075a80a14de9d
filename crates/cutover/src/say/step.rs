//! What a running rollout tells those who watch: one stream, told by every renderer in its own way.
//!
//! All times are milliseconds since the rollout began, as in the journal, so a renderer needs no
//! clock and shows a replayed rollout as it was. No words for people are made here.

use model::{AppName, Outcome, Phase, Verdict, Version};
use serde::Serialize;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(crate) enum Step {
    /// A rollout began, or this client joined it.
    Began {
        /// The app.
        app: AppName,
        /// What users are on; `None` for a first deploy.
        from: Option<Version>,
        /// What is being shipped.
        to: Version,
        /// Id of the run, as in the names of the report's files.
        run: String,
        /// Wall clock at ms 0 of the rollout, ms since 1970.
        began_unix_ms: u64,
    },
    /// A phase was entered.
    Phase {
        /// The phase.
        phase: Phase,
        /// When.
        at_ms: u64,
        /// Why, in words; so also how the phase before it ended. A first line that is a sentence,
        /// then its evidence, if any.
        why: String,
    },
    /// How the traffic is now.
    Live(Live),
    /// Something worth a line of its own.
    Note {
        /// When.
        at_ms: u64,
        /// The words.
        text: String,
    },
    /// The rollout is over.
    Ended {
        /// When.
        at_ms: u64,
        /// Where users are.
        outcome: Outcome,
        /// What the traffic saw; `None` when nobody probed.
        verdict: Option<Verdict>,
        /// Requests the prober sent.
        sent: u64,
        /// Of those, failed.
        failed: u64,
        /// Why: a sentence, then its evidence, if any.
        why: String,
    },
}

/// How the traffic is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Live {
    /// When.
    pub(crate) at_ms: u64,
    /// Answers per second by version as the answers say it, in the last moments.
    pub(crate) per_version: Vec<Rate>,
    /// Requests the prober sent since the run began.
    pub(crate) sent: u64,
    /// Of those, failed.
    pub(crate) failed: u64,
    /// What is still open on the release that is being left.
    pub(crate) open_old: Option<Open>,
    /// Median time to last byte in the last moments, us; `None` when nothing was measured.
    pub(crate) p50_us: Option<u64>,
    /// How late the prober itself sent at worst in the last moments, us; `None` when it did not say.
    pub(crate) late_us: Option<u64>,
    /// What the phase waits for although its time is over: "until …".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waits: Option<String>,
}

impl Live {
    /// True once the prober has sent something.
    pub(crate) const fn has_data(&self) -> bool {
        self.sent > 0
    }
}

/// The first line of a reason, which is a sentence; the lines below it are its evidence, which the
/// result of the command shows whole.
pub(crate) fn sentence(why: &str) -> &str {
    why.lines().next().unwrap_or_default()
}

/// Answers per second of one version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Rate {
    /// The version as the answers say it (hostile text possible).
    pub(crate) version: String,
    /// Answers per second.
    pub(crate) rps: f64,
}

/// What is open on a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Open {
    /// Requests.
    pub(crate) requests: u64,
    /// Tunnels (upgraded connections).
    pub(crate) tunnels: u64,
}
