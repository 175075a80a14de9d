//! What a version looks like, and the marks of failures and phases that all charts share.
//!
//! Colour is never the only sign: the new version is hatched, a failure is a cross.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::Phase;

use crate::document::{Report, VersionRole};
use crate::figures::{clock_ms, several};
use crate::html::axis::{TimeAxis, cross};
use crate::html::svg::{Drawing, esc, n, text_width};
use crate::input::PhaseSpan;

/// Phases drawn; a rollout has far fewer.
const PHASES: usize = 200;

/// Class of a version: `old`, `new`, `o1`..`o4`, `rest`.
pub(crate) fn ink(report: &Report, slot: usize) -> &'static str {
    const OTHERS: [&str; 4] = ["o1", "o2", "o3", "o4"];
    let Some(version) = report.versions.get(slot) else {
        return "rest";
    };
    let role = |wanted| report.versions.iter().any(|v| v.role == wanted);
    let before = report.versions.iter().take(slot);
    let nth = before.filter(|v| v.role == VersionRole::Other).count();
    match version.role {
        VersionRole::Old => "old",
        VersionRole::New => "new",
        // A run without names to expect: the first two seen look like old and new.
        VersionRole::Other if nth == 0 && !role(VersionRole::Old) => "old",
        VersionRole::Other if nth == 1 && !role(VersionRole::New) => "new",
        VersionRole::Other => OTHERS.get(nth).copied().unwrap_or("rest"),
        VersionRole::Rest | VersionRole::Silent => "rest",
    }
}

/// Name of a version for people.
pub(crate) fn label(report: &Report, slot: usize) -> &str {
    report.versions.get(slot).map_or("?", |v| v.label.as_str())
}

/// The same with no more letters than that, and told apart from every other version's.
pub(crate) fn short_label(report: &Report, slot: usize, most: usize) -> String {
    let whole = label(report, slot);
    let short = cut(whole, most);
    let others = report.versions.iter().enumerate().filter(|(other, _)| *other != slot);
    // Names that differ in their middle alone are not cut.
    if others.map(|(_, other)| cut(&other.label, most)).any(|other| other == short) {
        whole.to_owned()
    } else {
        short
    }
}

/// Its first and its last letters, where it has more than that.
fn cut(name: &str, most: usize) -> String {
    let letters = name.chars().count();
    if letters <= most {
        return name.to_owned();
    }
    let head = name.chars().take(most / 2 - 1);
    head.chain(['…']).chain(name.chars().skip(letters - (most - most / 2))).collect()
}

/// The key below a chart's title: a swatch and a name for each version that answered, and for
/// `more` classes of boxes.
pub(crate) fn key(report: &Report, failures: bool, more: &[(&str, &str)]) -> String {
    let mut out = String::from("<p class=\"key\">");
    for (slot, version) in report.versions.iter().enumerate().filter(|(_, v)| v.answers > 0) {
        let ink = ink(report, slot);
        let _ = write!(
            out,
            "<span><svg class=\"swatch\" viewBox=\"0 0 22 12\" aria-hidden=\"true\">\
             <rect class=\"bar {ink}\" width=\"22\" height=\"12\"/></svg>{}</span> ",
            esc(&version.label)
        );
    }
    if failures {
        let _ = write!(
            out,
            "<span><svg class=\"swatch\" viewBox=\"0 0 22 12\" aria-hidden=\"true\">\
             <path class=\"cross\" d=\"{}\"/></svg>failed</span> ",
            cross(11.0, 6.0)
        );
    }
    for (class, name) in more {
        let _ = write!(
            out,
            "<span><svg class=\"swatch\" viewBox=\"0 0 22 12\" aria-hidden=\"true\">\
             <rect class=\"{class}\" width=\"22\" height=\"12\"/></svg>{name}</span> "
        );
    }
    if !report.trust.blind.is_empty() {
        out.push_str(
            "<span><svg class=\"swatch\" viewBox=\"0 0 22 12\" aria-hidden=\"true\">\
             <rect class=\"blind\" width=\"22\" height=\"12\"/></svg>prober blind</span>",
        );
    }
    out.push_str("</p>\n");
    out
}

/// Every failure on one line: a cross per place, never fewer, with what it stands for.
///
/// `steps` are times and failures of the chart's own steps: they stand in for failures that the
/// report could not keep one by one.
pub(crate) fn failure_track(
    d: &mut Drawing,
    report: &Report,
    at: (TimeAxis, f64),
    steps: impl Iterator<Item = (i64, u64)>,
) -> u64 {
    let (axis, y) = at;
    // One mark per unit of the drawing: closer ones would cover each other exactly.
    let mut places: BTreeMap<String, (f64, u64, String)> = BTreeMap::new();
    for row in report.failures.iter().filter(|f| axis.holds(f.intended_us)) {
        let x = axis.x(row.intended_us).round();
        let place = places.entry(format!("{x:08.0}")).or_insert_with(|| {
            let at = clock_ms(report.t0_unix_ms, row.intended_us);
            (x, 0, format!("{at} {} {}", row.lane.name(), row.class.name()))
        });
        place.1 += 1;
    }
    if report.failures_left_out > 0 {
        for (at_us, failed) in steps.filter(|(at, failed)| *failed > 0 && axis.holds(*at)) {
            let x = axis.x(at_us).round();
            // Those without a row are in the step as well: its mark speaks for all of them.
            let at = clock_ms(report.t0_unix_ms, at_us);
            let words = format!("{} around {at}", several(failed, "failure"));
            places.insert(format!("{x:08.0}"), (x, 1, words));
        }
    }
    let mut total = 0;
    for (x, count, words) in places.into_values() {
        total = count.saturating_add(total);
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        d.raw(&format!(
            "<path class=\"cross\" d=\"{}\"><title>{}{more}</title></path>",
            cross(x, y),
            esc(&words)
        ));
    }
    total
}

/// Times in which the prober saw nothing: hatched, never blank.
pub(crate) fn blind(d: &mut Drawing, report: &Report, axis: TimeAxis, top: f64, bottom: f64) {
    for window in &report.trust.blind {
        let from = axis.x(i64::try_from(window.from_us).unwrap_or(i64::MAX));
        let to = axis.x(i64::try_from(window.to_us).unwrap_or(i64::MAX));
        if to > from {
            let width = (to - from).max(2.0);
            d.raw(&format!(
                "<rect class=\"blind\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\">\
                 <title>the prober was stopped: it saw nothing</title></rect>",
                n(from),
                n(top),
                n(width),
                n(bottom - top)
            ));
        }
    }
}

/// With more phases than this, one that comes again is named only where traffic turns.
const CROWD: usize = 16;
/// Most rows for the names of phases above a plot.
const TIERS: usize = 5;
/// Height of one of them.
const TIER: f64 = 15.0;

/// A phase on the axis and where its name goes.
struct Placed {
    name: &'static str,
    /// It began where it stands, and not before the axis does.
    begins: bool,
    from: f64,
    to: f64,
    label: f64,
    tier: Option<usize>,
}

/// Room that the names of phases take above a plot.
pub(crate) fn phase_room(report: &Report, axis: TimeAxis) -> f64 {
    let tiers = place(report, axis).iter().filter_map(|p| p.tier).max().map_or(0, |t| t + 1);
    8.0 + TIER * tiers as f64
}

/// Bands for the phases, with names above the plot in as many rows as it takes to keep them apart.
pub(crate) fn phases(d: &mut Drawing, report: &Report, axis: TimeAxis, top: f64, bottom: f64) {
    let placed = place(report, axis);
    for (i, phase) in placed.iter().enumerate() {
        if i % 2 == 1 && phase.to > phase.from {
            d.rect("band", [phase.from, top, phase.to - phase.from, bottom - top]);
        }
        if let Some(tier) = phase.tier {
            let y = top - 14.0 - TIER * tier as f64;
            if phase.begins {
                d.line("phase", [phase.from, y, phase.from, bottom]);
            }
        }
    }
    // Names last, so that no line of another phase crosses them.
    for phase in &placed {
        if let Some(tier) = phase.tier {
            d.text("phase-name", phase.label, top - 5.0 - TIER * tier as f64, phase.name);
        }
    }
}

fn place(report: &Report, axis: TimeAxis) -> Vec<Placed> {
    let until = |s: &PhaseSpan| if s.phase.is_final() { i64::MAX } else { s.to_us };
    let on_axis = |s: &&PhaseSpan| axis.meets(s.from_us, until(s));
    let spans: Vec<&PhaseSpan> = report.phases.iter().take(PHASES).filter(on_axis).collect();
    let mut out: Vec<Placed> = spans.iter().map(|s| unnamed(s, until(s), axis)).collect();
    let ranks: Vec<u8> = (0..spans.len()).map(|i| rank(&spans, i)).collect();
    let last = if spans.len() > CROWD { 1 } else { 2 };
    let mut taken: [Vec<(f64, f64)>; TIERS] = Default::default();
    for wanted in 0..=last {
        for (placed, _) in out.iter_mut().zip(&ranks).filter(|(_, rank)| **rank == wanted) {
            let (from, to) = (placed.label, placed.label + text_width(placed.name) + 8.0);
            let free =
                |t: &Vec<(f64, f64)>| t.iter().all(|(start, end)| *end <= from || to <= *start);
            placed.tier = taken.iter().position(free);
            if let Some(names) = placed.tier.and_then(|tier| taken.get_mut(tier)) {
                names.push((from, to));
            }
        }
    }
    out
}

fn unnamed(span: &PhaseSpan, to_us: i64, axis: TimeAxis) -> Placed {
    let name = span.phase.name();
    let (from, width) = (axis.x(span.from_us), text_width(name));
    let label = (from + 3.0).min(axis.right() - width);
    let begins = axis.holds(span.from_us);
    Placed { name, begins, from, to: axis.x(to_us), label, tier: None }
}

/// Which names go first: where traffic turns, then each phase's first time, then the rest.
fn rank(spans: &[&PhaseSpan], i: usize) -> u8 {
    let Some(phase) = spans.get(i).map(|s| s.phase) else {
        return 2;
    };
    if phase.is_final() || matches!(phase, Phase::Shifting | Phase::RollingBack) {
        return 0;
    }
    if spans.iter().take(i).all(|s| s.phase != phase) { 1 } else { 2 }
}

/// `3 failed` or `none` at the right of a failure track.
pub(crate) fn failed_words(total: u64) -> String {
    if total == 0 { "none".to_owned() } else { several(total, "failure") }
}
