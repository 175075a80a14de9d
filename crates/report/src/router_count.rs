//! What the router itself counted of everybody's requests while the rollout was under way.
//!
//! The prober sees a sample of users; who carries the traffic sees all of them. Types and sentences. What
//! follows for the verdict is decided in `verdict`.

use serde::{Deserialize, Serialize};

use crate::figures::{count, several, span};

/// One release, as the router counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideCount {
    /// Requests sent to its instances.
    pub requests: u64,
    /// Of these, requests that failed there and could not be sent elsewhere: users got a 502 or 504,
    /// or an answer that was cut.
    pub failed: u64,
}

/// Requests that waited because nobody might serve them, as the router counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCount {
    /// That ever waited.
    pub total: u64,
    /// Answered 503 because a bound was reached: at once, or after they had waited.
    pub refused: u64,
    /// Longest wait, us.
    pub longest_us: u64,
}

impl HeldCount {
    /// "1,234 requests waited, the longest for 1.2 s".
    fn words(self) -> String {
        let waited = several(self.total, "request");
        if self.total == 0 {
            return format!("{waited} waited");
        }
        format!("{waited} waited, the longest for {}", span(self.longest_us))
    }
}

/// Both releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterCount {
    /// Who counted: `the proxy`.
    pub what: String,
    /// True when a failure counted is one that a user met. Otherwise some of them may have been mended
    /// by another try.
    pub exact: bool,
    /// The release users were on.
    pub old: SideCount,
    /// The release being shipped.
    pub new: SideCount,
    /// Requests that waited, where some did or were to.
    #[serde(default)]
    pub held: Option<HeldCount>,
}

impl RouterCount {
    /// Failures that users met, as far as that is certain.
    pub(crate) const fn lost(&self) -> u64 {
        if self.exact { self.old.failed.saturating_add(self.new.failed) } else { 0 }
    }

    /// Why this is no PASS; nothing when nobody lost anything.
    pub(crate) fn reason(&self, old: &str, new: &str) -> Option<String> {
        let lost = self.lost();
        (lost > 0).then(|| {
            let (of_old, of_new) = (count(self.old.failed), count(self.new.failed));
            let requests = several(lost, "request");
            format!(
                "{} counted {requests} of users that failed: {of_old} on {old}, {of_new} on {new}",
                self.what
            )
        })
    }

    /// Why a hold is no PASS; nothing when everybody who waited was served.
    pub(crate) fn refusal(&self) -> Option<String> {
        let held = self.held.filter(|held| held.refused > 0)?;
        let refused = several(held.refused, "request");
        let words = held.words();
        Some(format!(
            "{} refused {refused} because a bound of the hold was met: {words}",
            self.what
        ))
    }

    /// What is to be said of a hold beside the verdict.
    pub(crate) fn waited(&self) -> Option<String> {
        let held = self.held.filter(|held| held.refused == 0)?;
        Some(format!("while nobody served, {}; none was refused", held.words()))
    }

    /// What is to be said of it beside the verdict.
    pub(crate) fn fact(&self) -> Option<String> {
        let requests = count(self.old.requests.saturating_add(self.new.requests));
        let failed = self.old.failed.saturating_add(self.new.failed);
        match (self.exact, failed) {
            (true, 0) => Some(format!("{} carried {requests} requests, none failed", self.what)),
            (true, _) | (false, 0) => None,
            (false, _) => Some(format!(
                "{} counted {} with an instance; another try may have mended them",
                self.what,
                several(failed, "error")
            )),
        }
    }
}
