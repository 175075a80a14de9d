//! What the router counted of everybody: the prober is one user among many.

#![allow(clippy::cast_possible_truncation, clippy::unwrap_used, reason = "synthetic figures")]
#![allow(dead_code, reason = "the stories are shared with other tests")]

mod sample;

use model::Verdict;
use report::{Input, RouterCount, SideCount, judge};
use sample::pass;

fn counted(exact: bool, old: u64, new: u64) -> Input {
    let mut input = pass();
    let side = |failed| SideCount { requests: 1_000, failed };
    let what = "the proxy".to_owned();
    input.router = Some(RouterCount { what, exact, old: side(old), new: side(new) });
    input
}

#[test]
fn a_request_that_a_user_lost_is_a_failure_also_when_the_prober_lost_none() {
    let report = judge(&counted(true, 2, 1));
    assert_eq!((report.verdict, report.failed, report.exit_code), (Verdict::Fail, 0, 1));
    let reason = "the proxy counted 3 requests of users that failed: 2 on v1, 1 on v2";
    assert!(report.sentence.starts_with(reason), "{}", report.sentence);
    assert!(report.reasons.contains(&reason.to_owned()), "{:?}", report.reasons);
}

#[test]
fn none_lost_is_said() {
    let report = judge(&counted(true, 0, 0));
    assert_eq!(report.verdict, Verdict::Pass);
    let fact = "the proxy carried 2,000 requests, none failed";
    assert!(report.facts.iter().any(|said| said == fact), "{:?}", report.facts);
}

#[test]
fn what_may_have_been_mended_is_no_failure() {
    let report = judge(&counted(false, 2, 0));
    assert_eq!(report.verdict, Verdict::Pass);
    assert!(report.facts.iter().any(|said| said.contains("2 errors")), "{:?}", report.facts);
}
