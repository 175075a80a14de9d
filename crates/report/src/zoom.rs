//! A closer look at the switch: it lasts milliseconds in a run of a minute.
//!
//! Two scales: counts of ten milliseconds over two seconds each way, and single requests in a window just
//! wide enough for what was open and what failed around the switch. It draws nothing: that is
//! `zoom_chart`'s.

use std::collections::BTreeMap;

use model::{Attempt, Class};

use crate::axis::{axis, between};
use crate::document::{Zoom, ZoomBin, ZoomLine};
use crate::run::Run;
use crate::version_proof::VersionProof;

const REACH_US: i64 = 2_000_000;
/// Least half width of the window of single requests.
const CLOSE_US: i64 = 250_000;
const BIN_US: u64 = 10_000;
/// Successes that are drawn one by one.
const LINES: usize = 4_000;

/// The closer look, when there was a switch or the new version was seen to come.
pub(crate) fn zoom(run: &Run<'_>, proof: Option<&VersionProof>) -> Option<Zoom> {
    let first_new = proof.and_then(|p| p.first_new_us);
    let centre = run.switch().map(|(from, _)| from).or(first_new)?;
    let (from_us, to_us) = window(run, proof, centre);
    let open = |a: &&&Attempt| axis(a.intended_us) < to_us && axis(a.done_us) > from_us;
    let (failed, ok): (Vec<&Attempt>, Vec<&Attempt>) =
        run.sent.iter().filter(open).copied().partition(|a| a.class.failed());
    let left_out = ok.len().saturating_sub(LINES) as u64;
    // Nearest to the switch first, so that thinning takes the edges.
    let mut shown = ok;
    shown.sort_by_key(|a| (axis(a.intended_us).abs_diff(centre), a.id));
    shown.truncate(LINES);
    shown.extend(failed);
    shown.sort_by_key(|a| (a.intended_us, a.id));
    let lines = shown.into_iter().map(|a| ZoomLine {
        id: a.id,
        lane: a.lane,
        class: a.class,
        intended_us: axis(a.intended_us),
        done_us: axis(a.done_us),
        version: run.slot_of(a),
    });
    Some(Zoom {
        bin_us: BIN_US,
        bins: bins(run, centre),
        from_us,
        to_us,
        lines: lines.collect(),
        left_out,
    })
}

/// Wide enough for the switch, the time both versions answered, and what failed within reach.
fn window(run: &Run<'_>, proof: Option<&VersionProof>, centre: i64) -> (i64, i64) {
    let mut half = CLOSE_US;
    let mut cover = |us: i64| {
        let away = us.abs_diff(centre).try_into().unwrap_or(i64::MAX);
        if away <= REACH_US {
            half = half.max(away + away / 4);
        }
    };
    if let Some((_, end)) = run.switch() {
        cover(end);
    }
    if let Some((from, to)) = proof.and_then(VersionProof::mixed) {
        cover(from);
        cover(to);
    }
    for a in &run.sent {
        let (sent, done) = (axis(a.intended_us), axis(a.done_us));
        if a.class.failed() || (sent < centre && done > centre) {
            cover(sent);
            cover(done);
        }
    }
    let half = half.min(REACH_US);
    (centre.saturating_sub(half), centre.saturating_add(half))
}

fn bins(run: &Run<'_>, centre: i64) -> Vec<ZoomBin> {
    let start = centre.saturating_sub(REACH_US);
    let end = centre.saturating_add(REACH_US);
    let mut out: BTreeMap<u64, ZoomBin> = BTreeMap::new();
    for a in &run.sent {
        let at = axis(a.intended_us);
        if at < start || at >= end {
            continue;
        }
        let i = between(start, at) / BIN_US;
        let bin = out.entry(i).or_insert_with(|| ZoomBin {
            at_us: start.saturating_add_unsigned(i * BIN_US),
            ok: vec![0; run.slots.facts.len()],
            failed: 0,
        });
        if a.class == Class::Ok {
            bin.ok[run.slot_of(a)] += 1;
        } else {
            bin.failed += 1;
        }
    }
    out.into_values().collect()
}
