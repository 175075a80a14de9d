//! Judges the candidate by what the prober saw since the switch: absolute limits.
//!
//! An attempt that was answered names the version that answered it, and counts for that one alone.
//! One without a version may have failed on either release while both have a share: then it counts
//! against neither, and is told. Only when the candidate was seen to have all traffic is it the
//! candidate's. So a candidate that breaks connections without a word passes its steps as far as the
//! prober goes and is found at 100 %: a share limits what it can do, and charging it for what stable
//! may have done would abort a good one in every incident that hits both.
//!
//! Windows come several times a second, and a share of few attempts is soon above any limit by chance. So
//! while a step goes on the candidate goes only for what chance does not explain (`analysis::above`, which
//! may be looked at after every window); when its time is over, the share is taken as it is.
//!
//! It does not compare with stable and does not look at the fleet.

use model::{Tally, Window};
use serde::{Deserialize, Serialize};

use crate::analysis::{Above, Arm};
use crate::settings::Settings;
use crate::words::{classes, count};

/// Attempts since the switch that may speak against the candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Judged {
    /// Answered by the candidate's version.
    pub candidate: Tally,
    /// Without a version, sent when the candidate had been seen to have all traffic.
    pub nobody: Tally,
    /// Without a version while both releases had a share.
    #[serde(default)]
    pub shared: Tally,
    /// The evidence that more of the candidate's fail than may; `None` before the first window, and where
    /// the limit is nothing or everything.
    #[serde(default)]
    evidence: Option<Above>,
}

/// What an attempt without a version says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nameless {
    /// It was sent when only the candidate could fail it.
    Candidates,
    /// Both releases have a share.
    Shared,
    /// It may have been sent before the switch.
    Unknown,
}

impl Judged {
    /// Adds a window. Attempts answered by any other version are not the candidate's.
    pub(crate) fn add(
        &mut self,
        window: &Window,
        (candidate, nameless): (&str, Nameless),
        limit_bp: u16,
    ) {
        let before = self.all();
        for (version, tally) in &window.by_version {
            match nameless {
                _ if version == candidate => self.candidate.add(tally),
                Nameless::Candidates if version.is_empty() => self.nobody.add(tally),
                Nameless::Shared if version.is_empty() => self.shared.add(tally),
                _ => {}
            }
        }
        if (1..10_000).contains(&limit_bp) {
            let (after, limit) = (self.all(), f64::from(limit_bp) / 10_000.0);
            let arm = Arm::new(after.all() - before.all(), after.errors() - before.errors());
            self.evidence.get_or_insert_with(|| Above::share(limit)).add(arm);
        }
    }

    /// What may speak against the candidate.
    fn all(&self) -> Tally {
        let mut all = self.candidate.clone();
        all.add(&self.nobody);
        all
    }

    /// True when chance explains what failed: were the limit just kept, so much would be seen at some time
    /// more often than `alpha`.
    fn by_chance(&self, alpha: f64) -> bool {
        self.evidence.as_ref().is_some_and(|evidence| evidence.log_e() < -alpha.ln())
    }

    /// Why the candidate must go: at least `max_errors` errors *and* more than the share
    /// `max_error_share_bp` of all attempts (errors x 10 000 > share x attempts). Late answers are
    /// attempts, not errors. With `alpha`, only if chance does not explain it.
    pub(crate) fn against(
        &self,
        settings: &Settings,
        since: &str,
        alpha: Option<f64>,
    ) -> Option<String> {
        let all = self.all();
        if !over(&all, settings) || alpha.is_some_and(|alpha| self.by_chance(alpha)) {
            return None;
        }
        let (errors, attempts) = (all.errors(), count(all.all(), "request"));
        let names = classes(&all);
        Some(format!("{errors} of {attempts} failed since {since}: {names}"))
    }
}

/// What the prober saw of both releases in the last windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lately(Vec<(Tally, Tally)>);

impl Lately {
    /// Windows that are kept; one is a quarter of a second.
    const WINDOWS: usize = 40;

    /// Adds a window; `stable` is the version beside the candidate's.
    pub(crate) fn add(&mut self, window: &Window, candidate: &str, stable: &str) {
        let of = |version: &str| window.by_version.get(version).cloned().unwrap_or_default();
        if self.0.len() == Self::WINDOWS {
            self.0.remove(0);
        }
        self.0.push((of(candidate), of(stable)));
    }

    /// True when answers of both broke the limits.
    pub(crate) fn both_over(&self, settings: &Settings) -> bool {
        let (candidate, stable) = self.sums();
        over(&candidate, settings) && over(&stable, settings)
    }

    /// True when answers of stable failed, more than may be, and at least half as often as the
    /// candidate's.
    pub(crate) fn alike(&self, settings: &Settings) -> bool {
        let (candidate, stable) = self.sums();
        let half = u128::from(stable.errors()) * u128::from(candidate.all()) * 2;
        stable.errors() > 0
            && over_share(&stable, settings)
            && half >= u128::from(candidate.errors()) * u128::from(stable.all())
    }

    fn sums(&self) -> (Tally, Tally) {
        let (mut candidate, mut stable) = (Tally::default(), Tally::default());
        for (new, old) in &self.0 {
            candidate.add(new);
            stable.add(old);
        }
        (candidate, stable)
    }
}

/// True when answers break both limits.
fn over(tally: &Tally, settings: &Settings) -> bool {
    tally.errors() >= settings.max_errors && over_share(tally, settings)
}

fn over_share(tally: &Tally, settings: &Settings) -> bool {
    let share = u128::from(settings.max_error_share_bp) * u128::from(tally.all());
    u128::from(tally.errors()) * 10_000 > share
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{Class, Tally, Window};

    use super::{Judged, Nameless};
    use crate::settings::Settings;

    fn tally(ok: u64, failed: &[(Class, u64)]) -> Tally {
        Tally { ok, failed: failed.iter().copied().collect() }
    }

    fn against(by_version: &[(&str, Tally)]) -> Option<String> {
        judged(by_version, Nameless::Candidates)
    }

    fn judged(by_version: &[(&str, Tally)], nameless: Nameless) -> Option<String> {
        let by_version: BTreeMap<String, Tally> =
            by_version.iter().map(|(v, t)| ((*v).to_owned(), t.clone())).collect();
        let mut judged = Judged::default();
        let window = Window { by_version, ..Window::default() };
        judged.add(&window, ("v2", nameless), 100);
        judged.against(&Settings::default(), "the switch to v2", None)
    }

    #[test]
    fn both_limits_must_be_passed() {
        assert_eq!(against(&[("v2", tally(0, &[(Class::BadStatus, 2)]))]), None);
        assert_eq!(against(&[("v2", tally(297, &[(Class::BadStatus, 3)]))]), None);
        assert!(against(&[("v2", tally(296, &[(Class::BadStatus, 3)]))]).is_some());
    }

    #[test]
    fn what_chance_explains_is_not_held_against_it_before_its_time_is_over() {
        let window = |ok, failed| {
            let by_version = [("v2".to_owned(), tally(ok, &[(Class::BadStatus, failed)]))];
            Window { by_version: by_version.into(), ..Window::default() }
        };
        let against = |windows: &[(u64, u64)], alpha| {
            let mut judged = Judged::default();
            for (ok, failed) in windows {
                judged.add(&window(*ok, *failed), ("v2", Nameless::Candidates), 100);
            }
            judged.against(&Settings::default(), "", alpha).is_some()
        };
        // Three of 150 come of one in a hundred every fifth time; three of three do not.
        assert!(against(&[(147, 3)], None) && !against(&[(147, 3)], Some(0.01)));
        assert!(against(&[(0, 3)], Some(0.01)));
        // In windows as at once.
        assert!(against(&[(40, 2), (40, 2), (40, 3)], Some(0.01)));
        assert!(!against(&[(40, 1), (40, 1), (40, 1)], Some(0.01)));
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

    #[test]
    fn errors_without_a_version_count_against_nobody_while_both_have_a_share() {
        let windows = [("v2", tally(10, &[])), ("", tally(0, &[(Class::Refused, 90)]))];
        assert_eq!(judged(&windows, Nameless::Shared), None);
        assert_eq!(judged(&windows, Nameless::Unknown), None);
        assert!(judged(&windows, Nameless::Candidates).is_some());
    }
}
