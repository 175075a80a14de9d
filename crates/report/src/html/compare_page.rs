//! Two runs on one page: both verdicts, and the figures side by side.
//!
//! It only writes what `compare` found.

use std::fmt::Write as _;

use model::Verdict;

use crate::compare::{ComparedFigure, ComparedRun, Comparison, Unit};
use crate::figures::{clock, date};
use crate::html::page::{close, open};
use crate::html::svg::{esc, n};

/// Two runs as one HTML file.
pub fn compare_html(comparison: &Comparison) -> String {
    let mut out = open(&comparison.sentence());
    out.push_str("<h1>Two runs</h1>\n<div class=\"pair\">");
    for (name, run) in ["first", "second"].into_iter().zip(&comparison.runs) {
        out.push_str(&head(name, run));
    }
    out.push_str("</div>\n");
    if !comparison.unlike.is_empty() {
        out.push_str("<ul class=\"facts\">");
        for line in &comparison.unlike {
            let _ = writeln!(out, "<li class=\"reason\">{}</li>", esc(line));
        }
        out.push_str("</ul>\n");
    }
    let (lanes, whole): (Vec<_>, Vec<_>) = comparison.rows.iter().partition(|r| r.lane.is_some());
    out.push_str(&section("The run", &whole));
    let mut rest = lanes.as_slice();
    while let Some(first) = rest.first() {
        let own = rest.iter().take_while(|row| row.lane == first.lane).count();
        let (lane, others) = rest.split_at(own);
        out.push_str(&section(first.lane.as_deref().unwrap_or_default(), lane));
        rest = others;
    }
    out.push_str(&close(
        "times UTC; neither run was judged anew, and no change is called good or bad",
        "",
    ));
    out
}

fn head(name: &str, run: &ComparedRun) -> String {
    let (class, sign) = match run.verdict {
        Verdict::Pass => ("pass", "✓"),
        Verdict::Fail => ("fail", "✕"),
        Verdict::Inconclusive => ("unsure", "?"),
    };
    let mut out = format!(
        "<header class=\"verdict {class}\"><p class=\"which\">{name}: run {}, {} {}</p>\
         <h2><span class=\"word\"><span aria-hidden=\"true\">{sign}</span> {}</span> \
         <span class=\"sentence\">{}</span></h2>",
        esc(&run.run_id),
        date(run.t0_unix_ms, 0),
        clock(run.t0_unix_ms, 0),
        run.verdict,
        esc(&run.sentence)
    );
    if let Some(line) = &run.outcome_line {
        let _ = write!(out, "<p class=\"outcome\">{}</p>", esc(line));
    }
    out.push_str("</header>");
    out
}

fn section(title: &str, rows: &[&ComparedFigure]) -> String {
    let mut out = format!(
        "<section><h2>{}</h2><div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"table\">\
         <table class=\"numbers compared\"><thead><tr><th scope=\"col\">figure</th>\
         <th scope=\"col\">first</th><th scope=\"col\">second</th><th scope=\"col\">change</th>\
         <th scope=\"col\"><span class=\"unseen\">side by side</span></th></tr></thead><tbody>\n",
        esc(title)
    );
    for row in rows {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            esc(&row.name),
            esc(&row.value(0)),
            esc(&row.value(1)),
            esc(&row.change()),
            bars(row)
        );
    }
    out.push_str("</tbody></table></div></section>\n");
    out
}

/// The two values as bars, the first above the second; nothing to see that the cells do not say.
fn bars(row: &ComparedFigure) -> String {
    let most = row.values.iter().flatten().copied().max().unwrap_or(0);
    if most == 0 || row.unit == Unit::PerSecond {
        return String::new();
    }
    let mut out = String::from(
        "<svg class=\"bars\" viewBox=\"0 0 160 16\" width=\"160\" height=\"16\" aria-hidden=\"true\">",
    );
    for (i, value) in row.values.iter().enumerate() {
        let width = value.map_or(0.0, |value| 160.0 * value as f64 / most as f64);
        let class = if i == 0 { "bar rest" } else { "bar old" };
        let _ = write!(
            out,
            "<rect class=\"{class}\" y=\"{}\" width=\"{}\" height=\"6\"/>",
            n(1.0 + 8.0 * i as f64),
            n(width)
        );
    }
    out.push_str("</svg>");
    out
}
