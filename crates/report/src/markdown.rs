//! The report in Markdown: for the page of a CI run, where teams read.
//!
//! Tables and sentences only. It is short whatever the report holds: what has no room is counted, and the
//! page and the JSON have it.

use std::fmt::Write as _;

use model::Verdict;

use crate::document::{FailureGroup, Report, VersionRole};
use crate::escape::markdown as esc;
use crate::figures::{clock_ms, count, date, percent_of_ppb, several, span};
use crate::lane_row::lane_row;

/// Rows of a table.
const ROWS: usize = 20;
/// Sentences of one kind.
const SENTENCES: usize = 40;

/// The report in Markdown as GitHub reads it.
pub fn markdown(report: &Report) -> String {
    let mut out = head(report);
    out.push_str(&lanes(report));
    out.push_str(&switch(report));
    out.push_str(&versions(report));
    out.push_str(&failures(report));
    out.push_str(&ledger(report));
    out.push_str(&demands(report));
    let _ = writeln!(
        out,
        "run {} · {} · {} · Cutover {} · exit code {} · times UTC, by intended send time",
        esc(&report.run_id),
        date(report.t0_unix_ms, report.from_us),
        esc(&report.url),
        esc(&report.cutover_version),
        report.exit_code
    );
    out
}

/// A sign beside the word of a verdict.
pub(crate) const fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Fail => "❌",
        Verdict::Inconclusive => "❔",
    }
}

fn head(report: &Report) -> String {
    let verdict = report.verdict;
    let mut out = format!("## {} {verdict}: {}\n\n", sign(verdict), esc(&report.sentence));
    if let Some(line) = &report.outcome_line {
        let _ = writeln!(out, "**{}**\n", esc(line));
    }
    let unsaid = report.reasons.iter().filter(|r| !report.sentence.contains(r.as_str()));
    for line in report.outcome_notes.iter().chain(unsaid).chain(&report.facts).take(SENTENCES) {
        let _ = writeln!(out, "- {}", esc(line));
    }
    out.push('\n');
    out
}

fn lanes(report: &Report) -> String {
    let head = ["lane", "sent", "failed", "p50", "p99", "max", "longest gap", "sees outages from"];
    let ran = report.lanes.iter().map(|lane| lane_row(lane).to_vec());
    let idle = report.lanes_not_run.iter().map(|lane| {
        let mut row = vec![format!("{}: not run, {}", lane.lane.name(), lane.reason)];
        row.extend((1..8).map(|_| "–".to_owned()));
        row
    });
    table(&head, &ran.chain(idle).take(ROWS).collect::<Vec<_>>())
}

/// The switch and what the run could have missed, a figure per row.
fn switch(report: &Report) -> String {
    let old = report.from.as_deref().unwrap_or("the old version");
    let proof = report.proof.as_ref();
    let mut rows = Vec::new();
    let mut row = |name: String, value: Option<String>| {
        rows.extend(value.map(|value| vec![name, value]));
    };
    let at = |us: i64| clock_ms(report.t0_unix_ms, us);
    row("the switch began".to_owned(), report.switch_us.map(at));
    row("both versions answered for".to_owned(), proof.and_then(|p| p.mixed_us).map(span));
    row(
        format!("last answer of {old}, after the command"),
        proof.and_then(|p| p.switch_time_us).map(span),
    );
    row(
        format!("requests that went back to {old}"),
        proof.map(|p| count(p.regressions)).filter(|n| n != "0"),
    );
    row(
        "of them to clients that keep their cookies".to_owned(),
        report.clients.as_ref().map(|c| count(c.regressions)).filter(|n| n != "0"),
    );
    row("longest time without a success".to_owned(), Some(span(report.longest_gap_us)));
    row("any outage from here on was seen".to_owned(), Some(span(report.detection_floor_us)));
    row(
        "chance of a failure, at most (95 % confidence)".to_owned(),
        report.failure_bound_ppb.map(percent_of_ppb),
    );
    row(
        "not sent by the prober".to_owned(),
        Some(count(report.not_sent)).filter(|_| report.not_sent > 0),
    );
    row(
        "prober blind for".to_owned(),
        Some(span(report.trust.blind_us)).filter(|_| !report.trust.blind.is_empty()),
    );
    table(&["the switch", ""], &rows)
}

fn versions(report: &Report) -> String {
    let at =
        |us: Option<i64>| us.map_or_else(|| "–".to_owned(), |us| clock_ms(report.t0_unix_ms, us));
    let rows = report.versions.iter().filter(|v| v.answers > 0).map(|version| {
        let role = match version.role {
            VersionRole::Old => "old",
            VersionRole::New => "new",
            VersionRole::Other | VersionRole::Rest => "other",
            VersionRole::Silent => "unnamed",
        };
        vec![
            version.label.clone(),
            role.to_owned(),
            count(version.answers),
            at(version.first_sent_us),
            at(version.last_sent_us),
        ]
    });
    let head = ["version", "role", "answers", "first sent (UTC)", "last sent (UTC)"];
    table(&head, &rows.take(ROWS).collect::<Vec<_>>())
}

fn failures(report: &Report) -> String {
    let rows: Vec<Vec<String>> =
        report.groups.iter().take(ROWS).map(|g| group(report, g)).collect();
    let head = ["class", "failures", "status", "lane", "sent in", "version", "first (UTC)"];
    let mut out = table(&head, &rows);
    if let Some(more) = report.groups.len().checked_sub(ROWS).filter(|more| *more > 0) {
        let _ = writeln!(out, "and {} more; the page has them\n", several(more as u64, "group"));
    }
    for cause in report.causes.iter().take(ROWS) {
        let _ =
            writeln!(out, "- **why**, {}: {}", several(cause.failures, "failure"), esc(&cause.why));
        if let Some(advice) = &cause.advice {
            let _ = writeln!(out, "  - **try** {}", esc(advice));
        }
    }
    if !report.causes.is_empty() {
        out.push('\n');
    }
    out
}

fn group(report: &Report, g: &FailureGroup) -> Vec<String> {
    let dash = || "–".to_owned();
    vec![
        g.class.name().to_owned(),
        count(g.count),
        if g.status == 0 { dash() } else { g.status.to_string() },
        g.lane.name().to_owned(),
        g.phase.map_or_else(dash, |p| p.name().to_owned()),
        g.version.clone().unwrap_or_else(dash),
        clock_ms(report.t0_unix_ms, g.first_us),
    ]
}

/// On what the prober, who carried the traffic and the instances do not agree.
fn ledger(report: &Report) -> String {
    let Some(ledger) = report.ledger.as_ref().filter(|ledger| !ledger.rows.is_empty()) else {
        return String::new();
    };
    let rows = ledger.rows.iter().map(|row| {
        let lane = row.lane.map_or("–", model::Lane::name);
        let id = format!("no. {}", row.id);
        vec![id, lane.to_owned(), row.finding.name().to_owned(), row.words.clone()]
    });
    let rows: Vec<Vec<String>> = rows.take(ROWS).collect();
    let more = (ledger.rows.len() - rows.len()) as u64 + ledger.left_out;
    let mut out = table(&["request", "lane", "found", "what it means"], &rows);
    if more > 0 {
        let _ = writeln!(out, "and {} more; the page has them\n", several(more, "request"));
    }
    out
}

fn demands(report: &Report) -> String {
    let rows = report.assertions.iter().map(|demand| {
        let held = match demand.held {
            Some(true) => "held",
            Some(false) => "broken",
            None => "cannot be told",
        };
        vec![demand.text.clone(), held.to_owned(), demand.seen.clone()]
    });
    table(&["demand", "", "seen"], &rows.take(ROWS).collect::<Vec<_>>())
}

/// A table and an empty line; nothing without rows. Cells are escaped here; the first column names the row.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = format!("| {} |\n", head.join(" | "));
    out.push_str("|:--|");
    out.push_str(&"--:|".repeat(head.len().saturating_sub(1)));
    out.push('\n');
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| esc(cell)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out.push('\n');
    out
}
