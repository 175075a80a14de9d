//! Units that the router counts of a rollout, brought to the machine tick by tick.
//!
//! A tick is told once all of it has ended, or it is old enough that what has not is slow by any threshold. The
//! latencies to compare by are taken from stable's own requests until the candidate is given a share, and
//! told (so journaled) before: whoever controls it after a crash goes on by the same.
//! Nothing is judged here, and a router that cannot be asked now is asked again in a second.

use std::collections::BTreeMap;
use std::time::Duration;

use drivers::router::Router;
use model::survey::{Buckets, TickSeen};
use model::{Counted, Event, Fault, Phase, ReleaseId, Survey, Surveyed, Threshold, Tick, latency};
use rollout::Analysis;
use rollout::analysis::thresholds;
use tokio::time::Instant;

use super::active::Active;
use super::layout::Layout;
use super::probe_key;
use crate::clock::mono_ns;

/// How long after a tick has begun the router is asked for the one before.
const AFTER: Duration = Duration::from_millis(20);
/// Slower than this is not told apart, s.
const SLOWEST_S: u64 = 9;

/// What is known of the units of one rollout.
#[derive(Debug, Default)]
pub(super) struct Units {
    next: Option<Instant>,
    after_s: u64,
    /// The machine knows that the router tells of single requests.
    known: bool,
}

impl Units {
    /// Asks the router when it is time to, and tells the machine what is new.
    pub(super) async fn gather(
        &mut self,
        active: &mut Active,
        router: &dyn Router,
        layout: &Layout,
    ) -> Result<(), Fault> {
        let start = &active.run().start;
        let (Some(analysis), Some(stable)) = (start.settings.analysis, &start.stable) else {
            return Ok(());
        };
        let now = Instant::now();
        if active.outcome().is_some() || self.next.is_some_and(|next| now < next) {
            return Ok(());
        }
        self.next = Some(now + next_tick());
        let arms = (start.candidate.id, stable.id);
        let survey = Survey {
            app: start.app.clone(),
            releases: vec![arms.0, arms.1],
            count_by: analysis.count_by,
            probe_key: probe_key::read_or_make(&layout.run_directory(&active.run().name))?,
        };
        match router.survey(&survey, self.after_s).await {
            Ok(Some(surveyed)) => self.take(active, (analysis, arms), &surveyed),
            Ok(None) => Ok(()),
            Err(fault) => {
                tracing::debug!(%fault, "the router was not asked for units");
                Ok(())
            }
        }
    }

    fn take(
        &mut self,
        active: &mut Active,
        (analysis, arms): (Analysis, (ReleaseId, ReleaseId)),
        surveyed: &Surveyed,
    ) -> Result<(), Fault> {
        if !self.known {
            // No user is on the candidate, or what was told of them is in the journal.
            active.tell(&Event::Surveyed { until_ms: self.until_ms(active) })?;
            self.known = true;
        }
        if !active.judges_windows() {
            return if analysis.rules.compare {
                tell_before(active, before(surveyed, arms.1))
            } else {
                Ok(())
            };
        }
        let compared = active.machine().comparison();
        let mut limits: Vec<u64> =
            compared.map(|it| it.thresholds().map(|one| one.us).collect()).unwrap_or_default();
        limits.extend(analysis.rules.p99_us);
        // Of users who come from one address there is one unit in a tick; the machine joins them.
        let joins = active.run().start.settings.rules >= 7 && analysis.rules.compare;
        let until_s = surveyed.now_s.saturating_sub(lateness_s(&limits)).max(ended_s(surveyed));
        for (at_s, tick) in ticks(&surveyed.ticks, arms, &limits) {
            let tells = tick.candidate.units > 0 || joins;
            if at_s > self.after_s && at_s <= until_s && tells {
                active.tell(&Event::Units { at_s, tick })?;
            }
        }
        if until_s > self.after_s {
            self.after_s = until_s;
            active.tell(&Event::Surveyed { until_ms: self.until_ms(active) })?;
        }
        Ok(())
    }

    /// The end of the last tick that was told; 0 before the first one.
    fn until_ms(&self, active: &Active) -> u64 {
        active.clock().ms_of((self.after_s + 1).saturating_mul(1_000_000_000))
    }
}

/// Tells the latencies to compare by, until the candidate is to have its first users: once more when they
/// have changed.
fn tell_before(active: &mut Active, thresholds: Vec<Threshold>) -> Result<(), Fault> {
    let begun = active.entered().iter().any(|entered| entered.phase == Phase::Shifting);
    let us = |threshold: Threshold| threshold.us;
    let known = active.machine().comparison();
    let known: Vec<u64> = known.map(|it| it.thresholds().map(us).collect()).unwrap_or_default();
    // Of a proxy that has begun anew nothing is known yet.
    let news = !thresholds.is_empty() && !thresholds.iter().map(|it| it.us).eq(known);
    if news && !begun {
        active.tell(&Event::Thresholds { thresholds })?;
    }
    Ok(())
}

/// The thresholds that stable's requests so far give.
fn before(surveyed: &Surveyed, stable: ReleaseId) -> Vec<Threshold> {
    let met = surveyed.history.iter().find(|(release, _)| *release == stable);
    let mut found = met.map(|(_, met)| thresholds(met)).unwrap_or_default();
    found.retain(|threshold| threshold.us <= SLOWEST_S * 1_000_000);
    found
}

/// How long it is until a tick is over that is under way now.
fn next_tick() -> Duration {
    Duration::from_nanos(1_000_000_000 - mono_ns() % 1_000_000_000) + AFTER
}

/// The last tick up to which all that began has ended; in that of now more may begin.
fn ended_s(surveyed: &Surveyed) -> u64 {
    let open = surveyed.ticks.iter().filter(|tick| tick.ended < tick.units).map(|tick| tick.at_s);
    open.fold(surveyed.now_s, u64::min).saturating_sub(1)
}

/// How old another tick must be, s: what began at its end and is still open is slow by every limit then.
fn lateness_s(limits_us: &[u64]) -> u64 {
    let slowest = limits_us.iter().copied().max().unwrap_or_default();
    (slowest.div_ceil(1_000_000) + 1).clamp(2, SLOWEST_S + 1)
}

/// What was counted, by tick.
fn ticks(
    seen: &[TickSeen],
    (candidate, stable): (ReleaseId, ReleaseId),
    limits_us: &[u64],
) -> BTreeMap<u64, Tick> {
    let mut ticks: BTreeMap<u64, Tick> = BTreeMap::new();
    for one in seen {
        let tick = ticks.entry(one.at_s).or_default();
        if one.release == candidate {
            tick.candidate = counted(one, limits_us);
        } else if one.release == stable {
            tick.stable = counted(one, limits_us);
        }
    }
    ticks
}

fn counted(seen: &TickSeen, limits_us: &[u64]) -> Counted {
    let open = seen.units.saturating_sub(seen.ended);
    let slow = |limit: &u64| (open + beyond(&seen.lasted, *limit)).min(seen.units);
    let slow = limits_us.iter().map(slow).collect();
    Counted { units: seen.units, errors: seen.errors, slow }
}

/// How many took this long or longer; a limit within a bucket counts from the next one on.
fn beyond(lasted: &Buckets, limit_us: u64) -> u64 {
    let first = latency::bucket(limit_us.saturating_sub(1)) + 1;
    lasted.iter().filter(|(bucket, _)| usize::from(*bucket) >= first).map(|(_, n)| n).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::survey::TickSeen;
    use model::{
        AppName, Event, FleetSeen, ReleaseId, Surveyed, Threshold, Version, Weight, latency,
    };
    use rollout::{Analysis, Named, Settings, Start, Strategy};

    use super::{ended_s, lateness_s, tell_before, ticks};
    use crate::clock;
    use crate::server::active::Active;
    use crate::store::{NewRun, Store};

    fn seen(at_s: u64, release: u32, (units, ended, errors): (u64, u64, u64)) -> TickSeen {
        let at = |us| u16::try_from(latency::bucket(us)).unwrap();
        let lasted = vec![(at(1_000), ended - 1), (at(2_000_000), 1)];
        TickSeen { at_s, release: ReleaseId(release), units, ended, errors, lasted }
    }

    #[test]
    fn what_has_not_ended_is_slow_and_no_error() {
        let told = [seen(7, 1, (90, 88, 2)), seen(7, 2, (10, 9, 1)), seen(8, 1, (5, 5, 0))];
        let ticks = ticks(&told, (ReleaseId(2), ReleaseId(1)), &[1_000_000, 5_000_000]);
        let (candidate, stable) = (&ticks[&7].candidate, &ticks[&7].stable);
        assert_eq!(
            (candidate.units, candidate.errors, candidate.slow.as_slice()),
            (10, 1, &[2, 1][..])
        );
        assert_eq!((stable.units, stable.errors, stable.slow.as_slice()), (90, 2, &[3, 2][..]));
        assert_eq!(ticks[&8].candidate.units, 0);
    }

    fn begin(store: &Arc<Store>) -> Active {
        let named = |id, version: &str| Named {
            id: ReleaseId(id),
            version: Version::new(version).unwrap(),
        };
        let steps = vec![Weight::new(1_000).unwrap()];
        let settings = Settings {
            strategy: Strategy::Canary { steps, counts: Vec::new(), step_ms: 600_000 },
            analysis: Some(Analysis::default()),
            preview_requests: 0,
            probing: false,
            ..Settings::default()
        };
        let (stable, candidate) = (Some(named(1, "v1")), named(2, "v2"));
        let app = AppName::new("shop").unwrap();
        let run = store.begin(&NewRun {
            run: "one",
            start: &Start { app, stable, candidate, instances: 1, settings },
            original_routes: None,
            boot_id: &clock::boot_id().unwrap(),
            began_mono_ns: clock::mono_ns(),
            began_unix_ms: 0,
            epoch: 1,
        });
        Active::begin(Arc::clone(store), run.unwrap())
    }

    /// Dead between the switch and the first tick, it knows them all the same.
    #[test]
    fn what_is_compared_by_is_journaled_before_the_switch_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(directory.path()).unwrap());
        let mut active = begin(&store);
        let told = |us: &[u64]| -> Vec<Threshold> {
            us.iter().map(|us| Threshold { us: *us, slow: 200, of: 2_000 }).collect()
        };
        let known = |active: &Active| -> Vec<u64> {
            let comparison = active.machine().comparison();
            comparison.map_or_else(Vec::new, |it| it.thresholds().map(|it| it.us).collect())
        };
        tell_before(&mut active, told(&[9_000, 20_000])).unwrap();
        tell_before(&mut active, told(&[8_000, 20_000])).unwrap();
        let rows = || store.events(1, 0).unwrap().len();
        let before = rows();
        // Nothing new; and a proxy that has begun anew.
        tell_before(&mut active, told(&[8_000, 20_000])).unwrap();
        tell_before(&mut active, Vec::new()).unwrap();
        assert_eq!((known(&active), rows()), (vec![8_000, 20_000], before));
        let seen =
            FleetSeen { existing: 1, ready: 1, crashes: 0, unstarted: 0, trouble: Vec::new() };
        for release in [ReleaseId(1), ReleaseId(2)] {
            active.tell(&Event::Fleet { release, seen: seen.clone() }).unwrap();
        }
        let run = active.run().clone();
        drop(active);
        let mut active = Active::resume(Arc::clone(&store), run).unwrap();
        assert!(active.judges_windows(), "{:?}", active.entered());
        tell_before(&mut active, told(&[300_000])).unwrap();
        assert_eq!(known(&active), [8_000, 20_000]);
    }

    #[test]
    fn a_tick_is_told_when_what_is_open_is_slow() {
        assert_eq!(
            [&[][..], &[300_000], &[2_000_000], &[8_500_000]].map(lateness_s),
            [2, 2, 3, 10]
        );
    }

    #[test]
    fn a_tick_of_which_nothing_is_open_is_told_when_it_is_over() {
        let ended_s = |ticks| ended_s(&Surveyed { now_s: 9, ticks, history: Vec::new() });
        let (over, open) = ((5, 5, 1), (5, 4, 1));
        assert_eq!(ended_s(Vec::new()), 8);
        assert_eq!(ended_s(vec![seen(7, 1, over), seen(7, 2, over), seen(9, 1, open)]), 8);
        // One that is told is told once: none behind one that is not told yet.
        assert_eq!(ended_s(vec![seen(6, 2, open), seen(7, 1, over), seen(8, 2, over)]), 5);
    }
}
