//! Chart B: requests per second by version, failures on their own track, phases behind.
//!
//! The whole run on one scale; the switch itself is in `zoom_chart`.

use crate::axis::between;
use crate::document::{Report, VersionRole};
use crate::figures::{clock_ms, count, span};
use crate::html::axis::{LEFT, TimeAxis};
use crate::html::counts::{Bar, Plot, stacked_until};
use crate::html::marks::{self, failed_words, label};
use crate::html::svg::{Drawing, text_width};
use crate::html::{share_chart, tables};

const PLOT: f64 = 150.0;
const TRACK: f64 = 30.0;

/// The chart with its title, key and table.
pub(crate) fn section(report: &Report) -> String {
    let seconds = report.bucket_us as f64 / 1e6;
    let step = if report.bucket_us == 1_000_000 {
        String::new()
    } else {
        format!(", in steps of {}", span(report.bucket_us))
    };
    let mut out = format!(
        "<section><h2>What happened</h2><p class=\"say\">Successful requests per second by version{step}, \
         by the time they were meant to be sent{}. Failures stand on their own track; none is left out.</p>\n",
        short_step(report)
    );
    out.push_str(&marks::key(report, true, &[]));
    out.push_str(&chart(report, seconds));
    out.push_str(&tables::buckets(report));
    out.push_str("</section>\n");
    out
}

/// When nothing was sent any more; one that says nothing of it had sent until its last answer.
fn sent_until(report: &Report) -> i64 {
    report.sent_until_us.unwrap_or(report.to_us)
}

/// Says so where the run ended within its last step.
fn short_step(report: &Report) -> String {
    let last = report.buckets.last().map(|b| between(b.at_us, sent_until(report)));
    let short = last.filter(|us| (1..report.bucket_us).contains(us));
    short.map_or_else(String::new, |us| {
        format!("; the last bar stands for {}, and its height for the rate in it", span(us))
    })
}

fn chart(report: &Report, seconds: f64) -> String {
    let end = report
        .buckets
        .last()
        .map_or(report.to_us, |b| b.at_us.saturating_add_unsigned(report.bucket_us));
    let axis = TimeAxis::new(report.from_us, end);
    let top = marks::phase_room(report, axis);
    let bottom = top + PLOT;
    let shares = if share_chart::wanted(report) { share_chart::TRACK } else { 0.0 };
    let failed = bottom + shares;
    let track = failed + TRACK;
    let describe =
        format!("{} requests were sent and {} failed.", count(report.sent), count(report.failed));
    let mut d =
        Drawing::new(track + 36.0, "Requests per second by version over the run", &describe);
    d.steps([LEFT, axis.right(), top, track]);
    marks::phases(&mut d, report, axis, top, track);
    let bars: Vec<Bar<'_>> =
        report.buckets.iter().map(|b| Bar { at_us: b.at_us, ok: &b.ok }).collect();
    let plot = Plot { axis, top, bottom, bar_us: report.bucket_us, unit: 1.0 / seconds };
    stacked_until(&mut d, report, plot, &bars, sent_until(report));
    d.text("end faint", LEFT - 6.0, top + 17.0, "per s");
    names(&mut d, report, axis, bottom - 10.0);
    marks::blind(&mut d, report, axis, top, track);
    d.line("axis", [LEFT, bottom, axis.right(), bottom]);
    if shares > 0.0 {
        share_chart::track(&mut d, report, axis, bottom);
        d.line("axis", [LEFT, failed, axis.right(), failed]);
    }
    d.line("axis", [LEFT, track, axis.right(), track]);
    d.text("end", LEFT - 6.0, failed + TRACK / 2.0 + 4.0, "failed");
    let half = report.bucket_us / 2;
    let steps = report.buckets.iter().map(|b| (b.at_us.saturating_add_unsigned(half), b.failed));
    let total = marks::failure_track(&mut d, report, (axis, failed + TRACK / 2.0), steps);
    if total == 0 {
        d.text(
            "middle faint",
            f64::midpoint(LEFT, axis.right()),
            failed + TRACK / 2.0 + 4.0,
            &failed_words(0),
        );
    }
    axis.wall_ticks(&mut d, track, report.t0_unix_ms);
    d.finish()
}

/// The first of these steps, and the end of those that follow it without a break.
fn stretch(mut starts: impl Iterator<Item = i64>, width_us: u64) -> Option<(i64, i64)> {
    let first = starts.next()?;
    let mut end = first.saturating_add_unsigned(width_us);
    for start in starts {
        if start != end {
            break;
        }
        end = start.saturating_add_unsigned(width_us);
    }
    Some((first, end))
}

/// Names of old and new inside their own bars.
fn names(d: &mut Drawing, report: &Report, axis: TimeAxis, y: f64) {
    for (slot, version) in report.versions.iter().enumerate() {
        let named =
            matches!(version.role, VersionRole::Old | VersionRole::New | VersionRole::Other);
        // Where it answered most: steps in which more than half of the answers are its own.
        let own = report.buckets.iter().filter(|b| {
            let mine = b.ok.get(slot).copied().unwrap_or(0);
            mine as f64 * 2.0 > b.ok.iter().map(|n| *n as f64).sum()
        });
        // Only as far as that goes on: what comes after a break may be another's.
        let Some((first, end)) = stretch(own.map(|b| b.at_us), report.bucket_us) else {
            continue;
        };
        let (from, to) = (axis.x(first), axis.x(end));
        let name = label(report, slot);
        if named && to - from > text_width(name) + 20.0 {
            let since = version.first_sent_us.map(|us| clock_ms(report.t0_unix_ms, us));
            let words = since.map(|since| format!("{name} from {since}"));
            let fits = words.filter(|words| to - from > text_width(words) + 20.0);
            d.text("start name", from + 8.0, y, fits.as_deref().unwrap_or(name));
        }
    }
}
