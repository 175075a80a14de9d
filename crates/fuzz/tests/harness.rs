//! The harness itself: it finds what fails, and what does not end is no pass.
//!
//! No parser is tried: each has its body beside it.

use std::sync::atomic::{AtomicU64, Ordering};

static CASES: AtomicU64 = AtomicU64::new(0);

#[test]
fn every_input_and_many_changes_of_it_are_run() {
    let cases = fuzz::run(fuzz::corpus!("words"), |_| {
        CASES.fetch_add(1, Ordering::SeqCst);
    });
    assert!(cases > 64);
    assert_eq!(CASES.load(Ordering::SeqCst), cases);
}

#[test]
#[should_panic(expected = "a seven was read")]
fn what_fails_on_a_changed_input_is_found() {
    let target = fuzz::corpus!("words").words(&["7"]);
    fuzz::run(target, |case| assert!(!case.text().contains('7'), "a seven was read"));
}

#[test]
#[should_panic(expected = "no corpus")]
fn a_corpus_that_is_missing_is_no_pass() {
    fuzz::run(fuzz::corpus!("nowhere"), |_| {});
}
