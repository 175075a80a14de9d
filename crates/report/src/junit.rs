//! The report as JUnit XML, which CI systems show as tests: the verdict, the rollout, each lane, each demand.
//!
//! It is red exactly when the exit code is not 0: what was not met is a failure, what could not be found
//! out is an error, a lane that was wanted and not run is skipped.

use std::fmt::Write as _;

use model::{Outcome, Verdict};

use crate::axis::between;
use crate::document::{LaneFacts, Report};
use crate::escape::markup as esc;
use crate::figures::{clock, count, date, several};
use crate::terminal;

/// Failures of a lane that are told one by one.
const ROWS: usize = 20;

/// One test.
struct Case {
    class: &'static str,
    name: String,
    end: End,
}

/// How it ended, with a sentence and lines below it.
enum End {
    Passed,
    Failed(String, Vec<String>),
    Errored(String, Vec<String>),
    Skipped(String),
}

/// The report as JUnit XML.
pub fn junit(report: &Report) -> String {
    let cases = cases(report);
    let number = |wanted: fn(&End) -> bool| cases.iter().filter(|c| wanted(&c.end)).count();
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\"",
        cases.len(),
        number(|end| matches!(end, End::Failed(..))),
        number(|end| matches!(end, End::Errored(..))),
        number(|end| matches!(end, End::Skipped(_))),
        seconds(between(report.from_us, report.to_us))
    );
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"cutover\" {counts}>\n\
         <testsuite name=\"cutover {}\" timestamp=\"{}T{}\" {counts}>\n",
        esc(&report.run_id),
        date(report.t0_unix_ms, report.from_us),
        clock(report.t0_unix_ms, report.from_us),
    );
    out.push_str(&properties(report));
    for case in &cases {
        out.push_str(&written(case));
    }
    out.push_str("</testsuite>\n</testsuites>\n");
    out
}

fn cases(report: &Report) -> Vec<Case> {
    let mut out = vec![verdict(report)];
    if report.interrupted {
        let end =
            End::Errored("interrupted: it speaks only for what ran until then".into(), vec![]);
        out.push(Case { class: "cutover.run", name: "ran to its end".to_owned(), end });
    }
    out.extend(rollout(report));
    out.extend(report.lanes.iter().map(|lane| of_lane(report, lane)));
    out.extend(report.lanes_not_run.iter().map(|lane| Case {
        class: "cutover.lane",
        name: lane.lane.name().to_owned(),
        end: End::Skipped(format!("not run: {}", lane.reason)),
    }));
    out.extend(report.assertions.iter().map(|demand| Case {
        class: "cutover.demand",
        name: demand.text.clone(),
        end: match demand.held {
            Some(true) => End::Passed,
            Some(false) => End::Failed(demand.seen.clone(), vec![]),
            None => End::Errored(demand.seen.clone(), vec![]),
        },
    }));
    out
}

fn verdict(report: &Report) -> Case {
    let told = || (report.sentence.clone(), evidence(report));
    let end = match report.verdict {
        Verdict::Pass => End::Passed,
        Verdict::Fail => {
            let (sentence, lines) = told();
            End::Failed(sentence, lines)
        }
        Verdict::Inconclusive => {
            let (sentence, lines) = told();
            End::Errored(sentence, lines)
        }
    };
    Case { class: "cutover.verdict", name: format!("requests to {}", report.url), end }
}

/// Why, and what to try.
fn evidence(report: &Report) -> Vec<String> {
    let mut out = report.reasons.clone();
    for cause in &report.causes {
        out.push(format!("why, {}: {}", several(cause.failures, "failure"), cause.why));
        out.extend(cause.advice.as_ref().map(|advice| format!("try: {advice}")));
    }
    out
}

fn rollout(report: &Report) -> Option<Case> {
    let line = || report.outcome_line.clone().unwrap_or_default();
    let end = match report.outcome {
        Outcome::None => return None,
        Outcome::Promoted => End::Passed,
        Outcome::Aborted | Outcome::Stuck => End::Failed(line(), report.outcome_notes.clone()),
    };
    let app = report.app.as_deref().unwrap_or("the app");
    let to = report.to.as_deref().unwrap_or("a new version");
    Some(Case { class: "cutover.rollout", name: format!("{app} to {to}"), end })
}

/// A lane whose failures are within what was demanded has passed, as the verdict says.
fn of_lane(report: &Report, lane: &LaneFacts) -> Case {
    let failed = lane.failed > 0 && report.verdict == Verdict::Fail;
    let rows = report.failures.iter().filter(|row| row.lane == lane.lane);
    let end = if failed {
        let lines = rows.take(ROWS).map(|row| terminal::failure(report.t0_unix_ms, row)).collect();
        let sent = several(lane.sent, "request");
        End::Failed(format!("{} of {sent} failed", count(lane.failed)), lines)
    } else {
        End::Passed
    };
    Case { class: "cutover.lane", name: lane.lane.name().to_owned(), end }
}

fn properties(report: &Report) -> String {
    let figures = [
        ("verdict", report.verdict.to_string()),
        ("exit_code", report.exit_code.to_string()),
        ("sent", report.sent.to_string()),
        ("failed", report.failed.to_string()),
        ("longest_gap_us", report.longest_gap_us.to_string()),
        ("detection_floor_us", report.detection_floor_us.to_string()),
        ("cutover_version", report.cutover_version.clone()),
    ];
    let mut out = String::from("<properties>\n");
    for (name, value) in figures {
        let _ = writeln!(out, "<property name=\"{name}\" value=\"{}\"/>", esc(&value));
    }
    out.push_str("</properties>\n");
    out
}

fn written(case: &Case) -> String {
    let open = format!("<testcase classname=\"{}\" name=\"{}\"", case.class, esc(&case.name));
    let (tag, message, lines) = match &case.end {
        End::Passed => return format!("{open}/>\n"),
        End::Skipped(why) => {
            return format!("{open}><skipped message=\"{}\"/></testcase>\n", esc(why));
        }
        End::Failed(message, lines) => ("failure", message, lines),
        End::Errored(message, lines) => ("error", message, lines),
    };
    let body: Vec<String> = lines.iter().map(|line| esc(line)).collect();
    let (kind, message, body) = (case.class, esc(message), body.join("\n"));
    format!("{open}><{tag} type=\"{kind}\" message=\"{message}\">{body}</{tag}></testcase>\n")
}

fn seconds(us: u64) -> String {
    format!("{}.{:03}", us / 1_000_000, us % 1_000_000 / 1_000)
}
