//! Fuzz bodies of the report: any samples can be judged, any report can be shown, and nothing that came
//! from outside gets out of its place.
//!
//! Whether the judgement is right is not asked: that is in `verdicts`.

use crate::sample;
use fuzz::corpus;
use model::attempt::SampleLine;
use report::{Assertion, Input, Style};

const WORDS: &[&str] = &[
    "<i>x</i>",
    "\\u001b[31m",
    "18446744073709551615",
    "-9223372036854775808",
    "null",
    "\\\"><i>x",
];

fn shown(report: &report::Report) {
    let text = report::json(report);
    let again = report::parse(&text).unwrap();
    assert_eq!(report::json(&again), text);
    let page = report::html(report);
    assert!(!page.contains("<i>x") && !page.contains("<i&"), "markup got through");
    let plain = report::terminal(report, Style { colour: false, width: 100 });
    assert!(!plain.contains('\u{1b}'), "an escape got through: {}", plain.escape_debug());
}

/// The files of a folder of the corpus.
fn corpus_of(folder: &str) -> Vec<String> {
    let path = format!("{}/tests/corpus/{folder}", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(path).unwrap().map(|file| file.unwrap().path());
    files.map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

/// Else every case made of it would be refused at once, and nothing be shown.
#[test]
fn what_cases_are_made_of_is_no_nonsense_itself() {
    let reports = corpus_of("reports");
    for text in &reports {
        shown(&report::parse(text).unwrap());
    }
    let samples = corpus_of("samples");
    for text in &samples {
        let lines = text.lines().map(|line| serde_json::from_str::<SampleLine>(line).unwrap());
        assert!(lines.count() > 10, "{text}");
    }
    assert!(reports.len() >= 4 && samples.len() >= 4);
}

#[test]
fn a_saved_report_is_refused_or_shown() {
    fuzz::run(corpus!("reports").words(WORDS).most(64 * 1024), |case| {
        if let Ok(report) = report::parse(&case.text()) {
            shown(&report);
        }
    });
}

/// A demand is what it says, or why it is none is said in one line.
#[test]
fn demands_say_themselves_again_or_are_refused() {
    let words = &[
        "p99",
        "failed",
        "share(",
        "instance(",
        ")",
        "(",
        "<=",
        "!=",
        "±",
        "+/-",
        "%",
        "ms",
        "1e999",
        "nan",
        "inf",
    ];
    fuzz::run(corpus!("demands").words(words).most(200), |case| {
        let text = case.text();
        match Assertion::parse(&text) {
            Ok(demand) => assert_eq!(Assertion::parse(demand.text()), Ok(demand), "{text}"),
            Err(fault) => {
                assert!(!fault.what.contains(char::is_control), "{}", fault.what.escape_debug());
            }
        }
    });
}

/// Samples as they lie in a file, of which the lines that can be read are judged.
#[test]
fn any_samples_can_be_judged() {
    fuzz::run(corpus!("samples").words(WORDS), |case| {
        let mut input =
            Input { attempts: Vec::new(), connections: Vec::new(), footer: None, ..sample::pass() };
        for line in case.bytes.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(SampleLine::Header(header)) => input.header = header,
                Ok(SampleLine::Attempt(attempt)) => input.attempts.push(attempt),
                Ok(SampleLine::Connection(connection)) => input.connections.push(connection),
                Ok(SampleLine::Blind(window)) => input.blind.push(window),
                Ok(SampleLine::Footer(footer)) => input.footer = Some(footer),
                Err(_) => {}
            }
        }
        shown(&report::judge(&input));
    });
}
