//! Two runs side by side: what is told, that it is told alike in each form, and that it stays text.
//!
//! Neither run is judged again.

use crate::hostile::{HOSTILE, balance, hostile};
use crate::sample;
use report::{
    Comparison, Report, Style, compare, compare_html, compare_json, compare_markdown,
    compare_terminal, judge,
};

fn pass_and_kill() -> Comparison {
    compare(&judge(&sample::pass()), &judge(&sample::killed_before_drain()))
}

fn figure(comparison: &Comparison, title: &str) -> [String; 3] {
    let row = comparison.rows.iter().find(|row| row.title() == title);
    let row = row.expect(title);
    [row.value(0), row.value(1), row.change()]
}

#[test]
fn both_verdicts_and_every_figure_are_told() {
    let comparison = pass_and_kill();
    for width in [100, 60] {
        let text = compare_terminal(&comparison, Style { colour: false, width });
        insta::assert_snapshot!(format!("terminal_{width}"), text);
        assert!(text.lines().all(|l| l.chars().count() <= usize::from(width)), "{text}");
    }
    insta::assert_snapshot!("markdown", compare_markdown(&comparison));
    let page = compare_html(&comparison);
    balance(&page).unwrap();
    for row in &comparison.rows {
        for value in [row.value(0), row.value(1), row.change()] {
            assert!(page.contains(&format!("<td>{value}</td>")), "{} {value}", row.title());
        }
    }
    let json: serde_json::Value = serde_json::from_str(&compare_json(&comparison)).unwrap();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["runs"][1]["verdict"], "FAIL");
    assert_eq!(json["rows"].as_array().unwrap().len(), comparison.rows.len());
}

#[test]
fn changes_are_exact() {
    let comparison = pass_and_kill();
    assert_eq!(comparison.sentence(), "PASS first, then FAIL");
    assert_eq!(figure(&comparison, "failed"), ["0", "27", "▲ +27"].map(str::to_owned));
    assert_eq!(figure(&comparison, "sent"), ["6,000", "6,000", "="].map(str::to_owned));
    let [before, after, change] = figure(&comparison, "longest gap of a WebSocket");
    assert_eq!((before.as_str(), after.as_str()), ("513 ms", "1.0 s"));
    assert!(change.starts_with("▲ +"), "{change}");
    let back = compare(&judge(&sample::killed_before_drain()), &judge(&sample::pass()));
    assert_eq!(figure(&back, "failed"), ["27", "0", "▼ −27 (−100 %)"].map(str::to_owned));
}

#[test]
fn runs_that_asked_different_things_say_so() {
    assert!(pass_and_kill().unlike.is_empty());
    let mut other = sample::pass();
    other.url = "http://elsewhere/".to_owned();
    other.header.rate = 100;
    let comparison = compare(&judge(&sample::pass()), &judge(&other));
    let said = comparison.unlike.join("\n");
    assert!(said.contains("http://elsewhere/") && said.contains("200/s and 100/s"), "{said}");
    assert!(
        compare_terminal(&comparison, Style { colour: false, width: 80 }).contains("elsewhere")
    );
}

#[test]
fn a_run_without_a_switch_or_with_absurd_figures_can_be_compared() {
    let mut alone: Report = judge(&sample::never_ready());
    (alone.proof, alone.lanes) = (None, Vec::new());
    (alone.sent, alone.failed, alone.longest_gap_us) = (u64::MAX, u64::MAX, u64::MAX);
    let whole = judge(&sample::pass());
    for (a, b) in [(&alone, &whole), (&whole, &alone), (&alone, &alone)] {
        let comparison = compare(a, b);
        balance(&compare_html(&comparison)).unwrap();
        compare_terminal(&comparison, Style { colour: true, width: 0 });
    }
    let comparison = compare(&whole, &alone);
    let told = figure(&comparison, "switch: command to last old answer");
    assert_eq!(told, ["52 ms", "–", ""].map(str::to_owned));
}

#[test]
fn hostile_text_stays_text() {
    for text in HOSTILE {
        let mut report = judge(&hostile(text));
        report.sentence = text.to_owned();
        report.run_id = text.to_owned();
        let comparison = compare(&report, &judge(&sample::pass()));
        let tags = balance(&compare_html(&comparison)).unwrap();
        assert!(!tags.iter().any(|t| t == "img" || t == "script"), "{text:?}");
        assert!(!compare_markdown(&comparison).contains('<'));
        let plain = compare_terminal(&comparison, Style { colour: false, width: 100 });
        assert!(!plain.contains('\x1b') && !plain.contains('\u{202e}'), "{plain}");
    }
}
