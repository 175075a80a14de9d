//! Every mistake and the exact text a person gets for it, kept in `mistakes.md`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p cutover mistakes` writes the file anew; read the difference. What is
//! right is in `values`.

use std::fmt::Write;

use super::drawn;
use super::parse;

const GOLDEN: &str = include_str!("mistakes.md");

/// Heading, TOML and expected text of each case.
pub(super) fn cases() -> Vec<(&'static str, &'static str, &'static str)> {
    let case = |section: &'static str| {
        let (heading, rest) = section.split_once('\n').unwrap();
        let (_, rest) = rest.split_once("```toml\n").unwrap();
        let (toml, rest) = rest.split_once("```\n").unwrap();
        let (_, rest) = rest.split_once("```text\n").unwrap();
        (heading, toml, rest.split_once("```").unwrap().0)
    };
    GOLDEN.split("\n## ").skip(1).map(case).collect()
}

#[test]
fn every_mistake_is_told_with_place_and_fix() {
    let (mut whole, mut different) = (String::new(), Vec::new());
    whole += GOLDEN.split("\n## ").next().unwrap();
    for (heading, toml, expected) in cases() {
        let found = match parse(toml, "cutover.toml") {
            Ok(_) => "taken without a word\n".to_owned(),
            Err(found) => drawn(&found),
        };
        let _ = write!(whole, "\n## {heading}\n```toml\n{toml}```\n```text\n{found}```\n");
        if found != expected {
            different.push(format!("{heading}\n--- expected\n{expected}--- found\n{found}"));
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/tests/mistakes.md");
        std::fs::write(path, whole).unwrap();
        return;
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn no_mistake_is_taken_and_each_has_a_place_and_a_fix() {
    let cases = cases();
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    for (heading, toml, _) in cases {
        let found = parse(toml, "cutover.toml").expect_err(heading);
        for diagnostic in found {
            let fault = model::Fault::from(&diagnostic);
            let syntax = fault.what.starts_with("this is not TOML");
            assert!(fault.help.is_some() || syntax, "{heading}: {} has no fix", fault.what);
            let place = fault.place.expect(heading);
            let lines = toml.lines().count().max(1);
            assert!((1..=lines).contains(&(place.line as usize)), "{heading}: {place:?}");
        }
    }
}

#[test]
fn the_place_of_a_fault_counts_characters_from_one() {
    let found = parse("state_dir = \"é\" # ü\nüü.y = 1\n", "d/cutover.toml");
    // Not TOML: bare keys are ASCII. The place must not point into the middle of a character.
    let fault = model::Fault::from(found.unwrap_err().remove(0));
    let place = fault.place.unwrap();
    assert_eq!((place.file.as_str(), place.line, place.column), ("d/cutover.toml", 2, 1));

    let text = "proxy = { listen = [\"é\"], thread = 1 }\n[app.web]\ncommand = [\"a\"]\n";
    let found = parse(text, "cutover.toml").unwrap_err();
    let columns: Vec<u32> =
        found.iter().map(|it| model::Fault::from(it).place.unwrap().column).collect();
    assert_eq!(columns, [21, 27]);
}
