//! Outages of the router: what they cost is told apart from what the rollout cost.

#![allow(clippy::cast_possible_truncation, clippy::unwrap_used, reason = "synthetic figures")]
#![allow(dead_code, reason = "the stories are shared with other tests")]

mod sample;

use model::{Class, Verdict};
use report::{Input, OutageSpan, Report, judge};
use sample::{fail, pass};

const FROM_US: i64 = 1_000_000;
const TO_US: i64 = 1_200_000;

fn away(to_us: Option<i64>) -> OutageSpan {
    OutageSpan { what: "HAProxy".to_owned(), from_us: FROM_US, to_us }
}

/// Everything that was to be sent in the outage failed; how many that is.
fn outage(input: &mut Input) -> u64 {
    let within = FROM_US.cast_unsigned()..=TO_US.cast_unsigned();
    let hit = input.attempts.iter_mut().filter(|a| within.contains(&a.intended_us));
    hit.map(|a| fail(a, Class::Refused, "nobody listened")).count() as u64
}

fn says(report: &Report, words: &str) -> bool {
    report.facts.iter().any(|fact| fact.contains(words))
}

#[test]
fn an_outage_that_cost_everything_leaves_nothing_to_the_rollout() {
    let mut input = pass();
    let failed = outage(&mut input);
    input.outages = vec![away(Some(TO_US))];
    let report = judge(&input);
    assert!(failed > 10 && report.failed == failed);
    // Users lost requests, whoever is to blame.
    assert_eq!(report.verdict, Verdict::Fail);
    assert_eq!(report.outages[0].failed, failed);
    assert!(says(&report, "HAProxy was away or replaced within 200 ms"));
    assert!(says(&report, "the rollout itself cost no request"), "{:?}", report.facts);
}

#[test]
fn what_failed_outside_of_it_is_counted() {
    let mut input = pass();
    let failed = outage(&mut input);
    let late = input.attempts.iter_mut().find(|a| a.intended_us > 1_300_000).unwrap();
    fail(late, Class::LostInFlight, "");
    input.outages = vec![away(Some(TO_US))];
    let report = judge(&input);
    assert_eq!(report.outages[0].failed, failed);
    assert!(says(&report, "1 request failed outside of that"), "{:?}", report.facts);
    assert!(!says(&report, "cost no request"));
}

#[test]
fn a_request_open_when_it_began_is_one_of_its_own() {
    let mut input = pass();
    let before = input.attempts.iter_mut().rfind(|a| a.intended_us < FROM_US.cast_unsigned());
    let before = before.unwrap();
    fail(before, Class::LostInFlight, "");
    before.done_us = FROM_US.cast_unsigned() + 5;
    input.outages = vec![away(Some(TO_US))];
    assert_eq!(judge(&input).outages[0].failed, 1);
}

#[test]
fn one_that_cost_nothing_is_not_spoken_of_unless_it_lasts() {
    let mut input = pass();
    input.outages = vec![away(Some(TO_US))];
    assert!(!says(&judge(&input), "HAProxy"));
    input.outages = vec![away(None)];
    assert!(says(&judge(&input), "HAProxy was away from"));
}
