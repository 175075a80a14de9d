//! Chart D: time to last byte over the run, on a logarithmic scale.
//!
//! A percentile is drawn only where it exists; failures are crosses at the time they took.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::document::{Bucket, Report};
use crate::figures::{clock_ms, count, span};
use crate::html::axis::{LEFT, LogAxis, TimeAxis, cross};
use crate::html::marks::{self, ink};
use crate::html::svg::{Drawing, n};

/// The chart with its title.
pub(crate) fn section(report: &Report) -> String {
    let p99 = report.buckets.iter().any(|b| b.ttlb_p99_us.is_some());
    let dashed =
        if p99 { ", dashed the 99th percentile where a step has 1,000 answers" } else { "" };
    let slow = if report.lanes.iter().any(|l| l.lane.slow()) {
        " Of lanes that are slow on purpose there are the failures alone."
    } else {
        ""
    };
    let dots = report.slow.iter().filter(|dot| !dot.failed).count() as u64;
    let mut out = format!(
        "<section><h2>How long answers took</h2><p class=\"say\">Time to last byte from the intended \
         send time, connecting included. Thick: median; thin: longest{dashed}; dots: the {} slowest \
         answers above four medians; crosses: failures, at the time they took.{slow}</p>\n",
        count(dots)
    );
    out.push_str(&marks::key(report, report.failed > 0, &[]));
    out.push_str(&chart(report));
    out.push_str("</section>\n");
    out
}

fn chart(report: &Report) -> String {
    let end = report
        .buckets
        .last()
        .map_or(report.to_us, |b| b.at_us.saturating_add_unsigned(report.bucket_us));
    let time = TimeAxis::new(report.from_us, end);
    let top = marks::phase_room(report, time);
    let bottom = top + 190.0;
    let most = report.buckets.iter().filter_map(|b| b.ttlb_max_us).max().unwrap_or(1_000);
    let failed = || report.failures.iter().map(|f| f.ttlb_us);
    let least = report.buckets.iter().filter_map(|b| b.ttlb_p50_us).min().unwrap_or(100);
    let least = least.min(failed().min().unwrap_or(least));
    let scale = LogAxis::new(least, most.max(failed().max().unwrap_or(0)), top, bottom);
    let describe = format!(
        "The longest whole answer took {}. Step by step it is in the table of “What happened”.",
        span(most)
    );
    let mut d = Drawing::new(bottom + 36.0, "Time to last byte over the run", &describe);
    d.steps([LEFT, time.right(), top, bottom]);
    marks::phases(&mut d, report, time, top, bottom);
    scale.draw(&mut d, time.right());
    limit(&mut d, report, scale, (time.right(), top));
    marks::blind(&mut d, report, time, top, bottom);
    series(&mut d, report, (time, scale), "max", |b| b.ttlb_max_us);
    series(&mut d, report, (time, scale), "p99", |b| b.ttlb_p99_us);
    series(&mut d, report, (time, scale), "p50", |b| b.ttlb_p50_us);
    slow(&mut d, report, time, scale);
    failures(&mut d, report, time, scale);
    time.wall_ticks(&mut d, bottom, report.t0_unix_ms);
    d.finish()
}

/// Its words stand on the line, or below it where they would leave the plot: above it there are names of phases, or
/// nothing at all. A limit outside of the scale has no line: it would stand where it is not.
fn limit(d: &mut Drawing, report: &Report, scale: LogAxis, (right, top): (f64, f64)) {
    const ABOVE: f64 = 4.0;
    const BELOW: f64 = 12.0;
    let y = scale.y(report.late_after_us);
    let outside = match scale.holds(report.late_after_us) {
        Ordering::Less => ", below this scale",
        Ordering::Equal => "",
        Ordering::Greater => ", beyond this scale",
    };
    if outside.is_empty() {
        d.line("limit", [LEFT, y, right, y]);
    }
    let base = if y - BELOW < top { y + BELOW } else { y - ABOVE };
    let words = format!("late after {}{outside}", span(report.late_after_us));
    d.text("end limit-name", right - 4.0, base, &words);
}

fn series(
    d: &mut Drawing,
    report: &Report,
    scales: (TimeAxis, LogAxis),
    class: &str,
    value: impl Fn(&Bucket) -> Option<u64>,
) {
    let (time, scale) = scales;
    let mut path = String::new();
    let mut pen_down = false;
    for bucket in &report.buckets {
        let Some(us) = value(bucket) else {
            pen_down = false;
            continue;
        };
        let x = time.x(bucket.at_us.saturating_add_unsigned(report.bucket_us / 2));
        let y = scale.y(us);
        // A lone point still leaves ink: the round cap of a line without length.
        let stroke = if pen_down { "L" } else { "M" };
        let _ = write!(path, "{stroke}{} {}", n(x), n(y));
        if !pen_down {
            path.push_str("h0");
        }
        pen_down = true;
    }
    d.path(&format!("ttlb {class}"), &path);
}

fn slow(d: &mut Drawing, report: &Report, time: TimeAxis, scale: LogAxis) {
    for dot in report.slow.iter().filter(|dot| !dot.failed) {
        let ink = ink(report, dot.version);
        let (x, y) = (time.x(dot.intended_us), scale.y(dot.ttlb_us));
        // Round for the old version, square for the new one: colour is not the only sign.
        let shape = match ink {
            "new" => format!(
                "<rect class=\"dot new\" x=\"{}\" y=\"{}\" width=\"5\" height=\"5\">",
                n(x - 2.5),
                n(y - 2.5)
            ),
            ink => {
                format!("<circle class=\"dot {ink}\" cx=\"{}\" cy=\"{}\" r=\"2.8\">", n(x), n(y))
            }
        };
        let close = if ink == "new" { "rect" } else { "circle" };
        let at = clock_ms(report.t0_unix_ms, dot.intended_us);
        let took = span(dot.ttlb_us);
        d.raw(&format!("{shape}<title>#{} {at} {took}</title></{close}>", dot.id));
    }
}

fn failures(d: &mut Drawing, report: &Report, time: TimeAxis, scale: LogAxis) {
    let mut path = String::new();
    let mut seen = BTreeSet::new();
    for row in &report.failures {
        let (x, y) = (time.x(row.intended_us).round(), scale.y(row.ttlb_us).round());
        // Marks on the same spot cover each other exactly: one is drawn.
        if seen.insert(format!("{x} {y}")) {
            path.push_str(&cross(x, y));
        }
    }
    d.path("cross", &path);
}
