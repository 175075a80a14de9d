//! How the version changed: when both answered, and whether one connection ever saw it go back.
//!
//! Without both version names there is no proof, and it says so by returning `None`.

use std::collections::BTreeMap;

use model::attempt::Witness;
use model::{Attempt, Lane, Outcome, Phase};

use crate::axis::{axis, between, sent_at};
use crate::document::{Regression, VersionProof};
use crate::run::Run;

/// Regressions listed one by one.
const LISTED: usize = 100;

/// Proof of the change, when both versions are known.
pub(crate) fn proof(run: &Run<'_>) -> Option<VersionProof> {
    let (from, to) = (run.input.from.as_deref()?, run.input.to.as_deref()?);
    if from == to {
        return None;
    }
    let sent = |version: &str, socket: bool| {
        let hits = run.sent.iter().filter(move |a| (a.lane == Lane::Websocket) == socket);
        let times = hits.filter(|a| a.version.as_deref() == Some(version)).map(|a| sent_at(a));
        times.fold(None, |seen: Option<(i64, i64)>, at| {
            Some(seen.map_or((at, at), |(first, last)| (first.min(at), last.max(at))))
        })
    };
    let (old, new) = (sent(from, false), sent(to, false));
    let (counted, excused) = regressions(run, from, to);
    let mut proof = VersionProof {
        first_new_us: new.map(|(first, _)| first),
        last_new_us: new.map(|(_, last)| last),
        last_old_us: old.map(|(_, last)| last),
        mixed_us: None,
        last_old_message_us: sent(from, true).map(|(_, last)| last),
        regressions: counted.len() as u64,
        regressions_excused: excused,
        first_regressions: counted.into_iter().take(LISTED).collect(),
        weakest_witness: weakest(run),
    };
    let mixed = proof.mixed().map_or(0, |(from, to)| between(from, to));
    proof.mixed_us = old.and(new).map(|_| mixed);
    Some(proof)
}

/// Regressions that count, and how many are excused because the rollout went back.
fn regressions(run: &Run<'_>, from: &str, to: &str) -> (Vec<Regression>, u64) {
    let mut new_seen: BTreeMap<u32, i64> = BTreeMap::new();
    for a in run.sent.iter().filter(|a| a.connection != 0 && a.version.as_deref() == Some(to)) {
        let arrived = new_seen.entry(a.connection).or_insert(i64::MAX);
        *arrived = (*arrived).min(axis(a.done_us));
    }
    let back = run.input.phases.iter().filter(|s| going_back(s.phase)).map(|s| s.from_us).min();
    let excused_from = match run.input.outcome {
        // A candidate that dies is replayed to stable before the rollout knows that it will abort.
        Outcome::Aborted => i64::MIN,
        Outcome::Promoted | Outcome::Stuck | Outcome::None => back.unwrap_or(i64::MAX),
    };
    let old = run.sent.iter().filter(|a| a.version.as_deref() == Some(from));
    let (mut counted, mut excused) = (Vec::new(), 0);
    for (a, new_seen_us) in old.filter_map(|a| Some((*a, *new_seen.get(&a.connection)?))) {
        if sent_at(a) <= new_seen_us {
            continue;
        }
        if axis(a.done_us) >= excused_from {
            excused += 1;
        } else {
            counted.push(regression(a, new_seen_us));
        }
    }
    (counted, excused)
}

fn regression(a: &Attempt, new_seen_us: i64) -> Regression {
    Regression {
        id: a.id,
        lane: a.lane,
        connection: a.connection,
        new_seen_us,
        sent_us: sent_at(a),
    }
}

fn going_back(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::RollingBack | Phase::DrainingCandidate | Phase::StoppingCandidate | Phase::Aborted
    )
}

fn weakest(run: &Run<'_>) -> Option<Witness> {
    let mut seen = run.sent.iter().filter_map(|a| a.witness);
    let first = seen.next()?;
    let stamp = first == Witness::Stamp || seen.any(|w| w == Witness::Stamp);
    Some(if stamp { Witness::Stamp } else { Witness::App })
}
