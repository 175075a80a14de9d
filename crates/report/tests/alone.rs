//! What the report of a probe alone tells: a deploy that somebody else ran, or none at all.

#![allow(clippy::cast_possible_truncation, clippy::unwrap_used, reason = "synthetic figures")]
#![allow(dead_code, reason = "the stories are shared with other tests")]

mod sample;

use model::attempt::RunFooter;
use model::{Class, Lane, Outcome, Verdict};
use report::{Asked, Assertion, Input, judge};

/// The traffic of a deploy from v1 to v2, as one saw it who knows nothing of the deploy.
fn alone() -> Input {
    let input = sample::pass();
    Input {
        app: None,
        from: None,
        to: None,
        outcome: Outcome::None,
        phases: Vec::new(),
        shares: Vec::new(),
        ..input
    }
}

#[test]
fn answers_are_shared_by_version_and_by_instance_without_sockets() {
    let input = alone();
    let requests = input.attempts.iter().filter(|a| a.lane != Lane::Websocket);
    let new = requests.clone().filter(|a| a.version.as_deref() == Some("v2")).count() as u64;
    let all = requests.count() as u64;
    let report = judge(&input);
    assert_eq!(report.answered.requests, all);
    let rows: Vec<_> =
        report.answered.versions.iter().map(|r| (r.name.as_deref(), r.answers)).collect();
    assert_eq!(rows, [(Some("v1"), all - new), (Some("v2"), new)]);
    let rows: Vec<_> =
        report.answered.instances.iter().map(|r| (r.name.as_deref(), r.answers)).collect();
    assert_eq!(rows, [(Some("demo-1-1"), all - new), (Some("demo-2-1"), new)]);
    let told = |head: &str| report.facts.iter().find(|fact| fact.starts_with(head)).cloned();
    let share = (new * 10_000 + all / 2) / all;
    let words = format!("({}.{:02}%)", share / 100, share % 100);
    assert!(
        told("by version: v1 ").is_some_and(|fact| fact.ends_with(&words)),
        "{:?}",
        report.facts
    );
    assert!(told("by instance: demo-1-1 ").is_some_and(|fact| fact.ends_with(&words)));
}

#[test]
fn a_deploy_of_ours_has_its_shares_elsewhere() {
    let facts = judge(&sample::pass()).facts;
    assert!(!facts.iter().any(|fact| fact.starts_with("by version")), "{facts:?}");
}

/// The same, told by the caller from what to what the version changed.
fn until_switch() -> Input {
    let asked = Asked { switch: true, assertions: Vec::new() };
    Input { from: Some("v1".to_owned()), to: Some("v2".to_owned()), asked, ..alone() }
}

#[test]
fn a_switch_that_was_waited_for_is_told_and_one_that_never_came_is_inconclusive() {
    let report = judge(&until_switch());
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    assert!(report.sentence.ends_with(" from v1 to v2"), "{}", report.sentence);
    assert!(
        report.facts.iter().any(|f| f.starts_with("both versions answered for ")),
        "{:?}",
        report.facts
    );
    let never = judge(&Input { from: None, to: None, ..until_switch() });
    assert_eq!(never.verdict, Verdict::Inconclusive);
    assert_eq!(never.reasons, ["the version never changed from v1 for good"]);
}

#[test]
fn a_connection_that_goes_back_in_somebody_elses_deploy_is_told_and_judged_on_demand() {
    let mut input = until_switch();
    let back = input.attempts.iter().rposition(|a| a.lane == Lane::KeepAlive).unwrap();
    input.attempts[back].version = Some("v1".to_owned());
    let words =
        "1 request was answered by v1 although v2 had answered before on the same connection";
    let report = judge(&input);
    assert_eq!(report.verdict, Verdict::Pass);
    assert!(report.facts.iter().any(|fact| fact == words), "{:?}", report.facts);
    input.asked.assertions = demands(&["regressions=0"]);
    let report = judge(&input);
    assert_eq!(report.verdict, Verdict::Fail);
    assert_eq!(report.reasons, ["`regressions=0` was demanded, and it was 1"]);
}

fn demands(texts: &[&str]) -> Vec<Assertion> {
    texts.iter().map(|text| Assertion::parse(text).unwrap()).collect()
}

/// Verdict and what was seen of one demand.
fn demanded(input: &Input, text: &str) -> (Verdict, String) {
    let mut input = input.clone();
    input.asked.assertions = demands(&[text]);
    let report = judge(&input);
    (report.verdict, report.assertions[0].seen.clone())
}

#[test]
fn demands_decide() {
    let mut input = alone();
    let counts = judge(&input).answered.versions;
    let share = counts[1].answers as f64 * 100.0 / (counts[0].answers + counts[1].answers) as f64;
    assert_eq!(demanded(&input, "failed=0"), (Verdict::Pass, "0".to_owned()));
    assert_eq!(demanded(&input, "sent(fresh)=1800"), (Verdict::Pass, "1,800".to_owned()));
    assert_eq!(demanded(&input, "p50<1ms").0, Verdict::Fail);
    assert_eq!(demanded(&input, "p99<1s").0, Verdict::Pass);
    assert_eq!(demanded(&input, &format!("share(v2)={share:.1}%±0.1")).0, Verdict::Pass);
    assert_eq!(demanded(&input, &format!("share(v2)={:.1}%±0.1", share + 1.0)).0, Verdict::Fail);
    assert_eq!(demanded(&input, "instance(nobody)=0%").0, Verdict::Pass);
    assert_eq!(demanded(&input, "mixed<1s").0, Verdict::Inconclusive, "nobody named both versions");
    assert_eq!(
        demanded(&input, "p99.99<1s"),
        (Verdict::Inconclusive, "6,000 whole answers are too few".to_owned())
    );
    sample::fail(&mut input.attempts[7], Class::Refused, "connection refused");
    assert_eq!(demanded(&input, "p99<1s").0, Verdict::Fail, "the built-in rule stands");
    assert_eq!(
        demanded(&input, "failed<=1").0,
        Verdict::Pass,
        "who says how many may fail is obeyed"
    );
    assert_eq!(demanded(&input, "failed<0.01%").0, Verdict::Fail);
}

#[test]
fn percentiles_of_demands_are_nearest_rank() {
    let mut input = alone();
    input.attempts.truncate(200);
    for (n, a) in input.attempts.iter_mut().enumerate() {
        a.done_us = a.intended_us + n as u64 + 1;
    }
    input.footer = input.footer.map(|f| RunFooter { planned: 200, sent: 200, ..f });
    for (text, seen) in [("p50<1s", "100 µs"), ("p99<1s", "198 µs"), ("max<1s", "200 µs")] {
        assert_eq!(demanded(&input, text), (Verdict::Pass, seen.to_owned()), "{text}");
    }
}
