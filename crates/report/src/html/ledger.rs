//! Panel I: who counted what. The prober, who carried the traffic, and the app must agree.
//!
//! It shows the counts, and request by request what does not agree; that is weighed in the verdict.

use crate::document::Report;
use crate::figures::{clock_ms, count, span};
use crate::html::svg::esc;
use crate::html::tables::{folded, table};
use crate::ledger::Ledger;

/// Disagreements shown.
const ROWS: usize = 100;

/// The panel.
pub(crate) fn section(report: &Report) -> String {
    let mut rows = prober(report);
    rows.extend(router(report));
    rows.extend(orders(report));
    rows.extend(versions(report));
    format!(
        "<section class=\"half\"><h2>Who counted what</h2><p class=\"say\">The prober counts its own requests; who carries \
         the traffic counts everybody's, so its numbers are the larger ones.</p>\n{}{}</section>\n",
        table(&["who", "what", "number"], &rows).replace("<table>", "<table class=\"ledger\">"),
        one_by_one(report)
    )
}

/// The three sides, request by request.
fn one_by_one(report: &Report) -> String {
    let Some(ledger) = &report.ledger else {
        return "<p class=\"say\">One by one it is not known: who carried the traffic kept no account of each \
                request that could be compared.</p>\n"
            .to_owned();
    };
    let fact = ledger.fact().unwrap_or_default();
    let mut out = format!(
        "<h3>Request by request</h3><p class=\"say\">{}</p>\n{}",
        esc(&fact),
        table(&["who", "what", "number"], &sides(ledger))
            .replace("<table>", "<table class=\"ledger\">")
    );
    if !ledger.rows.is_empty() {
        let rows: Vec<Vec<String>> = ledger
            .rows
            .iter()
            .take(ROWS)
            .map(|row| {
                let lane = row.lane.map_or("–", model::Lane::name).to_owned();
                let at = clock_ms(report.t0_unix_ms, row.at_us);
                vec![
                    format!("#{}", row.id),
                    at,
                    lane,
                    row.finding.name().to_owned(),
                    row.words.clone(),
                ]
            })
            .collect();
        let more = (ledger.rows.len() - rows.len()) as u64 + ledger.left_out;
        let rest =
            if more > 0 { format!("; {} more are not shown", count(more)) } else { String::new() };
        let summary = format!("On what the sides do not agree{rest}");
        out +=
            &folded(&summary, &table(&["request", "UTC", "lane", "found", "what it means"], &rows));
    }
    out
}

fn sides(ledger: &Ledger) -> Vec<Vec<String>> {
    let who = &ledger.who;
    let mut rows = vec![
        row("prober", "requests sent (messages on WebSockets aside)", count(ledger.requests)),
        row(who, "received of these", count(ledger.received)),
        row("instances", "answered whole, as it says", count(ledger.answered)),
        row("all", "agree", count(ledger.agreed)),
    ];
    for found in &ledger.findings {
        rows.push(row("", found.finding.name(), count(found.count)));
    }
    let rest = [
        ("put to an instance more than once", ledger.resent),
        ("came to no request: no connection", ledger.never_asked),
        ("nothing is known of", ledger.unknown),
    ];
    rows.extend(rest.into_iter().filter(|(_, n)| *n > 0).map(|(what, n)| row("", what, count(n))));
    rows
}

fn row(who: &str, what: &str, number: String) -> Vec<String> {
    vec![who.to_owned(), what.to_owned(), number]
}

fn prober(report: &Report) -> Vec<Vec<String>> {
    let unknown = |n: Option<u64>| n.map_or_else(|| "unknown".to_owned(), count);
    let whole = report.sent.saturating_sub(report.failed);
    vec![
        row("prober", "planned by its schedule", unknown(report.trust.planned)),
        row("", "sent, by its own account", unknown(report.trust.sent)),
        row("", "sent, as recorded one by one", count(report.sent)),
        row("", "could not be sent, and said so", count(report.not_sent)),
        row("", "answered whole, right and in time", count(whole)),
        row("", "failed", count(report.failed)),
    ]
}

fn router(report: &Report) -> Vec<Vec<String>> {
    let Some(router) = &report.router else {
        return Vec::new();
    };
    let old = report.from.as_deref().unwrap_or("the old version");
    let new = report.to.as_deref().unwrap_or("the new version");
    let mut out = vec![
        row(&router.what, &format!("sent to {old}"), count(router.old.requests)),
        row("", &format!("sent to {new}"), count(router.new.requests)),
        row("", &format!("failed on {old}"), count(router.old.failed)),
        row("", &format!("failed on {new}"), count(router.new.failed)),
    ];
    if let Some(held) = router.held {
        out.push(row("", "held until somebody served", count(held.total)));
        out.push(row("", "longest wait of these", span(held.longest_us)));
        out.push(row("", "refused because a bound was met", count(held.refused)));
    }
    out
}

/// What the app says of orders that were to be carried out once.
fn orders(report: &Report) -> Vec<Vec<String>> {
    let Some(orders) = &report.orders else {
        return Vec::new();
    };
    vec![
        row("app", "orders it confirmed to the prober", count(orders.acknowledged)),
        row("", "orders it carried out", count(orders.executed)),
        row("", "orders it carried out more than once", count(orders.doubled)),
    ]
}

/// What answers say of who gave them.
fn versions(report: &Report) -> Vec<Vec<String>> {
    let named = report.versions.iter().filter(|v| v.answers > 0).take(12);
    let rows = named.enumerate().map(|(i, version)| {
        let who = if i == 0 { "answers" } else { "" };
        row(who, &format!("that named {}", version.label), count(version.answers))
    });
    rows.collect()
}
