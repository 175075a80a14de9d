//! What the router counted of everybody: the prober is one user among many.
//!
//! Request by request the two are compared in `ledger`.

use crate::sample::pass;
use model::Verdict;
use report::{HeldCount, Input, RouterCount, SideCount, html, json, judge};

fn counted(exact: bool, old: u64, new: u64) -> Input {
    let mut input = pass();
    let side = |failed| SideCount { requests: 1_000, failed };
    let what = "the proxy".to_owned();
    input.router = Some(RouterCount { what, exact, old: side(old), new: side(new), held: None });
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

/// A user who waited and was refused is a failure of the deploy, also when the prober met none; that all
/// who waited were served is told.
#[test]
fn a_request_that_was_held_and_then_refused_is_a_failure() {
    let with = |total, refused| {
        let mut input = counted(true, 0, 0);
        let held = HeldCount { total, refused, longest_us: 1_300_000 };
        input.router.as_mut().unwrap().held = Some(held);
        judge(&input)
    };
    let waited = "40 requests waited, the longest for 1.3 s";
    let served = with(40, 0);
    assert_eq!(served.verdict, Verdict::Pass);
    let told = format!("while nobody served, {waited}; none was refused");
    assert!(served.facts.contains(&told), "{:?}", served.facts);
    let lost = with(40, 2);
    assert_eq!((lost.verdict, lost.failed, lost.exit_code), (Verdict::Fail, 0, 1));
    let why = "the proxy refused 2 requests because a bound of the hold was met";
    assert!(lost.reasons.contains(&format!("{why}: {waited}")), "{:?}", lost.reasons);
    assert!(html(&lost).contains(why) && html(&served).contains(waited));
    assert!(json(&lost).replace(' ', "").contains("\"refused\":2"), "{}", json(&lost));
    let never = with(0, 1);
    assert_eq!(never.verdict, Verdict::Fail);
    assert!(never.reasons[0].ends_with("0 requests waited"), "{:?}", never.reasons);
}
