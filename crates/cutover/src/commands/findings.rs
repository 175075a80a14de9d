//! What a HAProxy or an nginx lacks, as a table for people or as JSON.
//!
//! What is lacking is found elsewhere; here it is only laid out.

use std::fmt::Write as _;

use drivers::router::{Finding, Severity};
use model::Fault;
use serde::Serialize;

/// Exit code when something is lacking.
const LACKING: u8 = 2;
/// Widest a column gets; what is longer sticks out.
const WIDEST: usize = 44;

/// All of it, for scripts.
#[derive(Serialize)]
struct Checked<'a> {
    /// What was looked at.
    subject: &'a str,
    /// What it lacks.
    findings: &'a [Finding],
}

/// Prints it and answers the exit code.
pub(super) fn tell(subject: &str, findings: &[Finding], json: bool) -> Result<u8, Fault> {
    if json {
        let text = serde_json::to_string_pretty(&Checked { subject, findings })
            .map_err(|e| Fault::internal(format!("the findings cannot be written: {e}")))?;
        crate::say::outln!("{text}");
    } else {
        crate::say::out!("{}", text(subject, findings));
    }
    Ok(if findings.iter().any(loses) { LACKING } else { 0 })
}

fn loses(finding: &Finding) -> bool {
    finding.severity == Severity::Loses
}

fn text(subject: &str, findings: &[Finding]) -> String {
    let (lacking, notes): (Vec<_>, Vec<_>) = findings.iter().partition(|one| loses(one));
    let mut text = match lacking.len() {
        0 => format!("{subject} lacks nothing\n"),
        1 => format!("{subject}: 1 thing to mend\n"),
        many => format!("{subject}: {many} things to mend\n"),
    };
    let findings = [lacking, notes].concat();
    let rows: Vec<[String; 3]> = findings.iter().map(|one| row(one)).collect();
    let heads = ["setting", "value", "needed"].map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&heads]).map(|row| row[column].chars().count());
        cells.filter(|width| *width <= WIDEST).max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    let line = |row: &[String; 3]| {
        let [setting, value, needed] = row;
        format!("  {setting:first$}  {value:second$}  {needed}\n")
    };
    let mut section = None;
    for (finding, row) in findings.iter().zip(&rows) {
        let begun = (&finding.section, finding.severity);
        if section != Some(begun) {
            section = Some(begun);
            let title = match begun {
                (_, Severity::Note) => "good to know",
                (section, Severity::Loses) if section.is_empty() => "HAProxy as it runs",
                (section, Severity::Loses) => section,
            };
            // Writing to a string cannot fail.
            let _written = write!(text, "\n{title}\n{}", line(&heads));
        }
        text.push_str(&line(row));
        let _written = writeln!(text, "  {:first$}  {}", "", finding.why);
    }
    text
}

/// Setting, value with its place, and what is needed.
fn row(finding: &Finding) -> [String; 3] {
    // The setting is said already.
    let value = finding.value.strip_prefix(&finding.setting).map_or("", str::trim_start);
    let value = if value.is_empty() { finding.value.as_str() } else { value };
    let place = finding.at.as_ref().map_or(String::new(), |at| format!(" ({at})"));
    [finding.setting.clone(), format!("{value}{place}"), finding.needed.clone()]
}

#[cfg(test)]
mod tests {
    use drivers::router::haproxy::review;

    use super::{LACKING, Severity, tell, text};

    const THEIRS: &str = "global\n    stats socket /run/h.sock level operator\ndefaults\n    \
        mode http\n    timeout connect 2s\n    timeout client 1m\n    timeout server 1m\n    \
        timeout tunnel 1h\n    timeout check 1s\n    option http-server-close\n    \
        option idle-close-on-response\nlisten shop\n    bind :80\n    option redispatch\n    \
        retry-on all-retryable-errors\n    server one 10.0.0.1:80 check\n    \
        server two 10.0.0.2:80 check\n";

    const WANTED: &str = "\
theirs.cfg: 4 things to mend

global
  setting          value                                      needed
  stats socket     /run/h.sock level operator (theirs.cfg:2)  level admin
                   Cutover cannot change anything
  stats socket     /run/h.sock level operator (theirs.cfg:2)  expose-fd listeners
                   connections are refused while a reload starts
  hard-stop-after  not set (theirs.cfg:1)                     hard-stop-after 1h
                   a worker with tunnels never ends after a reload

listen shop
  setting          value                                      needed
  retry-on         all-retryable-errors (theirs.cfg:15)       conn-failure, or `http-request \
disable-l7-retry if METH_POST` beside it
                   `all-retryable-errors` does not look at the method: a POST is done twice
";

    #[test]
    fn what_is_lacking_stands_in_a_table_section_by_section() {
        let findings = review(&[("theirs.cfg".to_owned(), THEIRS.to_owned())]);
        let said = text("theirs.cfg", &findings);
        assert_eq!(said, WANTED, "{said}");
        assert_eq!(text("x", &[]), "x lacks nothing\n");
        // What is only good to know stands behind, and is not counted.
        let mut noted = findings[..2].to_vec();
        noted[0].severity = Severity::Note;
        let said = text("x", &noted);
        assert!(said.starts_with("x: 1 thing to mend\n\nglobal\n"), "{said}");
        assert!(said.contains("expose-fd listeners\n"), "{said}");
        let (_, known) = said.split_once("\ngood to know\n").unwrap();
        assert!(known.contains("level admin") && !known.contains("expose-fd"), "{known}");
        assert!(text("x", &noted[..1]).starts_with("x lacks nothing\n\ngood to know\n"));
        assert_eq!(tell("x", &noted[..1], false).unwrap(), 0);
        assert_eq!(tell("x", &noted, true).unwrap(), LACKING);
    }
}
