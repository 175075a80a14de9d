//! Failures one by one and in groups, each group with its cause.
//!
//! What a cause says is written in `cause`; this file only sorts.

use std::collections::BTreeMap;

use model::attempt::{NO_ADDRESS, NO_TLS};
use model::{Attempt, Class, Lane, Phase};

use crate::axis::axis;
use crate::cause::{Advisor, Case};
use crate::cause_rules::{Side, Sign};
use crate::clean;
use crate::document::{Cause, FailureGroup, FailureRow};
use crate::reuse::Reuse;
use crate::run::Run;

/// Failures kept one by one.
pub(crate) const ROWS: usize = 10_000;

type Key = (Option<Phase>, Lane, Class, usize, Sign);

/// Every failure, up to the cap.
pub(crate) fn rows(run: &Run<'_>) -> Vec<FailureRow> {
    run.failures().take(ROWS).map(|a| row(run, a)).collect()
}

/// Groups in the order of their first failure, and the causes they point to.
pub(crate) fn groups(run: &Run<'_>) -> (Vec<FailureGroup>, Vec<Cause>) {
    let mut sorted: BTreeMap<Key, Vec<&Attempt>> = BTreeMap::new();
    let reuse = Reuse::of(run);
    for a in run.failures() {
        let phase = run.phase_at(axis(a.intended_us));
        let key = (phase, a.lane, a.class, run.slot_of(a), sign(a, &reuse));
        sorted.entry(key).or_default().push(a);
    }
    let advisor = Advisor::new(run);
    let mut causes: Vec<Cause> = Vec::new();
    let mut groups = Vec::new();
    for (key, attempts) in sorted {
        let (why, advice) = advisor.explain(case(run, &key, &attempts), &attempts);
        let known = causes.iter().position(|c| c.why == why);
        let cause = known.unwrap_or_else(|| {
            causes.push(Cause { failures: 0, why, advice });
            causes.len() - 1
        });
        causes[cause].failures += attempts.len() as u64;
        groups.push(group(run, &key, &attempts, cause));
    }
    groups.sort_by_key(|g| (g.first_us, g.lane, g.class));
    (groups, causes)
}

fn case(run: &Run<'_>, key: &Key, attempts: &[&Attempt]) -> Case {
    let version = attempts.first().and_then(|a| run.version_of(a));
    let side = match version {
        None => Side::Unknown,
        version if run.is_old(version) => Side::Old,
        version if run.is_new(version) => Side::New,
        Some(_) => Side::Other,
    };
    // Who is slow was slow when asked; who is cut was cut when it ended.
    let slow = matches!(key.2, Class::Late | Class::Timeout);
    let status = usual_status(attempts);
    let witness = attempts.first().and_then(|a| a.witness);
    Case {
        phase: if slow { key.0 } else { ended_phase(run, attempts) },
        class: key.2,
        side,
        status,
        witness,
        sign: key.4,
    }
}

fn sign(a: &Attempt, reuse: &Reuse) -> Sign {
    let begins = |words: &str| a.detail.as_ref().is_some_and(|detail| detail.starts_with(words));
    match a.class {
        Class::Refused if begins(NO_ADDRESS) => Sign::NoAddress,
        Class::Refused if begins(NO_TLS) => Sign::NoTls,
        _ if reuse.raced(a) => Sign::Raced,
        _ => Sign::Plain,
    }
}

/// Phase in which most of them ended: what cut a request did so then, not when it was sent.
fn ended_phase(run: &Run<'_>, attempts: &[&Attempt]) -> Option<Phase> {
    let mut counts: BTreeMap<Option<Phase>, usize> = BTreeMap::new();
    for a in attempts {
        *counts.entry(run.phase_at(axis(a.done_us))).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, n)| *n).and_then(|(phase, _)| phase)
}

fn usual_status(attempts: &[&Attempt]) -> u16 {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for a in attempts {
        *counts.entry(a.status).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, n)| *n).map_or(0, |(status, _)| status)
}

fn group(run: &Run<'_>, key: &Key, attempts: &[&Attempt], cause: usize) -> FailureGroup {
    FailureGroup {
        phase: key.0,
        lane: key.1,
        class: key.2,
        version: attempts.first().and_then(|a| run.version_of(a)).map(clean::name),
        status: usual_status(attempts),
        count: attempts.len() as u64,
        first_us: attempts.first().map_or(0, |a| axis(a.intended_us)),
        last_us: attempts.last().map_or(0, |a| axis(a.intended_us)),
        cause,
    }
}

fn row(run: &Run<'_>, a: &Attempt) -> FailureRow {
    FailureRow {
        id: a.id,
        lane: a.lane,
        class: a.class,
        phase: run.phase_at(axis(a.intended_us)),
        ended_phase: run.phase_at(axis(a.done_us)),
        intended_us: axis(a.intended_us),
        ttlb_us: a.ttlb_us(),
        status: a.status,
        connection: a.connection,
        bytes: a.bytes,
        version: run.version_of(a).map(clean::name),
        instance: a.instance.as_deref().map(clean::name),
        detail: a.detail.as_deref().map(|d| clean::line(d, clean::LINE_MAX)),
    }
}
