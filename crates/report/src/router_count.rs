//! What the router itself counted of everybody's requests while the rollout was under way.
//!
//! The prober sees a sample of users; who carries the traffic sees all of them. Types and sentences.

use serde::{Deserialize, Serialize};

use crate::figures::{count, several};

/// One release, as the router counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideCount {
    /// Requests sent to its instances.
    pub requests: u64,
    /// Of these, requests that failed there and could not be sent elsewhere: users got a 502 or 504,
    /// or an answer that was cut.
    pub failed: u64,
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
