//! The report on a terminal: verdict first, then facts, lanes, failures with why and try.
//!
//! It knows no terminal: the caller says how wide it is and whether it takes colour. Which files
//! were written is added by the caller.

use std::fmt::Write as _;

use model::Verdict;

use crate::clean;
use crate::document::{FailureRow, LaneFacts, Report};
use crate::figures::{clock_ms, count, span};
use crate::lane_row::lane_row;

/// How to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether colour codes may be used.
    pub colour: bool,
    /// Columns.
    pub width: u16,
}

/// Failures shown one by one.
const ROWS: usize = 10;
/// Lines of trouble shown below the outcome.
const NOTES: usize = 12;
const NARROWEST: usize = 40;

/// What a colour says.
#[derive(Clone, Copy)]
pub(crate) enum Ink {
    Good,
    Bad,
    Unsure,
    Faint,
}

/// The report as lines of text, each ended by a line feed.
pub fn terminal(report: &Report, style: Style) -> String {
    let mut page = Page::new(style);
    verdict(&mut page, report);
    lanes(&mut page, &report.lanes);
    failures(&mut page, report);
    ledger(&mut page, report);
    causes(&mut page, report);
    page.finish()
}

fn verdict(page: &mut Page, report: &Report) {
    let word = report.verdict.to_string();
    let ink = match report.verdict {
        Verdict::Pass => Ink::Good,
        Verdict::Fail => Ink::Bad,
        Verdict::Inconclusive => Ink::Unsure,
    };
    let indent = word.len() + 2;
    page.paragraph(&word, Some(ink), indent, &report.sentence);
    if let Some(line) = &report.outcome_line {
        page.paragraph("", None, indent.min(6), line);
    }
    for note in report.outcome_notes.iter().take(NOTES) {
        page.paragraph("", None, 8, note);
    }
    for reason in report.reasons.iter().filter(|r| !report.sentence.contains(r.as_str())) {
        page.paragraph("", None, 6, reason);
    }
    for fact in &report.facts {
        page.paragraph("", None, 6, fact);
    }
}

fn lanes(page: &mut Page, lanes: &[LaneFacts]) {
    if lanes.is_empty() {
        return;
    }
    page.line("");
    let head = ["lane", "sent", "failed", "p50", "p99", "max", "gap", "floor"].map(str::to_owned);
    let mut rows = vec![head];
    for lane in lanes {
        rows.push(lane_row(lane));
    }
    // On a narrow terminal the columns that can best be missed go first.
    let mut shown = vec![0, 1, 2, 3, 4, 5, 6, 7];
    for spare in [7, 3, 4, 5] {
        if table_width(&rows, &shown) > page.width {
            shown.retain(|column| *column != spare);
        }
    }
    let widths = widths(&rows, &shown);
    for (i, row) in rows.iter().enumerate() {
        let text = table_line(row, &shown, &widths);
        page.painted((i == 0).then_some(Ink::Faint), &text);
    }
}

fn widths(rows: &[[String; 8]], shown: &[usize]) -> Vec<usize> {
    let width = |column: &usize| rows.iter().map(|r| r[*column].chars().count()).max().unwrap_or(0);
    shown.iter().map(width).collect()
}

fn table_width(rows: &[[String; 8]], shown: &[usize]) -> usize {
    widths(rows, shown).iter().map(|w| w + 2).sum()
}

fn table_line(row: &[String; 8], shown: &[usize], widths: &[usize]) -> String {
    let mut text = String::new();
    for (column, width) in shown.iter().zip(widths) {
        let cell = &row[*column];
        if *column == 0 {
            let _ = write!(text, "  {cell:<width$}");
        } else {
            let _ = write!(text, "  {cell:>width$}");
        }
    }
    text
}

fn failures(page: &mut Page, report: &Report) {
    if report.failures.is_empty() {
        return;
    }
    page.line("");
    for row in report.failures.iter().take(ROWS) {
        page.paragraph("", None, 2, &failure(report.t0_unix_ms, row));
    }
    let more = report.failed.saturating_sub(ROWS as u64);
    if more > 0 {
        page.paragraph(
            "",
            None,
            2,
            &format!("and {} more; the JSON and the page list them", count(more)),
        );
    }
}

/// A failure on one line.
pub(crate) fn failure(t0_unix_ms: u64, row: &FailureRow) -> String {
    let mut text = format!(
        "{}  #{}  {}  {}",
        clock_ms(t0_unix_ms, row.intended_us),
        row.id,
        row.class.name(),
        row.lane.name()
    );
    let status = (row.status != 0).then(|| row.status.to_string());
    let after = format!("after {}", span(row.ttlb_us));
    let phase = row.phase.map(|sent| match row.ended_phase.filter(|ended| *ended != sent) {
        Some(ended) => format!("in {sent}, ended in {ended}"),
        None => format!("in {sent}"),
    });
    let connection = (row.connection != 0).then(|| format!("conn {}", row.connection));
    let parts = [status, row.version.clone(), phase, connection, Some(after), row.detail.clone()];
    for part in parts.into_iter().flatten() {
        text.push_str("  ");
        text.push_str(&part);
    }
    text
}

/// On what the prober, who carried the traffic and the instances do not agree.
fn ledger(page: &mut Page, report: &Report) {
    let Some(ledger) = report.ledger.as_ref().filter(|ledger| !ledger.rows.is_empty()) else {
        return;
    };
    page.line("");
    for row in ledger.rows.iter().take(ROWS) {
        let text = format!("#{}  {}: {}", row.id, row.finding.name(), row.words);
        page.paragraph("", None, 2, &text);
    }
    let more = (ledger.rows.len().saturating_sub(ROWS)) as u64 + ledger.left_out;
    if more > 0 {
        let text = format!("and {} more; the JSON and the page list them", count(more));
        page.paragraph("", None, 2, &text);
    }
}

fn causes(page: &mut Page, report: &Report) {
    for cause in &report.causes {
        page.line("");
        let many = report.causes.len() > 1;
        let prefix = if many { format!("{}× ", count(cause.failures)) } else { String::new() };
        page.paragraph("  why", Some(Ink::Bad), 7, &format!("{prefix}{}", cause.why));
        if let Some(advice) = &cause.advice {
            page.paragraph("  try", Some(Ink::Good), 7, advice);
        }
    }
}

/// Lines of text that keep to a width.
pub(crate) struct Page {
    out: String,
    style: Style,
    width: usize,
}

impl Page {
    pub(crate) fn new(style: Style) -> Self {
        Self { out: String::new(), style, width: usize::from(style.width).max(NARROWEST) }
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }

    pub(crate) fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// One line, cut at the width.
    pub(crate) fn painted(&mut self, ink: Option<Ink>, text: &str) {
        let cut: String = text.trim_end().chars().take(self.width).collect();
        let painted = self.paint(ink, &cut);
        self.line(&painted);
    }

    /// `head` in ink, then text wrapped at the width and indented by `indent`.
    pub(crate) fn paragraph(&mut self, head: &str, ink: Option<Ink>, indent: usize, text: &str) {
        // A saved report may have been edited: clean again what is shown.
        let text = clean::line(text, 2_000);
        let mut first = true;
        for line in wrap(&text, self.width.saturating_sub(indent)) {
            let lead = if first { head } else { "" };
            let gap = " ".repeat(indent.saturating_sub(lead.chars().count()));
            let lead = self.paint(ink, lead);
            self.line(&format!("{lead}{gap}{line}"));
            first = false;
        }
    }

    fn paint(&self, ink: Option<Ink>, text: &str) -> String {
        let code = match ink {
            _ if !self.style.colour || text.trim().is_empty() => return text.to_owned(),
            None => return text.to_owned(),
            Some(Ink::Good) => "1;32",
            Some(Ink::Bad) => "1;31",
            Some(Ink::Unsure) => "1;33",
            Some(Ink::Faint) => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Lines of at most `width` characters; words longer than that are broken.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in words(text) {
        let mut word: Vec<char> = word.chars().collect();
        let space = usize::from(length > 0);
        if length > 0 && length + space + word.len() > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        while word.len() > width {
            lines.push(word.drain(..width).collect());
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        length += word.len();
        line.extend(word);
    }
    if length > 0 || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Words of a text; units and separators stay with the word before them.
fn words(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match out.last_mut() {
            Some(before) if matches!(word, "ms" | "s" | "µs" | "min" | "%" | "·") => {
                before.push(' ');
                before.push_str(word);
            }
            _ => out.push(word.to_owned()),
        }
    }
    out
}
