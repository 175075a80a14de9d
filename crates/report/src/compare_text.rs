//! Two runs side by side on a terminal, in Markdown and as JSON.
//!
//! It only writes what `compare` found.

use std::fmt::Write as _;

use model::Verdict;

use crate::compare::Comparison;
use crate::escape;
use crate::figures::{clock, date};
use crate::markdown::{sign, table};
use crate::terminal::{Ink, Page, Style};

/// Two runs as lines of text, each ended by a line feed.
pub fn compare_terminal(comparison: &Comparison, style: Style) -> String {
    let mut page = Page::new(style);
    for run in &comparison.runs {
        let word = run.verdict.to_string();
        let ink = match run.verdict {
            Verdict::Pass => Ink::Good,
            Verdict::Fail => Ink::Bad,
            Verdict::Inconclusive => Ink::Unsure,
        };
        let indent = word.len() + 2;
        page.paragraph(&word, Some(ink), indent, &format!("run {}: {}", run.run_id, run.sentence));
        if let Some(line) = &run.outcome_line {
            page.paragraph("", None, indent.min(6), line);
        }
    }
    for line in &comparison.unlike {
        page.paragraph("  note", Some(Ink::Unsure), 8, line);
    }
    page.line("");
    let rows = rows(comparison);
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for (i, [name, first, second, change]) in rows.iter().enumerate() {
        let [a, b, c] = widths;
        let text = format!("  {name:<a$}  {first:>b$}  {second:>c$}  {change}");
        page.painted((i == 0).then_some(Ink::Faint), &text);
    }
    page.finish()
}

/// Two runs in Markdown as GitHub reads it.
pub fn compare_markdown(comparison: &Comparison) -> String {
    let esc = escape::markdown;
    let mut out = format!("## {}\n\n", esc(&comparison.sentence()));
    for run in &comparison.runs {
        let (day, at) = (date(run.t0_unix_ms, 0), clock(run.t0_unix_ms, 0));
        let _ = write!(
            out,
            "- {} **{}** run {}, {day} {at} UTC: {}",
            sign(run.verdict),
            run.verdict,
            esc(&run.run_id),
            esc(&run.sentence)
        );
        if let Some(line) = &run.outcome_line {
            let _ = write!(out, "; {}", esc(line));
        }
        out.push('\n');
    }
    for line in &comparison.unlike {
        let _ = writeln!(out, "- {}", esc(line));
    }
    out.push('\n');
    let rows: Vec<Vec<String>> = rows(comparison).into_iter().skip(1).map(Vec::from).collect();
    out.push_str(&table(&["", "first", "second", "change"], &rows));
    out
}

/// Two runs as one line of JSON with a line feed.
pub fn compare_json(comparison: &Comparison) -> String {
    // Only integers, strings and lists are in it: writing them cannot fail.
    let mut text = serde_json::to_string(comparison).unwrap_or_default();
    text.push('\n');
    text
}

fn rows(comparison: &Comparison) -> Vec<[String; 4]> {
    let mut out = vec![["", "first", "second", "change"].map(str::to_owned)];
    let figures = comparison.rows.iter();
    out.extend(figures.map(|row| [row.title(), row.value(0), row.value(1), row.change()]));
    out
}
