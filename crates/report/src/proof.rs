//! How the version changed: when both answered, and whether one connection ever saw it go back.
//!
//! Without both version names there is no proof, and it says so by returning `None`.

use std::collections::{BTreeMap, BTreeSet};

use model::attempt::Witness;
use model::receipt::Item;
use model::{Attempt, Class, Lane, Outcome, Phase};

use crate::axis::{axis, between, sent_at};
use crate::lanes::whole_answer;
use crate::run::Run;
use crate::shares;
use crate::version_proof::{Regression, VersionProof};

/// Regressions listed one by one.
const LISTED: usize = 100;

/// Proof of the change, when both versions are known.
pub(crate) fn proof(run: &Run<'_>) -> Option<VersionProof> {
    let (from, to) = run.apart()?;
    let sent = |version: &str, socket: bool| {
        let hits = run.sent.iter().filter(move |a| (a.lane == Lane::Websocket) == socket);
        let times = hits.filter(|a| a.version.as_deref() == Some(version)).map(|a| sent_at(a));
        times.fold(None, |seen: Option<(i64, i64)>, at| {
            Some(seen.map_or((at, at), |(first, last)| (first.min(at), last.max(at))))
        })
    };
    let (old, new) = (sent(from, false), sent(to, false));
    let Regressions { counted, by_share, excused } = regressions(run, from, to);
    let pinned = new.map(|(first, _)| pinned(run, from, first)).unwrap_or_default();
    let mut proof = VersionProof {
        first_new_us: new.map(|(first, _)| first),
        last_new_us: new.map(|(_, last)| last),
        last_old_us: old.map(|(_, last)| last),
        mixed_us: None,
        switch_time_us: switch_time(run, from),
        last_old_message_us: sent(from, true).map(|(_, last)| last),
        pinned_connections: pinned.len() as u64,
        longest_pinned_us: pinned.into_values().max().unwrap_or(0),
        regressions: counted.len() as u64,
        regressions_by_share: by_share,
        regressions_excused: excused,
        first_regressions: counted.into_iter().take(LISTED).collect(),
        weakest_witness: weakest(run),
    };
    let mixed = proof.mixed().map_or(0, |(from, to)| between(from, to));
    proof.mixed_us = old.and(new).map(|_| mixed);
    Some(proof)
}

/// How long each connection went on with the old version after the new one had begun to answer.
fn pinned(run: &Run<'_>, from: &str, first_new_us: i64) -> BTreeMap<u32, u64> {
    let requests = run.sent.iter().filter(|a| a.connection != 0 && a.lane != Lane::Websocket);
    let old = requests.filter(|a| a.version.as_deref() == Some(from) && sent_at(a) > first_new_us);
    let mut longest: BTreeMap<u32, u64> = BTreeMap::new();
    for a in old {
        let kept = longest.entry(a.connection).or_default();
        *kept = (*kept).max(between(first_new_us, sent_at(a)));
    }
    longest
}

/// From the command to the last old answer: what a switch costs in time.
fn switch_time(run: &Run<'_>, from: &str) -> Option<u64> {
    let all = shares::all(run.input).filter(|_| run.input.outcome == Outcome::Promoted)?;
    let old = run.sent.iter().filter(|a| {
        a.lane != Lane::Websocket && a.version.as_deref() == Some(from) && sent_at(a) > all.from_us
    });
    Some(old.map(|a| between(all.from_us, axis(a.done_us))).max().unwrap_or(0))
}

/// Old answers on connections on which the new version had answered.
#[derive(Default)]
struct Regressions {
    counted: Vec<Regression>,
    by_share: u64,
    excused: u64,
}

fn regressions(run: &Run<'_>, from: &str, to: &str) -> Regressions {
    let mut new_seen: BTreeMap<u32, i64> = BTreeMap::new();
    for a in run.sent.iter().filter(|a| a.connection != 0 && a.version.as_deref() == Some(to)) {
        let arrived = new_seen.entry(a.connection).or_insert(i64::MAX);
        *arrived = (*arrived).min(axis(a.done_us));
    }
    let shared_until = shared_until(run).min(back_from(run));
    let excuse = Excuse::of(run);
    let old = run.sent.iter().filter(|a| a.version.as_deref() == Some(from));
    let mut out = Regressions::default();
    for (a, new_seen_us) in old.filter_map(|a| Some((*a, *new_seen.get(&a.connection)?))) {
        if sent_at(a) <= new_seen_us {
            continue;
        }
        if sent_at(a) < shared_until {
            out.by_share += 1;
        } else if excuse.covers(a) {
            out.excused += 1;
        } else {
            out.counted.push(regression(a, new_seen_us));
        }
    }
    out
}

/// Which answers of the old version are what going back means.
pub(crate) struct Excuse {
    from_us: i64,
    /// Attempts that were put to an instance again: the one that had them first did not answer.
    replayed: BTreeSet<u64>,
}

impl Excuse {
    pub(crate) fn of(run: &Run<'_>) -> Self {
        let from_us = back_from(run);
        if run.input.outcome != Outcome::Aborted {
            return Self { from_us, replayed: BTreeSet::new() };
        }
        let receipts = run.input.account.iter().flat_map(|account| &account.receipts);
        let again = receipts.filter(|one| one.sends > 1).filter_map(|one| match one.item {
            Item::Attempt(id) => Some(u64::from(id)),
            Item::Socket(_) => None,
        });
        Self { from_us: from_us.min(gone_from(run)), replayed: again.collect() }
    }

    /// From the turn on, or since the candidate was gone; before that only a request of which it is known
    /// that it was not answered where it was put first.
    pub(crate) fn covers(&self, a: &Attempt) -> bool {
        axis(a.done_us) >= self.from_us || self.replayed.contains(&a.id)
    }
}

/// Since when the candidate was gone, for which stable stands in before the rollout knows that it will abort:
/// since its last answer, or the first one that it broke off. One that answers now and then is not gone.
fn gone_from(run: &Run<'_>) -> i64 {
    let own = || run.sent.iter().filter(|a| run.is_new(run.version_of(a)));
    let last = own().filter(|a| whole_answer(a.class)).map(|a| axis(a.done_us)).max();
    let broken = own().filter(|a| a.class.failed() && !answered(a.class));
    let first = broken.map(|a| axis(a.done_us)).min();
    first.into_iter().chain(last).min().unwrap_or(i64::MAX)
}

/// Something whole came, right or not.
fn answered(class: Class) -> bool {
    whole_answer(class) || matches!(class, Class::BadStatus | Class::WrongContent)
}

/// When the rollout turned back; the end of time when it never did.
fn back_from(run: &Run<'_>) -> i64 {
    let back = run.input.phases.iter().filter(|s| going_back(s.phase)).map(|s| s.from_us).min();
    back.unwrap_or(i64::MAX)
}

/// Until when random shares, or a router that mixes, may send one connection to either version: until all
/// traffic was seen to go to the new one. Without them at no time, so that blue-green is held to its first
/// answer.
fn shared_until(run: &Run<'_>) -> i64 {
    if !shares::partial(run.input) && !run.input.settings.mixes {
        return i64::MIN;
    }
    shares::all(run.input).and_then(|all| all.settled_us).unwrap_or(i64::MAX)
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
