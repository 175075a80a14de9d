//! What was open while traffic was moved: transfers and streams under way, sockets, connections at rest.
//!
//! A run of short requests cannot tell what a switch does to long ones; this says how many long ones
//! there were to be harmed. It only counts.

use std::collections::BTreeMap;

use model::{Attempt, Lane};

use crate::axis::axis;
use crate::document::{LaneFacts, Report};
use crate::figures::{list, several};
use crate::run::Run;

/// How many of a lane were open throughout a switch, or failed in it: attempts of what is slow on purpose,
/// sockets, connections that rested and were used again. With several switches the fewest; `None` for lanes
/// without anything long, and where nothing was switched.
pub(crate) fn of_lane(run: &Run<'_>, lane: Lane) -> Option<u64> {
    let open: fn(&Run<'_>, Lane, (i64, i64)) -> u64 = match lane {
        lane if lane.slow() => slow,
        Lane::Websocket => sockets,
        Lane::Idle => resting,
        _ => return None,
    };
    run.switches.iter().map(|switch| open(run, lane, *switch)).min()
}

fn slow(run: &Run<'_>, lane: Lane, (from, to): (i64, i64)) -> u64 {
    let open = |a: &&&Attempt| {
        let begun = a.connected_us.max(a.dispatched_us);
        let done = axis(a.done_us);
        let harmed = a.class.failed() && done >= from;
        a.lane == lane && axis(begun) <= from && (done > to || harmed)
    };
    run.sent.iter().filter(open).count() as u64
}

fn sockets(run: &Run<'_>, lane: Lane, (from, to): (i64, i64)) -> u64 {
    let open = run.input.connections.iter().filter(|c| {
        let stood = c.established_us != 0 && axis(c.established_us) <= from;
        c.lane == lane && stood && axis(c.closed_us) > to
    });
    open.count() as u64
}

/// Connections of the lane with a request before the switch, the next one after it, none meanwhile.
fn resting(run: &Run<'_>, lane: Lane, (from, to): (i64, i64)) -> u64 {
    let mut before: BTreeMap<u32, bool> = BTreeMap::new();
    let mut across = 0;
    // In the order in which they were meant to be sent, so a connection's own requests are in order.
    for a in run.sent.iter().filter(|a| a.lane == lane && a.connection != 0) {
        let rested = before.get(&a.connection).copied().unwrap_or(false);
        across += u64::from(rested && axis(a.dispatched_us) > to);
        before.insert(a.connection, axis(a.done_us) <= from);
    }
    across
}

/// The sentence on all of them; nothing where no lane is long.
pub(crate) fn fact(report: &Report) -> Option<String> {
    let long = |lane: &LaneFacts| lane.across.map(|open| words(lane.lane, open));
    let words: Vec<String> = report.lanes.iter().filter_map(long).collect();
    let moves = report.phases.iter().filter(|span| span.phase == model::Phase::Shifting).count();
    let switch = if moves > 1 { "each of the moves (at least)" } else { "the switch" };
    (!words.is_empty()).then(|| format!("open across {switch}: {}", list(&words)))
}

fn words(lane: Lane, open: u64) -> String {
    let one = match lane {
        Lane::Upload => "upload",
        Lane::Download => "download",
        Lane::Events => "event stream",
        Lane::Websocket => "WebSocket",
        _ => "idle connection",
    };
    if open == 0 { format!("no {one}") } else { several(open, one) }
}
