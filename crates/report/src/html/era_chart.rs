//! Chart G: how long answers took before, during and after the switch, per version.
//!
//! Quantiles side by side, up the tail; only those that have answers enough. It calls nothing slower.

use std::fmt::Write as _;

use crate::document::Report;
use crate::era::{Era, EraName, EraSide};
use crate::eras::QUANTILES;
use crate::figures::{count, span, span_or_dash};
use crate::html::axis::{LEFT, LogAxis, RIGHT};
use crate::html::marks::{ink, label};
use crate::html::svg::{Drawing, esc, n};
use crate::html::tables::table;

const TOP: f64 = 10.0;
const BOTTOM: f64 = 190.0;

/// Chart and table, when there was a switch.
pub(crate) fn section(report: &Report) -> String {
    if report.eras.iter().all(|era| era.sides.is_empty()) {
        return String::new();
    }
    let mut out = String::from(
        "<section><h2>Before, during and after</h2><p class=\"say\">Time to last byte of requests, sockets \
         and lanes that are slow on purpose apart: which share of the answers took at most so long. Thick: before and after; thin: during the \
         switch. A quantile needs ten answers beyond it.</p>\n",
    );
    out.push_str(&key(report));
    out.push_str(&chart(report));
    out.push_str(&rows(report));
    out.push_str("</section>\n");
    out
}

fn sides(report: &Report) -> impl Iterator<Item = (&Era, &EraSide)> {
    report.eras.iter().flat_map(|era| era.sides.iter().map(move |side| (era, side)))
}

fn look(report: &Report, era: &Era, side: &EraSide) -> String {
    let thin = if era.name == EraName::During { " thin" } else { "" };
    format!("curve {}{thin}", ink(report, side.version))
}

fn key(report: &Report) -> String {
    let mut out = String::from("<p class=\"key\">");
    for (era, side) in sides(report) {
        let _ = write!(
            out,
            "<span><svg class=\"swatch\" viewBox=\"0 0 22 12\" aria-hidden=\"true\">\
             <path class=\"{}\" d=\"M1 6H21\"/></svg>{} {}</span> ",
            look(report, era, side),
            esc(label(report, side.version)),
            words(era.name)
        );
    }
    out.push_str("</p>\n");
    out
}

fn chart(report: &Report) -> String {
    let points = || sides(report).flat_map(|(_, side)| &side.curve);
    let least = points().map(|p| p.ttlb_us).min().unwrap_or(1);
    let most = points().map(|p| p.ttlb_us).max().unwrap_or(1_000);
    let scale = LogAxis::new(least, most, TOP, BOTTOM);
    let mut d = Drawing::new(
        BOTTOM + 22.0,
        "Quantiles of the time to last byte, per version, before, during and after the switch",
        "The table below has the numbers.",
    );
    scale.draw(&mut d, RIGHT);
    for (i, per_mille) in QUANTILES.into_iter().enumerate() {
        let x = place(i);
        d.line("tick", [x, BOTTOM, x, BOTTOM + 4.0]);
        d.text("middle", x, BOTTOM + 16.0, &quantile(per_mille));
    }
    for (era, side) in sides(report) {
        let mut path = String::new();
        for point in &side.curve {
            let Some(i) = QUANTILES.iter().position(|q| *q == point.per_mille) else { continue };
            // A lone point still leaves ink: the round cap of a line without length.
            let (stroke, lone) = if path.is_empty() { ("M", "h0") } else { ("L", "") };
            let _ = write!(path, "{stroke}{} {}{lone}", n(place(i)), n(scale.y(point.ttlb_us)));
        }
        d.path(&look(report, era, side), &path);
    }
    d.line("axis", [LEFT, BOTTOM, RIGHT, BOTTOM]);
    d.finish()
}

fn place(i: usize) -> f64 {
    let steps = (QUANTILES.len() - 1) as f64;
    LEFT + 24.0 + (RIGHT - LEFT - 48.0) * i as f64 / steps
}

fn quantile(per_mille: u16) -> String {
    match per_mille {
        1_000 => "longest".to_owned(),
        n if n % 10 == 0 => format!("{} %", n / 10),
        n => format!("{}.{} %", n / 10, n % 10),
    }
}

fn words(name: EraName) -> &'static str {
    match name {
        EraName::Before => "before",
        EraName::During => "during",
        EraName::After => "after",
    }
}

fn rows(report: &Report) -> String {
    let mut rows = Vec::new();
    for era in &report.eras {
        for (i, side) in era.sides.iter().enumerate() {
            // What is of the whole part stands in its first row.
            let whole = |text: String| if i == 0 { text } else { String::new() };
            let lasted = crate::axis::between(era.from_us, era.to_us);
            rows.push(vec![
                whole(format!("{}, {}", words(era.name), span(lasted))),
                whole(count(era.sent)),
                whole(count(era.failed)),
                label(report, side.version).to_owned(),
                count(side.answers),
                span_or_dash(side.at(500)),
                span_or_dash(side.at(900)),
                span_or_dash(side.at(990)),
                span_or_dash(side.at(1_000)),
            ]);
        }
    }
    let head = ["", "sent", "failed", "version", "answers", "p50", "p90", "p99", "longest"];
    table(&head, &rows).replace("<table>", "<table class=\"numbers all\">")
}
