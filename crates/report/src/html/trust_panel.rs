//! Panel H: can this run be trusted?
//!
//! It shows the prober's account; the verdict has already weighed it. What it says is summed up in `trust`.

use std::fmt::Write as _;

use crate::document::{LatenessBin, Report};
use crate::figures::{count, span, span_or_dash};
use crate::html::axis::LEFT;
use crate::html::svg::{Drawing, n};
use crate::html::tables::{folded, table};

/// The panel.
pub(crate) fn section(report: &Report) -> String {
    let mut out = String::from("<section><h2>Can this run be trusted?</h2>\n<dl class=\"trust\">");
    for (name, value) in lines(report) {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    out.push_str("</dl>\n");
    let _ = write!(out, "<div class=\"lateness\">{}{}</div>", lateness(report), bins(report));
    out.push_str("</section>\n");
    out
}

fn lines(report: &Report) -> Vec<(&'static str, String)> {
    let trust = &report.trust;
    let number =
        |n: Option<u64>| n.map_or_else(|| "unknown: the prober did not sum up".to_owned(), count);
    let blind = match trust.blind.len() as u64 {
        0 => "never".to_owned(),
        n => format!("{}, {} in total", crate::figures::several(n, "time"), span(trust.blind_us)),
    };
    vec![
        ("planned", number(trust.planned)),
        ("sent", number(trust.sent)),
        ("recorded", count(trust.recorded)),
        ("not sent", count(report.not_sent)),
        (
            "own lateness p50 / p99 / max",
            format!(
                "{} / {} / {}",
                span_or_dash(trust.lateness_p50_us),
                span_or_dash(trust.lateness_p99_us),
                span_or_dash(trust.lateness_max_us)
            ),
        ),
        ("prober blind", blind),
        (
            "late after / timeout",
            format!("{} / {}", span(report.late_after_us), span(report.timeout_us)),
        ),
        ("retries by the prober", "none, ever".to_owned()),
    ]
}

fn lateness(report: &Report) -> String {
    let bins = &report.trust.lateness;
    let most = bins.iter().map(|b| b.attempts).max().unwrap_or(0).max(1) as f64;
    let mut d = Drawing::new(
        24.0 + 18.0 * bins.len() as f64,
        "How late the prober itself was",
        "Attempts by the time between the intended and the actual send.",
    );
    d.text("start", LEFT, 12.0, "How late the prober sent, in attempts");
    for (i, bin) in bins.iter().enumerate() {
        let y = 20.0 + 18.0 * i as f64;
        d.text("end", LEFT + 10.0, y + 12.0, &bin_words(bins, i));
        let width = 560.0 * bin.attempts as f64 / most;
        if bin.attempts > 0 {
            d.rect("own", [LEFT + 18.0, y + 2.0, width.max(1.5), 12.0]);
        }
        let x = LEFT + 24.0 + width;
        d.raw(&format!(
            "<text class=\"start\" x=\"{}\" y=\"{}\">{}</text>",
            n(x),
            n(y + 12.0),
            count(bin.attempts)
        ));
    }
    d.finish()
}

/// The same as a table.
fn bins(report: &Report) -> String {
    let bins = &report.trust.lateness;
    let row = |(i, bin): (usize, &LatenessBin)| vec![bin_words(bins, i), count(bin.attempts)];
    let rows: Vec<Vec<String>> = bins.iter().enumerate().map(row).collect();
    folded("The numbers", &table(&["late by", "attempts"], &rows))
}

fn bin_words(bins: &[LatenessBin], i: usize) -> String {
    let before = i.checked_sub(1).and_then(|i| bins.get(i)).and_then(|bin| bin.below_us);
    match (before, bins.get(i).and_then(|bin| bin.below_us)) {
        (None, Some(edge)) => format!("< {}", edge_words(edge)),
        // Each bar is what lies between two edges, not all below one.
        (Some(before), Some(edge)) => between_words(before, edge),
        (_, None) => format!("≥ {}", edge_words(before.unwrap_or(0))),
    }
}

/// `100–200 µs`, `0.5–1 ms`: in the unit of its upper edge.
fn between_words(from_us: u64, to_us: u64) -> String {
    if !to_us.is_multiple_of(1_000) {
        return format!("{from_us}–{to_us} µs");
    }
    let from = format!("{:.3}", from_us as f64 / 1e3);
    format!("{}–{}", from.trim_end_matches('0').trim_end_matches('.'), edge_words(to_us))
}

fn edge_words(us: u64) -> String {
    if us.is_multiple_of(1_000) { format!("{} ms", us / 1_000) } else { format!("{us} µs") }
}
