//! The numbers behind the charts, for eyes, screen readers and copy and paste.
//!
//! Long tables are folded away; what has no room is counted.

use std::fmt::Write as _;

use crate::axis::between;
use crate::document::{Report, Zoom, ZoomLine};
use crate::figures::{clock_ms, count, moment, span, span_or_dash};
use crate::html::marks::label;
use crate::html::svg::esc;

/// Phases that stand in the open; a rolling update goes through the same ones again and again.
const PHASES: usize = 20;
/// Requests in the table of the closer look.
const ZOOM_ROWS: usize = 200;

/// A table; cells are escaped here. The first column is the row's name.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = String::from(
        "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"table\"><table><thead><tr>",
    );
    for name in head {
        let _ = write!(out, "<th scope=\"col\">{}</th>", esc(name));
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td>{}</td>", esc(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// A table that is folded away.
pub(crate) fn folded(summary: &str, table: &str) -> String {
    format!("<details><summary>{}</summary>\n{table}</details>\n", esc(summary))
}

/// The lanes.
pub(crate) fn lanes(report: &Report) -> String {
    let head = [
        "lane",
        "sent",
        "failed",
        "not sent",
        "p50",
        "p99",
        "max",
        "longest gap",
        "sees outages from",
        "",
    ];
    let ran = report.lanes.iter().map(|lane| {
        vec![
            lane.lane.name().to_owned(),
            count(lane.sent),
            count(lane.failed),
            count(lane.not_sent),
            span_or_dash(lane.ttlb_p50_us),
            span_or_dash(lane.ttlb_p99_us),
            span_or_dash(lane.ttlb_max_us),
            span(lane.longest_gap_us),
            span_or_dash(lane.detection_floor_us),
            match (lane.sent, lane.failed) {
                (0, _) => "? nothing sent",
                (_, 0) => "✓ none failed",
                _ => "✕ failed",
            }
            .to_owned(),
        ]
    });
    let idle = report.lanes_not_run.iter().map(|lane| {
        let mut row = vec![lane.lane.name().to_owned()];
        row.extend((0..8).map(|_| "–".to_owned()));
        row.push(format!("not run: {}", lane.reason));
        row
    });
    let rows: Vec<Vec<String>> = ran.chain(idle).collect();
    format!(
        "<section><h2>Lanes</h2><p class=\"say\">Each kind of traffic by itself. A 99th percentile \
         needs 1,000 answers. Outages are seen from the longest time on in which a lane sent nothing.</p>\n{}</section>\n",
        table(&head, &rows).replace("<table>", "<table class=\"numbers\">")
    )
}

/// Steps of the run.
pub(crate) fn buckets(report: &Report) -> String {
    let seen: Vec<usize> =
        (0..report.versions.len()).filter(|s| report.versions[*s].answers > 0).collect();
    let mut head = vec!["from (UTC)"];
    head.extend(seen.iter().map(|slot| label(report, *slot)));
    head.extend(["failed", "not sent", "p50", "p99", "max"]);
    let rows = report.buckets.iter().map(|b| {
        let mut row = vec![moment(report.t0_unix_ms, b.at_us)];
        row.extend(seen.iter().map(|slot| count(b.ok.get(*slot).copied().unwrap_or(0))));
        row.extend([count(b.failed), count(b.not_sent)]);
        row.extend([b.ttlb_p50_us, b.ttlb_p99_us, b.ttlb_max_us].map(span_or_dash));
        row
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let summary = format!("The numbers, in steps of {}", span(report.bucket_us));
    folded(&summary, &table(&head, &rows).replace("<table>", "<table class=\"numbers\">")).replacen(
        "<details>",
        "<details class=\"numbers\">",
        1,
    )
}

/// Requests nearest to the switch.
pub(crate) fn zoom(report: &Report, zoom: &Zoom, centre: i64) -> String {
    let mut near: Vec<&ZoomLine> = zoom.lines.iter().collect();
    near.sort_by_key(|l| (l.intended_us.abs_diff(centre), l.id));
    near.truncate(ZOOM_ROWS);
    near.sort_by_key(|l| (l.intended_us, l.id));
    let rows = near.iter().map(|l| {
        vec![
            clock_ms(report.t0_unix_ms, l.intended_us),
            format!("#{}", l.id),
            l.lane.name().to_owned(),
            label(report, l.version).to_owned(),
            l.class.name().to_owned(),
            span(between(l.intended_us, l.done_us)),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let summary = format!("The {} requests nearest to the switch", count(rows.len() as u64));
    folded(
        &summary,
        &table(&["sent (UTC)", "request", "lane", "version", "outcome", "took"], &rows),
    )
}

/// Phases of the rollout.
pub(crate) fn phases(report: &Report) -> String {
    if report.phases.is_empty() {
        return String::new();
    }
    let rows = report.phases.iter().map(|p| {
        let lasted =
            if p.phase.is_final() { "–".to_owned() } else { span(between(p.from_us, p.to_us)) };
        vec![
            p.phase.name().to_owned(),
            clock_ms(report.t0_unix_ms, p.from_us),
            lasted,
            p.why.clone(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let all = table(&["phase", "from (UTC)", "lasted", "why"], &rows);
    let all = match rows.len() {
        0..=PHASES => all,
        many => folded(&format!("Its {many} phases"), &all),
    };
    format!("<section class=\"half\"><h2>The rollout</h2>\n{all}</section>\n")
}
