//! What each lane saw.
//!
//! It counts; whether that is enough for a verdict is decided in `verdict`.

use model::{Attempt, Class, Lane};

use crate::across;
use crate::axis::{axis, between};
use crate::clean;
use crate::document::{LaneFacts, LaneNotRun};
use crate::floor;
use crate::run::{Run, quantiles};

/// Facts of every lane that sent something or could not.
pub(crate) fn facts(run: &Run<'_>) -> Vec<LaneFacts> {
    Lane::ALL.into_iter().filter_map(|lane| of_lane(run, lane)).collect()
}

/// Lanes that were wanted and of which there is nothing to tell.
pub(crate) fn not_run(run: &Run<'_>, ran: &[LaneFacts]) -> Vec<LaneNotRun> {
    let header = &run.input.header;
    let said = header.lanes_not_run.iter().map(|(lane, reason)| LaneNotRun {
        lane: *lane,
        reason: clean::line(reason, clean::LINE_MAX),
    });
    let mut out: Vec<LaneNotRun> = said.collect();
    for (lane, _) in &header.lanes {
        let known = ran.iter().any(|f| f.lane == *lane) || out.iter().any(|n| n.lane == *lane);
        if !known {
            out.push(LaneNotRun { lane: *lane, reason: "it sent nothing".to_owned() });
        }
    }
    out
}

/// Longest time without a success among `attempts`, from the first intended send to the last.
pub(crate) fn longest_gap<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> u64 {
    let mut done = Vec::new();
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    for attempt in attempts {
        first = first.min(axis(attempt.intended_us));
        last = last.max(axis(attempt.intended_us));
        if attempt.class == Class::Ok {
            done.push(axis(attempt.done_us));
        }
    }
    if first > last {
        return 0;
    }
    done.sort_unstable();
    let mut longest = 0;
    let mut before = first;
    for at in done.into_iter().chain([last]) {
        longest = longest.max(between(before, at));
        before = before.max(at);
    }
    longest
}

fn of_lane(run: &Run<'_>, lane: Lane) -> Option<LaneFacts> {
    let sent: Vec<&Attempt> = run.sent.iter().copied().filter(|a| a.lane == lane).collect();
    let not_sent = run.not_sent.iter().filter(|a| a.lane == lane).count() as u64;
    if sent.is_empty() && not_sent == 0 {
        return None;
    }
    let answered = sent.iter().filter(|a| whole_answer(a.class));
    let [p50, p99, max] = quantiles(&mut answered.map(|a| a.ttlb_us()).collect::<Vec<_>>());
    let share = run.input.header.lanes.iter().find(|(l, _)| *l == lane);
    Some(LaneFacts {
        lane,
        sent: sent.len() as u64,
        failed: sent.iter().filter(|a| a.class.failed()).count() as u64,
        not_sent,
        ttlb_p50_us: p50,
        ttlb_p99_us: p99,
        ttlb_max_us: max,
        longest_gap_us: longest_gap(sent.iter().copied()),
        detection_floor_us: floor::of(run, sent.into_iter(), share.map_or(0.0, |(_, rate)| *rate)),
        across: across::of_lane(run, lane),
    })
}

/// Whole and right, in time or not: what response times are measured on.
pub(crate) fn whole_answer(class: Class) -> bool {
    matches!(class, Class::Ok | Class::Late)
}
