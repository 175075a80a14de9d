//! What a CI run shows: Markdown and JUnit, also with hostile text in every field.
//!
//! The other forms are in `renderings`.

use crate::hostile::{HOSTILE, balance, hostile};
use crate::sample;
use model::{Class, Lane, Outcome};
use report::{Assertion, Input, judge, junit, markdown};

fn stories() -> Vec<(&'static str, Input)> {
    let mut demanded = sample::pass();
    demanded.asked.assertions =
        ["p99<1ms", "failed<=3"].map(|text| Assertion::parse(text).unwrap()).to_vec();
    demanded.header.lanes_not_run.push((Lane::Websocket, "answered 404".to_owned()));
    vec![
        ("pass", sample::pass()),
        ("kill", sample::killed_before_drain()),
        ("never_ready", sample::never_ready()),
        ("died", sample::candidate_died()),
        ("canary", sample::canary::gave_up()),
        ("demanded", demanded),
    ]
}

#[test]
fn summaries_are_as_agreed() {
    for (name, input) in stories() {
        let report = judge(&input);
        insta::assert_snapshot!(format!("{name}_markdown"), markdown(&report));
        insta::assert_snapshot!(format!("{name}_junit"), junit(&report));
    }
}

/// Counts what JUnit says of itself and what stands there.
fn counted(xml: &str, attribute: &str, tag: &str) -> (usize, usize) {
    let suite = xml.split("<testsuites ").nth(1).unwrap().split('>').next().unwrap();
    let said = suite.split(&format!("{attribute}=\"")).nth(1).unwrap();
    let said = said.split('"').next().unwrap().parse().unwrap();
    (said, xml.matches(&format!("<{tag} ")).count())
}

#[test]
fn junit_is_red_exactly_when_the_exit_code_is_not_zero() {
    let mut inputs: Vec<Input> = stories().into_iter().map(|(_, input)| input).collect();
    inputs.push(Input { interrupted: true, ..sample::pass() });
    inputs.push(Input { outcome: Outcome::Stuck, ..sample::pass() });
    // What may fail by demand is no failure.
    let mut excused = sample::pass();
    sample::fail(&mut excused.attempts[7], Class::BadStatus, "503");
    excused.asked.assertions = vec![Assertion::parse("failed<=3").unwrap()];
    inputs.push(excused);
    let mut codes = Vec::new();
    for input in inputs {
        let report = judge(&input);
        let xml = junit(&report);
        balance(&xml).unwrap();
        let red = xml.contains("<failure ") || xml.contains("<error ");
        assert_eq!(red, report.exit_code != 0, "{}\n{xml}", report.exit_code);
        for (attribute, tag) in [
            ("tests", "testcase"),
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ] {
            let (said, there) = counted(&xml, attribute, tag);
            assert_eq!(said, there, "{attribute}\n{xml}");
        }
        codes.push(report.exit_code);
    }
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes, [0, 1, 4, 5, 130]);
}

#[test]
fn hostile_text_stays_text() {
    let more = "a | b `c` [d](http://e) @f ![g](h) www.i.example <!-- $j$ ]]>";
    for text in HOSTILE.into_iter().chain([more]) {
        let report = judge(&hostile(text));
        let tags = balance(&junit(&report)).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        let known = ["?xml", "testsuites", "testsuite", "properties", "property", "testcase"];
        let ends = ["failure", "error", "skipped"];
        let odd = tags.iter().find(|t| !known.iter().chain(&ends).any(|k| k == t));
        assert_eq!(odd, None, "{text:?}");
        let told = markdown(&report);
        for odd in ["<", "](", "`", "://", "www.", "@", "$", "\u{202e}", "\x1b"] {
            assert!(!told.contains(odd), "{odd:?} of {text:?} in\n{told}");
        }
        assert_tables(&told);
    }
}

/// Every row of a table has as many cells as its head.
fn assert_tables(told: &str) {
    let mut cells = None;
    for line in told.lines() {
        let pipes = line.starts_with('|').then(|| line.matches('|').count());
        if let (Some(head), Some(pipes)) = (cells, pipes) {
            assert_eq!(head, pipes, "{line}");
        } else {
            assert!(pipes.is_some() || !line.contains('|'), "{line}");
        }
        cells = pipes;
    }
}

#[test]
fn a_summary_is_short_whatever_happened() {
    let mut input = hostile(&"x|".repeat(5_000));
    for (i, a) in input.attempts.iter_mut().enumerate() {
        a.class = Class::ALL[1 + i % 9];
        a.version = Some(format!("v{i}"));
    }
    let report = judge(&input);
    assert!(markdown(&report).len() < 100_000, "{}", markdown(&report).len());
    assert!(junit(&report).len() < 200_000, "{}", junit(&report).len());
}
