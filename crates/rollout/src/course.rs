//! What a strategy comes to in one rollout: its shares, its batches, how long each is judged.
//!
//! Arithmetic only. It does not say when a step is taken; `forward`, `rolling` and `unroll` do.

use model::{Hold, Weight};

use crate::settings::Start;
use crate::strategy::Strategy;

/// The candidate's shares, one after the other; the first may be nothing, so that only those see it whom a
/// rule names, and the last one is all traffic.
pub(crate) fn shares(start: &Start) -> Vec<Weight> {
    let mut shares = Vec::new();
    if let (Strategy::Canary { steps, .. }, Some(_)) = (&start.settings.strategy, &start.stable) {
        for step in steps {
            if shares.last().is_none_or(|last| step > last) {
                shares.push(*step);
            }
        }
    }
    if shares.last() != Some(&Weight::ALL) {
        shares.push(Weight::ALL);
    }
    shares
}

/// How many steps it has: none where users do not come in shares.
pub(crate) fn steps(start: &Start) -> u16 {
    let canary = matches!(start.settings.strategy, Strategy::Canary { .. });
    let shares = if canary && start.stable.is_some() { shares(start).len() } else { 0 };
    u16::try_from(shares).unwrap_or(u16::MAX)
}

/// Which step has that share, counted from 1; `None` where users do not come in shares, and of one that only
/// an operator asked for.
pub(crate) fn step_of(start: &Start, share: Weight) -> Option<u16> {
    let at = shares(start).iter().position(|one| *one == share)?;
    u16::try_from(at + 1).ok().filter(|step| *step <= steps(start))
}

/// True when only some of the candidate's instances run at its first shares.
pub(crate) fn counted(start: &Start) -> bool {
    let Strategy::Canary { counts, .. } = &start.settings.strategy else { return false };
    !counts.is_empty() && start.stable.is_some()
}

/// How many instances of the candidate are to be ready before it has that share.
pub(crate) fn instances(start: &Start, share: Weight) -> u16 {
    let usual = start.instances.max(1);
    let Strategy::Canary { steps, counts, .. } = &start.settings.strategy else { return usual };
    let mut named = steps.iter().zip(counts).filter(|_| start.stable.is_some());
    let count = named.find(|(step, _)| **step == share).map(|(_, count)| *count);
    count.unwrap_or(usual).clamp(1, usual)
}

/// True when the first share is nothing.
pub(crate) fn begins_unseen(start: &Start) -> bool {
    shares(start).first() == Some(&Weight::NONE)
}

/// Instances replaced at once, if this rollout is rolling: so many that someone is left to serve.
pub(crate) fn batch(start: &Start) -> Option<u16> {
    let (Strategy::Rolling { batch, surge }, Some(_)) = (&start.settings.strategy, &start.stable)
    else {
        return None;
    };
    let usual = start.instances.max(1);
    let most = (usual - 1).saturating_add(*surge).min(usual);
    (most > 0).then(|| (*batch).clamp(1, most))
}

/// How many of a batch are started before stable makes room: so many more than usual may run.
pub(crate) fn surge(start: &Start) -> u16 {
    match (&start.settings.strategy, batch(start)) {
        (Strategy::Rolling { surge, .. }, Some(batch)) => (*surge).min(batch),
        _ => 0,
    }
}

/// How many of the usual instances may be missing at a time, there and back.
pub(crate) fn missing(start: &Start) -> u16 {
    batch(start).unwrap_or_default().saturating_sub(surge(start))
}

/// The bounds within which requests wait, if this rollout is a recreation.
pub(crate) fn hold(start: &Start) -> Option<Hold> {
    match (&start.settings.strategy, &start.stable) {
        (Strategy::Recreate { hold }, Some(_)) => Some(*hold),
        _ => None,
    }
}

/// True when the candidate is to take the place of stable at the end.
pub(crate) fn returns_home(start: &Start) -> bool {
    let beside = batch(start).is_none() && hold(start).is_none();
    start.settings.return_home && start.stable.is_some() && beside
}

/// True when stable is to be kept running once the candidate has taken its place.
pub(crate) fn keeps(start: &Start) -> bool {
    let beside = batch(start).is_none() && hold(start).is_none();
    start.settings.keep_old_ms > 0 && start.stable.is_some() && beside && !returns_home(start)
}

/// How long a share is judged before the next one, ms.
pub(crate) fn judged_ms(start: &Start, share: Weight) -> u64 {
    match &start.settings.strategy {
        Strategy::Canary { step_ms, .. } if share < Weight::ALL => *step_ms,
        _ => start.settings.bake_ms,
    }
}

#[cfg(test)]
mod tests {
    use model::{AppName, ReleaseId, Version, Weight};

    use super::{batch, missing, shares, surge};
    use crate::settings::{Named, Settings, Start};
    use crate::strategy::Strategy;

    fn start(strategy: Strategy, instances: u16) -> Start {
        let named = |id, version: &str| Named {
            id: ReleaseId(id),
            version: Version::new(version).unwrap(),
        };
        Start {
            app: AppName::new("shop").unwrap(),
            stable: Some(named(1, "v1")),
            candidate: named(2, "v2"),
            instances,
            settings: Settings { strategy, ..Settings::default() },
        }
    }

    fn canary(steps: &[u16]) -> Vec<u16> {
        let steps = steps.iter().map(|points| Weight::new(*points).unwrap()).collect();
        let start = start(Strategy::Canary { steps, step_ms: 1, counts: Vec::new() }, 2);
        shares(&start).into_iter().map(Weight::basis_points).collect()
    }

    #[test]
    fn shares_rise_to_all_traffic() {
        assert_eq!(canary(&[2_500, 5_000, 10_000]), [2_500, 5_000, 10_000]);
        assert_eq!(canary(&[2_500]), [2_500, 10_000]);
        assert_eq!(canary(&[0, 5_000, 0, 2_500, 5_000]), [0, 5_000, 10_000]);
        assert_eq!(canary(&[]), [10_000]);
    }

    #[test]
    fn a_first_deploy_has_no_shares_and_no_batches() {
        let steps = vec![Weight::new(100).unwrap()];
        let mut first = start(Strategy::Canary { steps, step_ms: 1, counts: Vec::new() }, 4);
        first.stable = None;
        assert_eq!(shares(&first), [Weight::ALL]);
        first.settings.strategy = Strategy::Rolling { batch: 1, surge: 0 };
        assert_eq!(batch(&first), None);
    }

    #[test]
    fn a_batch_leaves_one_instance() {
        let of = |n, instances| batch(&start(Strategy::Rolling { batch: n, surge: 0 }, instances));
        assert_eq!((of(0, 4), of(1, 4), of(9, 4)), (Some(1), Some(1), Some(3)));
        assert_eq!(of(1, 1), None);
    }

    #[test]
    fn a_surge_is_a_part_of_the_batch_and_may_be_all_of_it() {
        let of = |batch_, surge_, instances| {
            let start = start(Strategy::Rolling { batch: batch_, surge: surge_ }, instances);
            (batch(&start), surge(&start), missing(&start))
        };
        assert_eq!(of(2, 0, 4), (Some(2), 0, 2));
        assert_eq!(of(2, 1, 4), (Some(2), 1, 1));
        assert_eq!((of(2, 2, 4), of(2, 9, 4)), ((Some(2), 2, 0), (Some(2), 2, 0)));
        // Everything at once, as long as somebody serves.
        assert_eq!((of(4, 1, 4), of(9, 4, 4)), ((Some(4), 1, 3), (Some(4), 4, 0)));
        assert_eq!((of(1, 1, 1), of(1, 0, 1)), ((Some(1), 1, 0), (None, 0, 0)));
    }
}
