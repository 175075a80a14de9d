//! Chart C: the switch from close by.
//!
//! Above, requests per ten milliseconds over two seconds each way; below, every request in a narrower
//! window as a line from when it was meant to be sent to its last byte. What is near enough to be drawn is
//! chosen in `zoom`.

use std::fmt::Write as _;

use model::{Lane, Phase};

use crate::document::{Report, Zoom, ZoomLine};
use crate::figures::{clock_ms, count, span};
use crate::html::axis::{LEFT, TimeAxis, arrow, cross};
use crate::html::counts::{Bar, Plot, stacked};
use crate::html::marks::{self, ink, label};
use crate::html::svg::{Drawing, esc, n};
use crate::html::tables;
use crate::share_fact::ShareFact;
use crate::version_proof::VersionProof;

/// Rows per lane: neighbours in time get different heights.
const ROWS: usize = 18;
const ROW: f64 = 5.0;
/// Failures per lane that are described one by one.
const SAID: usize = 500;
const REACH_US: i64 = 2_000_000;

/// The chart, when there was a switch.
pub(crate) fn section(report: &Report) -> String {
    let Some(zoom) = &report.zoom else {
        return String::new();
    };
    let centre = i64::midpoint(zoom.from_us, zoom.to_us);
    let switches = report.phases.iter().filter(|p| p.phase == Phase::Shifting).count() as u64;
    let title = if switches > 1 {
        format!("The first of {} switches from close by", count(switches))
    } else {
        "The switch from close by".to_owned()
    };
    let mut out = format!(
        "<section><h2>{title}</h2><p class=\"say\">It began at {} UTC. Above: successful \
         requests per {}, two seconds each way. Below: {} each way, each request a line from \
         when it was meant to be sent to its last byte.{}{}</p>\n",
        clock_ms(report.t0_unix_ms, centre),
        span(zoom.bin_us),
        span(centre.abs_diff(zoom.from_us)),
        beyond(zoom),
        thinned(zoom)
    );
    let both: &[(&str, &str)] =
        if mixed(report).is_some_and(|(from, to)| to > zoom.from_us && from < zoom.to_us) {
            &[("both", "both versions answered")]
        } else {
            &[]
        };
    out.push_str(&marks::key(report, true, both));
    out.push_str(&counts(report, zoom, centre));
    out.push_str(&lines(report, zoom, centre));
    out.push_str(&tables::zoom(report, zoom, centre));
    out.push_str("</section>\n");
    out
}

/// When both versions answered although one was to answer everything; while each has a share, both
/// are to answer, and that is no mark of a switch.
fn mixed(report: &Report) -> Option<(i64, i64)> {
    let shared = report.shares.iter().any(ShareFact::partial);
    report.proof.as_ref().and_then(VersionProof::mixed).filter(|_| !shared)
}

/// That some failures have their end elsewhere.
fn beyond(zoom: &Zoom) -> &'static str {
    if zoom.lines.iter().any(|line| line.class.failed() && line.done_us > zoom.to_us) {
        " A failure is a cross at its end, or an arrow where that comes later than this chart."
    } else {
        ""
    }
}

fn thinned(zoom: &Zoom) -> String {
    if zoom.left_out == 0 {
        return String::new();
    }
    format!(" {} successes at the edges are not drawn; every failure is.", count(zoom.left_out))
}

fn counts(report: &Report, zoom: &Zoom, centre: i64) -> String {
    let axis = TimeAxis::new(centre.saturating_sub(REACH_US), centre.saturating_add(REACH_US));
    let (top, bottom, track) = (10.0, 80.0, 100.0);
    let mut d = Drawing::new(
        track + 22.0,
        "Requests per ten milliseconds around the switch",
        "Stacked by version.",
    );
    let (from, to) = (axis.x(zoom.from_us), axis.x(zoom.to_us));
    d.rect("band", [from, top, to - from, track - top]);
    let bars: Vec<Bar<'_>> = zoom.bins.iter().map(|b| Bar { at_us: b.at_us, ok: &b.ok }).collect();
    stacked(&mut d, report, Plot { axis, top, bottom, bar_us: zoom.bin_us, unit: 1.0 }, &bars);
    marks::blind(&mut d, report, axis, top, track);
    d.line("axis", [LEFT, track, axis.right(), track]);
    d.text("end", LEFT - 6.0, bottom + 15.0, "failed");
    let steps = zoom.bins.iter().map(|b| (b.at_us, b.failed));
    marks::failure_track(&mut d, report, (axis, bottom + 10.0), steps);
    d.line("switch", [axis.x(centre), top - 6.0, axis.x(centre), track]);
    axis.offset_ticks(&mut d, track, centre);
    d.finish()
}

fn lines(report: &Report, zoom: &Zoom, centre: i64) -> String {
    let axis = TimeAxis::new(zoom.from_us, zoom.to_us);
    let lanes: Vec<Lane> =
        Lane::ALL.into_iter().filter(|lane| zoom.lines.iter().any(|l| l.lane == *lane)).collect();
    let height = ROWS as f64 * ROW + 16.0;
    let bottom = 12.0 + height * lanes.len() as f64;
    let mut d = Drawing::new(
        bottom + 22.0,
        "Each request around the switch",
        "One line per request, from its intended send time to its last byte, in rows per lane.",
    );
    marks::blind(&mut d, report, axis, 12.0, bottom);
    both(&mut d, report, axis, bottom);
    for (i, lane) in lanes.iter().enumerate() {
        let top = 12.0 + height * i as f64;
        d.line("grid", [LEFT, top, axis.right(), top]);
        d.text("end", LEFT - 6.0, top + height / 2.0, short(*lane));
        let own: Vec<&ZoomLine> = zoom.lines.iter().filter(|l| l.lane == *lane).collect();
        lane_lines(&mut d, report, axis, (&own, top + 10.0));
    }
    d.line("axis", [LEFT, bottom, axis.right(), bottom]);
    d.line("switch", [axis.x(centre), 4.0, axis.x(centre), bottom]);
    axis.offset_ticks(&mut d, bottom, centre);
    d.finish()
}

/// The time in which both versions answered requests, marked along the bottom.
fn both(d: &mut Drawing, report: &Report, axis: TimeAxis, bottom: f64) {
    let Some((from, to)) = mixed(report) else {
        return;
    };
    let (x, end) = (axis.x(from), axis.x(to));
    if end > x {
        d.raw(&format!(
            "<rect class=\"both\" x=\"{}\" y=\"12\" width=\"{}\" height=\"{}\">\
             <title>both versions answered</title></rect>",
            n(x),
            n((end - x).max(1.5)),
            n(bottom - 12.0)
        ));
    }
}

fn short(lane: Lane) -> &'static str {
    match lane {
        Lane::Websocket => "socket",
        other => other.name(),
    }
}

fn lane_lines(d: &mut Drawing, report: &Report, axis: TimeAxis, lane: (&[&ZoomLine], f64)) {
    let (lines, top) = lane;
    let mut free = [f64::MIN; ROWS];
    let mut paths = vec![String::new(); report.versions.len() + 1];
    let mut failed = Vec::new();
    let mut row = 0;
    for line in lines {
        let (x, end) = (axis.x(line.intended_us), axis.x(line.done_us));
        let end = end.max(x + 1.6);
        row =
            (1..=ROWS).map(|i| (row + i) % ROWS).find(|r| free[*r] < x).unwrap_or((row + 1) % ROWS);
        free[row] = end + 2.0;
        let y = top + ROW * row as f64;
        if line.class.failed() {
            let over = line.done_us > axis.to_us();
            failed.push((line, [x, end, y], if over { arrow(end, y) } else { cross(end, y) }));
        } else if let Some(path) = paths.get_mut(line.version.min(report.versions.len())) {
            let _ = write!(path, "M{} {}h{}", n(x), n(y), n(end - x));
        }
    }
    for (slot, path) in paths.iter().enumerate() {
        d.path(&format!("req {}", ink(report, slot)), path);
    }
    if failed.len() > SAID {
        return crowd(d, &failed);
    }
    for (line, [x, end, y], mark) in failed {
        d.raw(&format!(
            "<g><title>#{} {} {}, {}</title><path class=\"req fail\" d=\"M{} {}H{}\"/>\
             <path class=\"cross\" d=\"{}\"/></g>",
            line.id,
            esc(line.class.name()),
            esc(label(report, line.version)),
            span(crate::axis::between(line.intended_us, line.done_us)),
            n(x),
            n(y),
            n(end),
            mark
        ));
    }
}

/// So many failures that each is drawn and none is described: the rows below do that.
fn crowd(d: &mut Drawing, failed: &[(&&ZoomLine, [f64; 3], String)]) {
    let (mut lines, mut marks) = (String::new(), String::new());
    for (_, [x, end, y], mark) in failed {
        let _ = write!(lines, "M{} {}H{}", n(*x), n(*y), n(*end));
        marks.push_str(mark);
    }
    d.path("req fail", &lines);
    d.path("cross", &marks);
}
