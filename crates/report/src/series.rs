//! The run in equal steps, for the charts over time, and its slowest answers.
//!
//! Steps are by intended send time: by completion a stall would move to its end. How it looks is known in
//! `html` alone.

use model::{Attempt, Class};

use crate::axis::{axis, between};
use crate::document::{Bucket, SlowDot};
use crate::lanes::whole_answer;
use crate::run::{Run, quantiles};

/// Most steps a run is cut into.
const STEPS: u64 = 600;
/// Slowest answers that are kept one by one.
const SLOW: usize = 300;
/// Widths of a step, us.
const WIDTHS: [u64; 8] = [
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    3_600_000_000,
];

/// Width of a step, us: a second, or wider for long runs.
pub(crate) fn width_us(run: &Run<'_>) -> u64 {
    let length = between(run.from_us, run.to_us);
    let fits = |width: &&u64| length / **width < STEPS;
    WIDTHS.iter().find(fits).copied().unwrap_or_else(|| length / STEPS + 1)
}

/// One interval after the last intended send, by which the last step may be shorter than the others.
pub(crate) fn sent_until(run: &Run<'_>) -> Option<i64> {
    let last = run.sent.iter().chain(&run.not_sent).map(|a| axis(a.intended_us)).max()?;
    let interval_us = 1_000_000 / u64::from(run.input.header.rate.max(1));
    Some(last.saturating_add_unsigned(interval_us))
}

/// The steps, without holes, from the first intended send to the last.
pub(crate) fn buckets(run: &Run<'_>, width_us: u64) -> Vec<Bucket> {
    let at = |us: u64| usize::try_from(between(run.from_us, axis(us)) / width_us).unwrap_or(0);
    let all = || run.sent.iter().chain(&run.not_sent);
    let Some(last) = all().map(|a| at(a.intended_us)).max() else {
        return Vec::new();
    };
    let mut out: Vec<Bucket> = (0..=last).map(|i| empty(run, i, width_us)).collect();
    let mut ttlb: Vec<Vec<u64>> = vec![Vec::new(); out.len()];
    for a in all() {
        let i = at(a.intended_us);
        let (Some(bucket), Some(ttlb)) = (out.get_mut(i), ttlb.get_mut(i)) else {
            continue;
        };
        match a.class {
            Class::Ok => bucket.ok[run.slot_of(a)] += 1,
            Class::NotSent => bucket.not_sent += 1,
            _ => bucket.failed += 1,
        }
        if whole_answer(a.class) && !a.lane.slow() {
            ttlb.push(a.ttlb_us());
        }
    }
    for (bucket, ttlb) in out.iter_mut().zip(&mut ttlb) {
        [bucket.ttlb_p50_us, bucket.ttlb_p99_us, bucket.ttlb_max_us] = quantiles(ttlb);
    }
    out
}

/// Whole answers of lanes that are not slow on purpose.
fn prompt<'a>(run: &'a Run<'_>) -> impl Iterator<Item = &'a &'a Attempt> {
    run.sent.iter().filter(|a| whole_answer(a.class) && !a.lane.slow())
}

/// The slowest whole answers, by send time: those above four medians.
pub(crate) fn slow(run: &Run<'_>) -> Vec<SlowDot> {
    let mut answered: Vec<_> = prompt(run).collect();
    answered.sort_by_key(|a| (std::cmp::Reverse(a.ttlb_us()), a.id));
    let median = answered.get(answered.len() / 2).map_or(0, |a| a.ttlb_us());
    let slow = answered.into_iter().take_while(|a| a.ttlb_us() > median.saturating_mul(4));
    let mut out: Vec<SlowDot> = slow
        .take(SLOW)
        .map(|a| SlowDot {
            id: a.id,
            intended_us: axis(a.intended_us),
            ttlb_us: a.ttlb_us(),
            version: run.slot_of(a),
            failed: a.class.failed(),
        })
        .collect();
    out.sort_by_key(|dot| (dot.intended_us, dot.id));
    out
}

fn empty(run: &Run<'_>, i: usize, width_us: u64) -> Bucket {
    Bucket {
        at_us: run.from_us.saturating_add_unsigned(width_us.saturating_mul(i as u64)),
        ok: vec![0; run.slots.facts.len()],
        failed: 0,
        not_sent: 0,
        ttlb_p50_us: None,
        ttlb_p99_us: None,
        ttlb_max_us: None,
    }
}
