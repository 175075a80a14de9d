//! The bench from outside: a run of its own pump, short.
//!
//! What figures a real proxy has is not tested: they are the machine's.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::process::{Command, Output};

use serde_json::Value;

fn bench(words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(words.split(' ')).output().unwrap()
}

#[test]
fn a_short_run_has_figures_and_names_who_is_missing() {
    let output =
        bench("--json --rounds 2 --window 150 --only small,fresh,body,tls --peers pump,nobody");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["peers"][0][0], "pump");
    assert_eq!(figures["skipped"][0][0], "nobody");
    let cases = figures["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 3, "a pump has no TLS: {cases:?}");
    for case in cases {
        assert_eq!(case["failed"], 0, "{case}");
        // A figure, requests a second and a latency at a fixed rate for every load.
        for part in ["figures", "beside", "p50_us", "p99_us"] {
            let rounds = case[part].as_array().unwrap();
            assert_eq!(rounds.len(), 2, "{part} of {case}");
            assert!(rounds.iter().all(|figure| figure.as_f64().unwrap() > 1.0), "{part} of {case}");
        }
        assert!(case["rate"].as_u64().unwrap() >= 200, "{case}");
    }
}

#[test]
fn a_run_without_anybody_fails_and_says_why() {
    let output = bench("--only small --peers nobody");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("skipped: nobody: nobody is called `nobody`"), "{said}");
    assert!(said.contains("error: nobody could be measured"), "{said}");
    assert_eq!(bench("--what").status.code(), Some(2));
}
