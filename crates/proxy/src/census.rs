//! What is counted of an app at one instant, for the metrics, and which releases are told of at all.
//!
//! A release that has left the routes lingers for a while, so that whoever asks every minute sees its
//! last requests; then it is left out, so that what is told does not grow with every deploy. Much later
//! its counters are given up, too, so that memory does not grow either. How anything is told is not
//! known here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use model::{AppName, Generation, ReleaseId, Routes};

use crate::counters::{Counters, Lasting};
use crate::gate::Gate;
use crate::limits;

/// One app.
#[derive(Debug)]
pub(crate) struct AppCensus {
    /// Its name.
    pub(crate) app: AppName,
    /// Of its routes.
    pub(crate) generation: Generation,
    /// What no release is to blame for.
    pub(crate) lasting: Arc<Lasting>,
    /// Its releases.
    pub(crate) releases: Vec<ReleaseCensus>,
    /// How many of its instances fail their checks, as the routes tell.
    pub(crate) failing: usize,
    /// Some of those get requests all the same.
    pub(crate) fails_open: bool,
    /// Gates of instances in the routes, and of those that left them.
    pub(crate) gates: Vec<Arc<Gate>>,
}

/// One release.
#[derive(Debug)]
pub(crate) struct ReleaseCensus {
    /// Its number.
    pub(crate) id: ReleaseId,
    /// What happened to its requests.
    pub(crate) counters: Arc<Counters>,
}

/// When the releases of an app were last in its routes; `None` for those that are.
#[derive(Debug, Default)]
pub(crate) struct Departed(BTreeMap<ReleaseId, Option<Left>>);

/// A release that has left the routes.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// When it did.
    at: Instant,
    /// When something was last seen open on it; when it left, if that was later.
    used: Instant,
}

impl Departed {
    /// Takes new routes into account.
    pub(crate) fn follow(
        &mut self,
        routes: &Routes,
        known: impl Iterator<Item = ReleaseId>,
        now: Instant,
    ) {
        for release in known {
            let carried = routes.pools.iter().any(|pool| pool.release == release);
            let left = self.0.entry(release).or_default();
            *left = if carried { None } else { left.or(Some(Left { at: now, used: now })) };
        }
    }

    /// Something is open on a release.
    pub(crate) fn note_used(&mut self, release: ReleaseId, now: Instant) {
        if let Some(Some(left)) = self.0.get_mut(&release) {
            left.used = now;
        }
    }

    /// Forgets those that left long ago, and tells which: all but the last few to leave, and those that had
    /// something open not so long ago.
    pub(crate) fn forget(&mut self, now: Instant) -> Vec<ReleaseId> {
        let left = self.0.iter().filter_map(|(release, left)| left.map(|left| (*release, left)));
        let mut left: Vec<_> = left.collect();
        left.sort_by_key(|(release, left)| std::cmp::Reverse((left.at, *release)));
        let unused = |left: Left| now.saturating_duration_since(left.used);
        let long_ago = |left: Left| unused(left) >= limits::COUNTERS_LINGER;
        let beyond = left.into_iter().skip(limits::COUNTERS_KEPT);
        let forgotten: Vec<_> =
            beyond.filter(|(_, left)| long_ago(*left)).map(|(release, _)| release).collect();
        self.0.retain(|release, _| !forgotten.contains(release));
        forgotten
    }

    /// As if so much more time had passed.
    #[cfg(test)]
    pub(crate) fn age(&mut self, by: std::time::Duration) {
        for left in self.0.values_mut().flatten() {
            let earlier = |at: Instant| at.checked_sub(by).unwrap_or(at);
            (left.at, left.used) = (earlier(left.at), earlier(left.used));
        }
    }

    /// True for a release in the routes, and for the last few that left them a while ago.
    pub(crate) fn is_told(&self, release: ReleaseId, now: Instant) -> bool {
        match self.0.get(&release) {
            None => false,
            Some(None) => true,
            Some(Some(left)) => {
                let later = |other: &&Left| other.at > left.at;
                let newer = self.0.values().flatten().filter(later).count();
                newer < limits::RELEASES_LINGERING
                    && now.saturating_duration_since(left.at) < limits::RELEASE_LINGERS
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use model::{AppName, Generation, Pool, PoolState, ReleaseId, Routes, Version, Weight};

    use super::Departed;
    use crate::limits;

    fn routes(release: u32) -> Routes {
        let pool = Pool {
            release: ReleaseId(release),
            version: Version::new("v").unwrap(),
            weight: Weight::ALL,
            state: PoolState::Serving,
            instances: Vec::new(),
        };
        Routes {
            spread: model::Spread::default(),
            app: AppName::new("demo").unwrap(),
            generation: Generation(1),
            hosts: Vec::new(),
            path_prefix: "/".into(),
            pools: vec![pool],
            rules: Vec::new(),
            hold: None,
            hand_over: None,
        }
    }

    #[test]
    fn releases_linger_for_a_while_and_only_a_few_of_them() {
        let (mut departed, start) = (Departed::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let told = |departed: &Departed, now| {
            let told = |release: &u32| departed.is_told(ReleaseId(*release), now);
            (1..=20).filter(told).collect::<Vec<_>>()
        };
        for release in 1..=10 {
            departed.follow(&routes(release), (1..=release).map(ReleaseId), at(release.into()));
        }
        assert_eq!(told(&departed, at(10)), [6, 7, 8, 9, 10]);
        let late = at(8) + limits::RELEASE_LINGERS;
        assert_eq!(told(&departed, late), [8, 9, 10], "6 left at 7 and 7 at 8");
        departed.follow(&routes(3), (1..=10).map(ReleaseId), late);
        assert_eq!(told(&departed, late), [3, 8, 9, 10], "one that comes back is told");
        assert_eq!(told(&departed, late + limits::RELEASE_LINGERS), [3]);
    }

    #[test]
    fn counters_are_given_up_long_after_a_release_left_but_for_the_last_few() {
        let (mut departed, start) = (Departed::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut known: Vec<u32> = Vec::new();
        for release in 1..=13 {
            known.push(release);
            departed.follow(&routes(release), known.iter().copied().map(ReleaseId), at(0));
            assert!(departed.forget(at(0)).is_empty(), "however many leave at once");
        }
        // 12 have left; of them the last ten stay whatever the time, and so does one that was used since.
        departed.note_used(ReleaseId(1), at(60));
        departed.note_used(ReleaseId(13), at(60));
        let late = at(0) + limits::COUNTERS_LINGER;
        assert!(departed.forget(at(limits::COUNTERS_LINGER.as_secs() - 1)).is_empty());
        assert_eq!(departed.forget(late), [ReleaseId(2)]);
        assert!(departed.forget(late).is_empty(), "once");
        assert_eq!(departed.forget(late + Duration::from_mins(1)), [ReleaseId(1)]);
        assert!(departed.is_told(ReleaseId(13), late), "it is in the routes");
    }
}
