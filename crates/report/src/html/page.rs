//! The page: verdict first, then why, then the evidence.
//!
//! It only puts the sections in order.

use std::fmt::Write as _;

use model::{Outcome, Verdict};

use crate::document::Report;
use crate::figures::{count, date, over, percent_of_ppb, span};
use crate::html::svg::esc;
use crate::html::{
    connection_chart, era_chart, ledger, rows, share_chart, socket_chart, switch_chart, tables,
    trust_panel, ttlb_chart, zoom_chart,
};

const STYLE: &str = include_str!("style.css");
/// What a chart shows at one place, and a part of its time from close by, for pointer and keys; the page says all
/// of it without.
const SCRIPT: &str = include_str!("charts.js");
/// SHA-256 of that, in base64: nothing else may run.
const SCRIPT_HASH: &str = "Iu5sEMveCFx5ErZ31mgQpUChWsDZ2WjQGX3ub11Lc+s=";
/// Hatches, shared by all drawings of the page.
const PATTERNS: &str = include_str!("patterns.svg");

/// The report as one HTML file.
pub fn html(report: &Report) -> String {
    let mut out = open(&format!("{} {}", report.verdict, report.sentence));
    out.push_str(&head(report));
    out.push_str(&rows::causes(report));
    out.push_str(&rows::regressions(report));
    out.push_str(&rows::client_regressions(report));
    if report.sent > 0 || report.not_sent > 0 {
        out.push_str(&switch_chart::section(report));
        out.push_str(&share_chart::section(report));
        out.push_str(&tables::lanes(report));
        out.push_str(&zoom_chart::section(report));
        out.push_str(&ttlb_chart::section(report));
        out.push_str(&era_chart::section(report));
        out.push_str(&connection_chart::section(report));
        out.push_str(&socket_chart::section(report));
    }
    out.push_str(&trust_panel::section(report));
    out.push_str(&ledger::section(report));
    out.push_str(&tables::phases(report));
    out.push_str(&rows::failures(report));
    out.push_str(&close(&footer(report), &format!("<script>{SCRIPT}</script>\n")));
    out
}

/// A page up to its first section; the title is escaped here.
pub(crate) fn open(title: &str) -> String {
    let mut out = String::with_capacity(256 * 1024);
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'sha256-{SCRIPT_HASH}'\">\
         <title>{}</title>\n<style>\n{STYLE}</style></head>\n<body>\n{PATTERNS}<main>\n",
        esc(title)
    );
    out
}

/// A page from its last section on; both are markup.
pub(crate) fn close(words: &str, more: &str) -> String {
    format!("<footer><p>{words}</p></footer>\n</main>\n{more}</body></html>\n")
}

fn head(report: &Report) -> String {
    let (class, sign) = match report.verdict {
        Verdict::Pass => ("pass", "✓"),
        Verdict::Fail => ("fail", "✕"),
        Verdict::Inconclusive => ("unsure", "?"),
    };
    let mut out = format!(
        "<header class=\"verdict {class}\"><h1><span class=\"word\"><span aria-hidden=\"true\">{sign}</span> {}</span> \
         <span class=\"sentence\">{}</span></h1>\n",
        report.verdict,
        esc(&report.sentence)
    );
    if let Some(line) = &report.outcome_line {
        let weight = match report.outcome {
            Outcome::Aborted | Outcome::Stuck => "outcome heavy",
            Outcome::Promoted | Outcome::None => "outcome",
        };
        let _ = writeln!(out, "<p class=\"{weight}\">{}</p>", esc(line));
    }
    if !report.outcome_notes.is_empty() {
        let notes: Vec<String> = report.outcome_notes.iter().map(|n| esc(n)).collect();
        let _ = writeln!(out, "<pre>{}</pre>", notes.join("\n"));
    }
    out.push_str("</header>\n");
    out.push_str(&tiles(report));
    out.push_str("<ul class=\"facts\">");
    let unsaid = report.reasons.iter().filter(|r| !report.sentence.contains(r.as_str()));
    for line in unsaid {
        let _ = writeln!(out, "<li class=\"reason\">{}</li>", esc(line));
    }
    for line in &report.facts {
        let _ = writeln!(out, "<li>{}</li>", esc(line));
    }
    out.push_str("</ul>\n");
    out
}

/// The figures one looks for first.
fn tiles(report: &Report) -> String {
    let bound = report.failure_bound_ppb.map_or_else(
        || format!("of {} sent", count(report.sent)),
        |ppb| format!("of {} sent; chance < {}", count(report.sent), percent_of_ppb(ppb)),
    );
    let mut tiles = vec![("failed", count(report.failed), bound)];
    tiles.push((
        "longest gap",
        span(report.longest_gap_us),
        "between successes, all lanes together".to_owned(),
    ));
    if let Some(mixed) = report.proof.as_ref().and_then(|p| p.mixed_us) {
        tiles.push((
            "both versions live",
            span(mixed),
            "answering requests; sockets apart".to_owned(),
        ));
    }
    if let Some(us) = report.proof.as_ref().and_then(|p| p.switch_time_us) {
        tiles.push(("switch", span(us), "from the command to the last old answer".to_owned()));
    }
    let prompt = report.lanes.iter().filter(|l| !l.lane.slow());
    let slowest = prompt.filter_map(|l| l.ttlb_max_us).max();
    if let Some(us) = slowest {
        tiles.push((
            "slowest whole answer",
            over(us, report.late_after_us),
            format!("late after {}", span(report.late_after_us)),
        ));
    }
    tiles.push((
        "outages seen from",
        span(report.detection_floor_us),
        "all lanes together".to_owned(),
    ));
    let mut out = String::from("<dl class=\"tiles\">");
    for (name, value, below) in tiles {
        let _ = write!(
            out,
            "<div><dt>{name}</dt><dd>{value}</dd><dd class=\"below\">{}</dd></div>",
            esc(&below)
        );
    }
    out.push_str("</dl>\n");
    out
}

fn footer(report: &Report) -> String {
    format!(
        "run {} · {} · {} · Cutover {} · exit code {} · all times UTC, by intended send time",
        esc(&report.run_id),
        date(report.t0_unix_ms, report.from_us),
        esc(&report.url),
        esc(&report.cutover_version),
        report.exit_code
    )
}
