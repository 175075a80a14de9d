//! The prober's account of itself, beside what the samples show.
//!
//! Whether it is good enough is decided in `verdict`.

use crate::document::{LatenessBin, Trust};
use crate::run::Run;

/// Upper edges of the lateness distribution, us.
const EDGES: [u64; 9] = [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000];

/// The account.
pub(crate) fn trust(run: &Run<'_>) -> Trust {
    let footer = run.input.footer.as_ref();
    let lateness = footer.map(|f| f.lateness_us);
    let mut blind = run.input.blind.clone();
    blind.sort_by_key(|b| b.from_us);
    Trust {
        planned: footer.map(|f| f.planned),
        sent: footer.map(|f| f.sent),
        recorded: run.sent.len() as u64,
        lateness_p50_us: lateness.map(|l| l[0]),
        lateness_p99_us: lateness.map(|l| l[1]),
        lateness_max_us: lateness.map(|l| l[2]),
        lateness: distribution(run),
        blind_us: blind
            .iter()
            .fold(0, |sum, b| sum.saturating_add(b.to_us.saturating_sub(b.from_us))),
        blind,
        ws_lost: footer.map_or(0, |f| f.ws_lost),
        ws_doubled: footer.map_or(0, |f| f.ws_doubled),
        ws_reordered: footer.map_or(0, |f| f.ws_reordered),
        ws_reconnects: footer.map_or(0, |f| f.ws_reconnects),
        ws_longest_gap_us: footer.map_or(0, |f| f.ws_longest_gap_us),
    }
}

fn distribution(run: &Run<'_>) -> Vec<LatenessBin> {
    let edges = EDGES.into_iter().map(Some).chain([None]);
    let mut bins: Vec<LatenessBin> =
        edges.map(|below_us| LatenessBin { below_us, attempts: 0 }).collect();
    for a in &run.sent {
        let late = a.dispatched_us.saturating_sub(a.intended_us);
        let bin = bins.iter_mut().find(|b| b.below_us.is_none_or(|edge| late < edge));
        if let Some(bin) = bin {
            bin.attempts += 1;
        }
    }
    bins
}
