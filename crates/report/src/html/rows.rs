//! Failures: causes with what to try, groups, and every failure as a row.
//!
//! Rows beyond the cap are counted, and the JSON has them. Which failures go together, and why they
//! happened, is worked out in `failures` and `cause`.

use std::fmt::Write as _;

use model::Class;

use crate::document::{FailureRow, Report};
use crate::figures::{clock_ms, count, over, several, span};
use crate::html::marks::label;
use crate::html::svg::esc;
use crate::html::tables::{folded, table};

/// Rows on the page.
const ROWS: usize = 500;

/// Causes, each with what to try.
pub(crate) fn causes(report: &Report) -> String {
    if report.causes.is_empty() {
        return String::new();
    }
    let mut out = String::from("<section class=\"causes\"><h2>Why</h2>\n");
    for cause in &report.causes {
        let _ = write!(
            out,
            "<div class=\"cause\"><p><b>{}</b> {}</p>",
            several(cause.failures, "failure"),
            esc(&cause.why)
        );
        if let Some(advice) = &cause.advice {
            let _ = write!(out, "<p><b>try</b> {}</p>", esc(advice));
        }
        out.push_str("</div>\n");
    }
    out.push_str(&groups(report));
    out.push_str("</section>\n");
    out
}

fn groups(report: &Report) -> String {
    let rows = report.groups.iter().map(|g| {
        vec![
            count(g.count),
            g.class.name().to_owned(),
            status(g.status),
            g.lane.name().to_owned(),
            g.phase.map_or("–".to_owned(), |p| p.name().to_owned()),
            g.version.clone().unwrap_or_else(|| "–".to_owned()),
            clock_ms(report.t0_unix_ms, g.first_us),
            clock_ms(report.t0_unix_ms, g.last_us),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let head =
        ["failures", "class", "status", "lane", "sent in", "version", "first (UTC)", "last (UTC)"];
    let table = table(&head, &rows);
    if rows.len() > 6 { folded("The failures in groups", &table) } else { table }
}

/// Every failure.
pub(crate) fn failures(report: &Report) -> String {
    if report.failures.is_empty() {
        return String::new();
    }
    let head = [
        "sent (UTC)",
        "request",
        "class",
        "lane",
        "sent in",
        "ended in",
        "version",
        "status",
        "conn",
        "bytes",
        "took",
        "what came",
    ];
    let rows: Vec<Vec<String>> =
        report.failures.iter().take(ROWS).map(|f| row(report, f)).collect();
    let left = report.failed.saturating_sub(rows.len() as u64);
    let note = if left > 0 {
        format!(
            "<p class=\"say\">{} more are not on this page; the JSON has up to 10,000.</p>",
            count(left)
        )
    } else {
        String::new()
    };
    let body = table(&head, &rows);
    let body = if rows.len() > 25 {
        folded(&format!("Show {}", several(rows.len() as u64, "failure")), &body)
    } else {
        body
    };
    format!("<section><h2>Every failure</h2>\n{body}{note}</section>\n")
}

/// Requests that the old version answered again.
pub(crate) fn regressions(report: &Report) -> String {
    let Some(proof) = report.proof.as_ref().filter(|p| !p.first_regressions.is_empty()) else {
        return String::new();
    };
    let rows = proof.first_regressions.iter().map(|r| {
        vec![
            clock_ms(report.t0_unix_ms, r.sent_us),
            format!("#{}", r.id),
            r.lane.name().to_owned(),
            r.connection.to_string(),
            clock_ms(report.t0_unix_ms, r.new_seen_us),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    format!(
        "<section><h2>Connections that went back to the old version</h2><p class=\"say\">{} in all.</p>\n{}</section>\n",
        several(proof.regressions, "request"),
        table(&["sent (UTC)", "request", "lane", "conn", "new version had answered at"], &rows)
    )
}

/// Requests of clients that an older version answered again.
pub(crate) fn client_regressions(report: &Report) -> String {
    let Some(facts) = report.clients.as_ref().filter(|f| !f.first_regressions.is_empty()) else {
        return String::new();
    };
    let rows = facts.first_regressions.iter().map(|r| {
        vec![
            clock_ms(report.t0_unix_ms, r.sent_us),
            format!("#{}", r.id),
            r.lane.name().to_owned(),
            r.client.to_string(),
            label(report, r.version).to_owned(),
            clock_ms(report.t0_unix_ms, r.newer_seen_us),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    format!(
        "<section><h2>Clients that went back to an older version</h2><p class=\"say\">They keep their \
         cookies, as browsers do. {} in all, to {} of {}.</p>\n{}</section>\n",
        several(facts.regressions, "answer"),
        count(facts.went_back),
        several(facts.clients, "client"),
        table(
            &["sent (UTC)", "request", "lane", "client", "version", "newer one had answered at"],
            &rows
        )
    )
}

fn row(report: &Report, f: &FailureRow) -> Vec<String> {
    let dash = || "–".to_owned();
    let by = match (&f.version, &f.instance) {
        (Some(version), Some(instance)) => format!("{version} ({instance})"),
        (version, instance) => version.clone().or_else(|| instance.clone()).unwrap_or_else(dash),
    };
    vec![
        clock_ms(report.t0_unix_ms, f.intended_us),
        format!("#{}", f.id),
        f.class.name().to_owned(),
        f.lane.name().to_owned(),
        f.phase.map_or_else(dash, |p| p.name().to_owned()),
        f.ended_phase.map_or_else(dash, |p| p.name().to_owned()),
        by,
        status(f.status),
        if f.connection == 0 { dash() } else { f.connection.to_string() },
        count(f.bytes),
        if f.class == Class::Late {
            over(f.ttlb_us, report.late_after_us)
        } else {
            span(f.ttlb_us)
        },
        f.detail.clone().unwrap_or_else(dash),
    ]
}

fn status(status: u16) -> String {
    if status == 0 { "–".to_owned() } else { status.to_string() }
}
