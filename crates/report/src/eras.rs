//! Cuts the run at its switch, and measures each version in each part.
//!
//! It compares nothing: whether the new version is slower is for the reader, and for the analysis of the
//! rollout while it runs.

use std::collections::BTreeMap;

use model::{Attempt, Lane, Outcome};

use crate::axis::axis;
use crate::era::{CurvePoint, Era, EraName, EraSide};
use crate::lanes::whole_answer;
use crate::run::{Run, percentile};
use crate::version_proof::VersionProof;

/// Quantiles of a curve, per mille; the last is the longest answer.
pub(crate) const QUANTILES: [u16; 11] = [10, 50, 100, 250, 500, 750, 900, 950, 990, 999, 1_000];
/// Answers beyond a quantile that make it mean something.
const BEYOND: usize = 10;

/// The parts; none without a switch.
pub(crate) fn eras(run: &Run<'_>, proof: Option<&VersionProof>) -> Vec<Era> {
    let first_new = proof.and_then(|p| p.first_new_us);
    let Some(begin) = run.switch().map(|(from, _)| from).or(first_new) else {
        return Vec::new();
    };
    let moved = run.switches.last().map(|(_, to)| *to);
    // Where users went back, the new version is the one that traffic moved away from.
    let left = match run.input.outcome {
        Outcome::Aborted => proof.and_then(|p| p.last_new_us),
        _ => proof.and_then(|p| p.last_old_us).filter(|_| first_new.is_some()),
    };
    let end = moved.into_iter().chain(left).max().unwrap_or(begin).max(begin);
    let cuts = [
        (EraName::Before, run.from_us, begin),
        (EraName::During, begin, end),
        (EraName::After, end, run.to_us),
    ];
    let all = cuts.map(|(name, from_us, to_us)| era(run, name, (from_us, to_us)));
    all.into_iter().filter(|era| era.sent > 0).collect()
}

fn era(run: &Run<'_>, name: EraName, (from_us, to_us): (i64, i64)) -> Era {
    let last = name == EraName::After;
    let within = |a: &&&Attempt| {
        let at = axis(a.intended_us);
        let request = a.lane != Lane::Websocket && !a.lane.slow();
        request && from_us <= at && (at < to_us || last)
    };
    let requests: Vec<&Attempt> = run.sent.iter().filter(within).copied().collect();
    let mut taken: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for a in requests.iter().filter(|a| whole_answer(a.class)) {
        taken.entry(run.slot_of(a)).or_default().push(a.ttlb_us());
    }
    let sides = taken.into_iter().map(|(version, taken)| side(version, taken));
    Era {
        name,
        from_us,
        to_us,
        sent: requests.len() as u64,
        failed: requests.iter().filter(|a| a.class.failed()).count() as u64,
        sides: sides.collect(),
    }
}

fn side(version: usize, mut taken: Vec<u64>) -> EraSide {
    taken.sort_unstable();
    let enough = |per_mille: usize| {
        per_mille == 1_000 || taken.len() * per_mille.min(1_000 - per_mille) >= BEYOND * 1_000
    };
    let points = QUANTILES.into_iter().filter(|q| enough(usize::from(*q)));
    let curve = points.filter_map(|per_mille| {
        let ttlb_us = percentile(&taken, usize::from(per_mille))?;
        Some(CurvePoint { per_mille, ttlb_us })
    });
    EraSide { version, answers: taken.len() as u64, curve: curve.collect() }
}
