//! The terminal form, the JSON and its schema, and the page, also with hostile text in every field.
//!
//! Markdown and JUnit are in `ci`; how a page looks in a browser, in `browser`.

use crate::hostile::{HOSTILE, balance, hostile};
use crate::sample;
use model::{Class, Phase};
use report::{Input, Report, SCHEMA, Style, html, json, judge, parse, terminal};

fn stories() -> Vec<(&'static str, Input)> {
    vec![
        ("pass", sample::pass()),
        ("kill", sample::killed_before_drain()),
        ("stall", sample::stalled()),
        ("never_ready", sample::never_ready()),
        ("died", sample::candidate_died()),
        ("canary", sample::canary::given([500, 3_300, 5_000, 10_000])),
        ("gave_up", sample::canary::gave_up()),
        ("rolling", sample::canary::rolling()),
    ]
}

#[test]
fn terminal_forms_are_as_agreed() {
    for (name, input) in stories() {
        let report = judge(&input);
        for width in [100, 60] {
            let text = terminal(&report, Style { colour: false, width });
            insta::assert_snapshot!(format!("{name}_{width}"), text);
            let longest = text.lines().map(|l| l.chars().count()).max().unwrap();
            assert!(
                longest <= usize::from(width),
                "{name}: a line of {longest} on {width}\n{text}"
            );
            assert!(!text.contains('\x1b'));
        }
    }
}

#[test]
fn colour_is_added_and_nothing_else() {
    let report = judge(&sample::killed_before_drain());
    let plain = terminal(&report, Style { colour: false, width: 100 });
    let painted = terminal(&report, Style { colour: true, width: 100 });
    let mut stripped = painted.clone();
    for code in ["\x1b[1;31m", "\x1b[1;32m", "\x1b[1;33m", "\x1b[2m", "\x1b[0m"] {
        stripped = stripped.replace(code, "");
    }
    assert_ne!(plain, painted);
    assert_eq!(plain, stripped);
}

fn schema() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap()
}

#[test]
fn every_report_keeps_the_schema() {
    let schema = schema();
    let odd = HOSTILE.iter().map(|text| ("hostile", hostile(text)));
    for (name, input) in stories().into_iter().chain(odd) {
        let value = serde_json::from_str(&json(&judge(&input))).unwrap();
        let errors: Vec<String> = schema.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}

#[test]
fn a_document_that_is_wrong_does_not_keep_the_schema() {
    let schema = schema();
    let right: serde_json::Value = serde_json::from_str(&json(&judge(&sample::pass()))).unwrap();
    assert!(schema.is_valid(&right));
    let wrong: [(&str, serde_json::Value); 8] = [
        ("/shares/0/wanted_bp", 10_001.into()),
        ("/shares/0/finding", "well".into()),
        ("/verdict", "MAYBE".into()),
        ("/exit_code", 2.into()),
        ("/sent", (-1).into()),
        ("/lanes/0/lane", "carrier-pigeon".into()),
        ("/zoom/lines/0/class", 1.into()),
        ("/buckets/0/ok", "many".into()),
    ];
    for (place, value) in wrong {
        let mut document = right.clone();
        *document.pointer_mut(place).unwrap() = value;
        assert!(!schema.is_valid(&document), "{place} was not missed");
    }
    let mut extra = right.clone();
    extra["novel"] = true.into();
    assert!(!schema.is_valid(&extra));
    let mut less = right;
    less.as_object_mut().unwrap().remove("trust");
    assert!(!schema.is_valid(&less));
}

#[test]
fn a_saved_report_gives_the_same_page_and_text() {
    for (name, input) in stories() {
        let report = judge(&input);
        let again: Report = parse(&json(&report)).unwrap();
        assert_eq!(report, again, "{name}");
        assert!(html(&report) == html(&again), "{name}: another page");
        assert_eq!(json(&report), json(&again));
    }
}

#[test]
fn a_report_saved_before_there_were_shares_is_still_read() {
    let report = judge(&sample::pass());
    let mut old: serde_json::Value = serde_json::from_str(&json(&report)).unwrap();
    for novel in ["shares", "answered", "assertions", "orders"] {
        old.as_object_mut().unwrap().remove(novel).unwrap();
    }
    let proof = old["proof"].as_object_mut().unwrap();
    for novel in ["regressions_by_share", "switch_time_us", "pinned_connections"] {
        proof.remove(novel).unwrap();
    }
    let read = parse(&old.to_string()).unwrap();
    assert!(read.shares.is_empty() && read.sent == report.sent);
    assert!(!html(&read).contains("Shares of the new version"));
}

#[test]
fn what_is_no_report_is_refused_by_name() {
    assert!(parse("{}").unwrap_err().what.contains("not a report"));
    let newer =
        json(&judge(&sample::pass())).replacen("\"schema_version\":1", "\"schema_version\":2", 1);
    assert_eq!(
        parse(&newer).unwrap_err().what,
        "the report has schema version 2, and this Cutover reads 1"
    );
}

#[test]
fn pages_are_well_formed_and_load_nothing() {
    for (name, input) in stories() {
        let page = html(&judge(&input));
        let tags = balance(&page).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(tags.iter().filter(|t| *t == "script").count(), 2, "{name}: ours");
        for odd in ["img", "link", "iframe", "a", "object"] {
            assert!(!tags.iter().any(|t| t == odd), "{name}: <{odd}>");
        }
        for odd in ["url(http", "href", "@import", "NaN", "inf\""] {
            assert!(!page.contains(odd), "{name}: {odd}");
        }
    }
}

#[test]
fn the_page_shows_phases_versions_and_every_failure() {
    let report = judge(&sample::killed_before_drain());
    let page = html(&report);
    for phase in [Phase::Previewing, Phase::Shifting, Phase::Baking, Phase::Draining] {
        assert!(page.contains(&format!(">{phase}</text>")), "{phase} has no name in a chart");
    }
    assert!(page.contains("class=\"bar old\"") && page.contains("class=\"bar new\""));
    for failure in &report.failures {
        assert!(page.contains(&format!("<td>#{}</td>", failure.id)), "#{} is no row", failure.id);
        assert!(page.contains(&format!("<title>#{} ", failure.id)), "#{} is no line", failure.id);
    }
}

#[test]
fn hostile_text_is_shown_and_does_nothing() {
    for text in HOSTILE {
        let report = judge(&hostile(text));
        let page = html(&report);
        let tags = balance(&page).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert!(!tags.iter().any(|t| t == "img"), "{text:?}");
        assert_eq!(tags.iter().filter(|t| *t == "script").count(), 2, "{text:?}: ours");
        let controls = |s: &str| {
            s.chars().any(|c| {
                (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{200b}' | '\u{2028}')
            })
        };
        assert!(!controls(&page), "{text:?} in the page");
        assert!(!page.contains("\" onload="), "{text:?} left its attribute");
        let text_form = terminal(&report, Style { colour: false, width: 80 });
        assert!(!controls(&text_form), "{text:?} on the terminal");
        assert!(!text_form.lines().any(|l| l.starts_with("INJECTED")));
    }
}

#[test]
fn a_report_edited_by_an_enemy_is_cleaned_again() {
    let mut report = judge(&sample::killed_before_drain());
    let enemy = HOSTILE[0].to_owned() + HOSTILE[1];
    report.sentence.clone_from(&enemy);
    report.causes[0].why.clone_from(&enemy);
    report.failures[0].detail = Some(enemy.clone());
    report.versions[0].label.clone_from(&enemy);
    report.groups[0].cause = usize::MAX;
    report.zoom.as_mut().unwrap().lines[0].version = usize::MAX;
    report.slow[0].version = usize::MAX;
    report.buckets[0].ok.clear();
    report.buckets[1].ok.fill(u64::MAX);
    (report.buckets[1].failed, report.buckets[2].failed) = (u64::MAX, u64::MAX);
    (report.failures_left_out, report.sockets_left_out) = (u64::MAX, u64::MAX);
    (report.sent, report.not_sent) = (u64::MAX, u64::MAX);
    report.bucket_us = 0;
    let page = html(&report);
    assert!(!balance(&page).unwrap().iter().any(|t| t == "img"));
    assert!(!terminal(&report, Style { colour: false, width: 80 }).contains('\x1b'));
}

#[test]
fn long_texts_are_cut() {
    let report = judge(&hostile(&"x".repeat(10_000)));
    let longest = report.versions.iter().map(|v| v.label.chars().count()).max();
    assert!(longest.is_some_and(|longest| (20..=65).contains(&longest)), "{longest:?}");
    assert!(html(&report).len() < 2_000_000);
}

#[test]
fn an_outage_of_everything_is_drawn_whole_and_stays_small() {
    let mut input = sample::long();
    input.attempts.retain(|a| a.intended_us > 280_000_000 && a.intended_us < 320_000_000);
    for a in &mut input.attempts {
        sample::fail(a, Class::Refused, "connection refused");
    }
    let report = judge(&input);
    assert!(report.failures_left_out > 0);
    assert!(report.zoom.as_ref().unwrap().lines.len() > 3_900, "failures are never thinned");
    let page = html(&report);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    balance(&page).unwrap();
}
