//! Judges the candidate by what the prober saw since the switch: absolute limits.
//!
//! It does not compare with stable (that needs a canary) and does not look at the fleet.

use model::{Tally, Window};
use serde::{Deserialize, Serialize};

use crate::settings::Settings;
use crate::words::{classes, count};

/// Attempts since the switch that may speak against the candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Judged {
    /// Answered by the candidate's version.
    pub candidate: Tally,
    /// Without a version, sent when the switch had been seen.
    pub nobody: Tally,
}

impl Judged {
    /// Adds a window. Attempts answered by any other version are not the candidate's; those without
    /// one are when the window began after the switch was seen (`since_switch`): before, stable
    /// may have failed them.
    pub(crate) fn add(&mut self, window: &Window, candidate: &str, since_switch: bool) {
        for (version, tally) in &window.by_version {
            if version.is_empty() {
                if since_switch {
                    self.nobody.add(tally);
                }
            } else if version == candidate {
                self.candidate.add(tally);
            }
        }
    }

    /// Why the candidate must go: at least `max_errors` errors *and* more than the share
    /// `max_error_share_bp` of all attempts (errors x 10 000 > share x attempts). Late answers are
    /// attempts, not errors.
    pub(crate) fn against(&self, settings: &Settings, version: &str) -> Option<String> {
        let mut all = self.candidate.clone();
        all.add(&self.nobody);
        let over = u128::from(all.errors()) * 10_000
            > u128::from(settings.max_error_share_bp) * u128::from(all.all());
        if all.errors() < settings.max_errors || !over {
            return None;
        }
        let (errors, attempts) = (all.errors(), count(all.all(), "request"));
        let names = classes(&all);
        Some(format!("{errors} of {attempts} failed since the switch to {version}: {names}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{Class, Tally, Window};

    use super::Judged;
    use crate::settings::Settings;

    fn tally(ok: u64, failed: &[(Class, u64)]) -> Tally {
        Tally { ok, failed: failed.iter().copied().collect() }
    }

    fn against(by_version: &[(&str, Tally)]) -> Option<String> {
        let by_version: BTreeMap<String, Tally> =
            by_version.iter().map(|(v, t)| ((*v).to_owned(), t.clone())).collect();
        let mut judged = Judged::default();
        judged.add(&Window { by_version, ..Window::default() }, "v2", true);
        judged.against(&Settings::default(), "v2")
    }

    #[test]
    fn both_limits_must_be_passed() {
        assert_eq!(against(&[("v2", tally(0, &[(Class::BadStatus, 2)]))]), None);
        assert_eq!(against(&[("v2", tally(297, &[(Class::BadStatus, 3)]))]), None);
        assert!(against(&[("v2", tally(296, &[(Class::BadStatus, 3)]))]).is_some());
    }

    #[test]
    fn stable_and_late_answers_do_not_count() {
        assert_eq!(against(&[("v1", tally(0, &[(Class::WsDropped, 50)]))]), None);
        assert_eq!(against(&[("v2", tally(0, &[(Class::Late, 50)]))]), None);
    }

    #[test]
    fn errors_without_a_version_count() {
        let why = against(&[
            ("v2", tally(10, &[(Class::Truncated, 1)])),
            ("", tally(0, &[(Class::Refused, 2)])),
        ]);
        let words = "3 of 13 requests failed since the switch to v2: refused 2, truncated 1";
        assert_eq!(why.as_deref(), Some(words));
    }
}
