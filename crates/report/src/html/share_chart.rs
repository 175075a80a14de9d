//! The candidate's shares: a track of what was wanted, and a table of what was seen.
//!
//! Only for a rollout in which both versions were meant to answer, or a share that is off: all at
//! once needs no picture.

use std::fmt::Write as _;

use crate::axis::between;
use crate::document::Report;
use crate::figures::{clock_ms, count, percent, span};
use crate::html::axis::{LEFT, TimeAxis};
use crate::html::svg::{Drawing, n, text_width};
use crate::html::tables::table;
use crate::share_fact::{ShareFact, ShareFinding};
use crate::share_words::{told, verdict};

/// Height of the track.
pub(crate) const TRACK: f64 = 50.0;
/// Shares on the page; the JSON has all.
const ROWS: usize = 200;

/// True when the track is drawn.
pub(crate) fn wanted(report: &Report) -> bool {
    report.shares.iter().any(ShareFact::partial)
}

/// The share wanted as a stepped line between 0 and all, each step named where there is room.
pub(crate) fn track(d: &mut Drawing, report: &Report, axis: TimeAxis, top: f64) {
    let (high, low) = (top + 7.0, top + TRACK - 5.0);
    let y = |bp: u16| low - (low - high) * f64::from(bp.min(10_000)) / 10_000.0;
    d.text("end", LEFT - 6.0, top + TRACK / 2.0 + 4.0, "wanted");
    let mut path = format!("M{} {}", n(LEFT), n(low));
    for share in report.shares.iter().take(ROWS) {
        let _ = write!(path, "H{}V{}", n(axis.x(share.from_us)), n(y(share.wanted_bp)));
        if let Some(turn) = turned(report, share) {
            let _ = write!(path, "H{}V{}", n(axis.x(turn)), n(low));
        }
    }
    let end = report
        .shares
        .iter()
        .take(ROWS)
        .map(|s| s.to_us)
        .max()
        .map_or(axis.right(), |us| axis.x(us));
    let _ = write!(path, "H{}", n(end));
    d.path("wanted", &path);
    let mut free = LEFT;
    for share in report.shares.iter().take(ROWS) {
        let name = short(share.wanted_bp);
        let x = (axis.x(share.from_us) + 5.0).max(free);
        if x + text_width(&name) <= axis.x(share.to_us) {
            // Above the line where there is room, else below it.
            let line = y(share.wanted_bp);
            let at = if line - high > 10.0 { line - 4.0 } else { line + 13.0 };
            d.text("start name", x, at, &name);
            free = x + text_width(&name) + 4.0;
        }
    }
}

/// When the rollout went back, if this was its last share and it ended before the run did.
fn turned(report: &Report, share: &ShareFact) -> Option<i64> {
    let last = report.shares.last().is_some_and(|l| l == share);
    (last && !share.all() && share.to_us < report.to_us).then_some(share.to_us)
}

/// `25 %`, `2.5 %`.
fn short(bp: u16) -> String {
    format!("{} %", f64::from(bp) / 100.0)
}

/// The table, with what it counts.
pub(crate) fn section(report: &Report) -> String {
    let off = report.shares.iter().any(|s| s.finding == ShareFinding::Off);
    if !told(report) || !(wanted(report) || off) {
        return String::new();
    }
    let mut rows: Vec<Vec<String>> =
        report.shares.iter().take(ROWS).map(|share| row(report, share)).collect();
    let mut head = vec!["wanted", "asked (UTC)", "in effect after", "seen", "of", ""];
    let counted = report.shares.iter().any(|share| share.router.is_some());
    let heading = report.router.as_ref().map(|router| format!("{} counted", router.what));
    if let Some(heading) = heading.as_deref().filter(|_| counted) {
        head.push(heading);
        let cells = report.shares.iter().map(by_router);
        rows.iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell));
    }
    let left_out = match report.shares.len().saturating_sub(ROWS) as u64 {
        0 => String::new(),
        n => format!(" {} more are not shown.", count(n)),
    };
    format!(
        "<section><h2>Shares of the new version</h2><p class=\"say\">Answers to keep-alive and fresh \
         requests, which are routed anew each, sent from when the router was seen to carry the share \
         until the next one was asked for. In brackets the shares that could have given this by chance: \
         Wilson score interval, 99.9 %. A share that is off is no lost request; the verdict leaves it \
         out.{left_out}</p>\n{}</section>\n",
        table(&head, &rows).replace("<table>", "<table class=\"numbers\">")
    )
}

/// `24.91% of 5,431`, marked.
fn by_router(share: &ShareFact) -> String {
    let cell = share.router.as_ref().and_then(|router| {
        let seen = format!("{} of {}", percent(router.seen_bp?), count(router.requests));
        Some(format!("{} {seen}", mark(router.finding)))
    });
    cell.unwrap_or_else(|| "–".to_owned())
}

const fn mark(finding: ShareFinding) -> &'static str {
    match finding {
        ShareFinding::AsWanted => "✓",
        ShareFinding::Off => "✕",
        ShareFinding::TooFew | ShareFinding::NotSettled | ShareFinding::NotToldApart => "?",
    }
}

fn row(report: &Report, share: &ShareFact) -> Vec<String> {
    let dash = || "–".to_owned();
    let seen = share.seen_bp.zip(share.low_bp.zip(share.high_bp));
    vec![
        percent(share.wanted_bp),
        clock_ms(report.t0_unix_ms, share.from_us),
        share.settled_us.map_or_else(dash, |us| span(between(share.from_us, us))),
        seen.map_or_else(dash, |(seen, (low, high))| {
            format!("{} ({} to {})", percent(seen), percent(low), percent(high))
        }),
        count(share.answers),
        format!("{} {}", mark(share.finding), verdict(share)),
    ]
}
