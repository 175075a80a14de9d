//! Stacked bars of successes by version; used for the whole run and for the closer look.
//!
//! Failures are not in the bars: they have a track of their own.

use std::fmt::Write as _;

use crate::axis::between;
use crate::document::Report;
use crate::html::axis::{LEFT, TimeAxis, round_top};
use crate::html::marks::ink;
use crate::html::svg::{Drawing, n};

/// One bar.
pub(crate) struct Bar<'a> {
    pub(crate) at_us: i64,
    pub(crate) ok: &'a [u64],
}

/// Where bars go.
#[derive(Clone, Copy)]
pub(crate) struct Plot {
    pub(crate) axis: TimeAxis,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
    pub(crate) bar_us: u64,
    /// What one counted request is worth on the scale: 1 / seconds for a rate.
    pub(crate) unit: f64,
}

/// Draws the bars and their scale.
pub(crate) fn stacked(d: &mut Drawing, report: &Report, plot: Plot, bars: &[Bar<'_>]) {
    stacked_until(d, report, plot, bars, i64::MAX);
}

/// The same where what is counted may end within the last bar: that one is as wide as it lasted, and of a rate.
pub(crate) fn stacked_until(
    d: &mut Drawing,
    report: &Report,
    plot: Plot,
    bars: &[Bar<'_>],
    end_us: i64,
) {
    let lasted = |bar: &Bar<'_>| between(bar.at_us, end_us).clamp(1, plot.bar_us.max(1));
    let unit = |bar: &Bar<'_>| plot.unit * plot.bar_us as f64 / lasted(bar) as f64;
    let most = bars.iter().map(|b| sum(b.ok) * unit(b)).fold(0.0, f64::max);
    let top = round_top(most.max(1.0));
    let y = |value: f64| plot.bottom - (plot.bottom - plot.top) * (value / top);
    for share in [0.0, 0.5, 1.0] {
        let at = y(top * share);
        d.line("grid", [LEFT, at, plot.axis.right(), at]);
        d.text("end", LEFT - 6.0, at + 4.0, &n(top * share));
    }
    for slot in 0..report.versions.len() {
        let mut path = String::new();
        for bar in bars {
            let below = sum(bar.ok.get(..slot).unwrap_or_default());
            let height = bar.ok.get(slot).copied().unwrap_or(0);
            if height == 0 {
                continue;
            }
            let x = plot.axis.x(bar.at_us);
            let end = plot.axis.x(bar.at_us.saturating_add_unsigned(lasted(bar)));
            let gap = if end - x > 4.0 { 0.8 } else { 0.0 };
            let width = (end - x - gap).max(0.8);
            let low = y(below * unit(bar));
            let high = y((below + height as f64) * unit(bar));
            let _ = write!(path, "M{} {}h{}V{}h-{}z", n(x), n(low), n(width), n(high), n(width));
        }
        d.path(&format!("bar {}", ink(report, slot)), &path);
    }
}

fn sum(counts: &[u64]) -> f64 {
    counts.iter().map(|n| *n as f64).sum()
}
