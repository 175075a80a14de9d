//! What the report of a probe alone tells: a deploy that somebody else ran, or none at all.
//!
//! Runs with a rollout are in `verdicts`.

use crate::sample::{self, alone};
use model::attempt::{OrderCount, RunFooter};
use model::{Attempt, Class, Lane, Verdict};
use report::{Asked, Assertion, Input, judge};

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

/// Nothing that was not looked at passes for something that was seen.
#[test]
fn that_no_version_was_named_and_what_was_not_sent_is_told_beside_a_pass() {
    let mut input = alone();
    (input.from, input.to) = (None, None);
    for attempt in &mut input.attempts {
        (attempt.version, attempt.witness) = (None, None);
    }
    let last = input.attempts.iter_mut().rfind(|a| a.lane == Lane::KeepAlive).unwrap();
    sample::fail(last, Class::NotSent, "over the cap");
    let footer = input.footer.as_mut().unwrap();
    (footer.sent, footer.not_sent) = (footer.sent - 1, 1);
    let planned = footer.planned;
    let report = judge(&input);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    let told = |words: &str| report.facts.iter().any(|fact| fact.starts_with(words));
    assert!(told("no answer named a version"), "{:?}", report.facts);
    assert!(told("1 planned request of "), "{planned}: {:?}", report.facts);
    assert!(report.facts.iter().any(|fact| fact.ends_with(" was not sent")), "{:?}", report.facts);
    let facts = judge(&alone()).facts;
    let odd = |fact: &&String| fact.contains("no answer named") || fact.contains("not sent");
    assert_eq!(facts.iter().find(odd), None);
}

/// Where an error is a right answer, as of a path that only the new version has, it is told whose it was.
#[test]
fn expected_errors_are_told_by_the_version_that_gave_them() {
    assert_eq!(judge(&alone()).answered.statuses, []);
    let mut input = alone();
    let old = |a: &&mut Attempt| a.version.as_deref() == Some("v1") && a.lane != Lane::Websocket;
    input.attempts.iter_mut().filter(old).for_each(|a| a.status = 404);
    let report = judge(&input);
    let rows = report.answered.statuses.iter().map(|row| (row.name.as_deref(), row.answers));
    let versions: Vec<_> = report.answered.versions.iter().map(|row| row.answers).collect();
    let expected = [(Some("404 of v1"), versions[0]), (Some("200 of v2"), versions[1])];
    assert_eq!(rows.collect::<Vec<_>>(), expected);
    assert!(report.facts.iter().any(|fact| fact.starts_with("by status: 404 of v1 ")));
    let schema = jsonschema::validator_for(&serde_json::from_str(report::SCHEMA).unwrap()).unwrap();
    assert!(schema.is_valid(&serde_json::to_value(&report).unwrap()));
}

/// Of a run that nobody wanted to wait for.
#[test]
fn what_was_sent_and_not_waited_for_is_not_nothing_sent() {
    let mut input = alone();
    input.attempts.clear();
    let report = judge(&Input { interrupted: true, ..input });
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(report.reasons[0], "the samples lack 6,000 requests that the prober sent");
    assert!(report.sentence.starts_with("no request came to its end at "), "{}", report.sentence);
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

fn with_orders(doubled: u64, executed: u64) -> Input {
    let examples = (0..doubled).map(|n| format!("run-{n}\x1b[2J")).collect();
    let orders = OrderCount { acknowledged: 20, executed, doubled, examples };
    let input = alone();
    let footer = input.footer.clone().map(|f| RunFooter { orders: Some(orders), ..f });
    Input { footer, ..input }
}

#[test]
fn an_order_that_was_carried_out_twice_or_never_is_a_failure_nobody_was_told_of() {
    let report = judge(&with_orders(0, 20));
    assert_eq!(report.verdict, Verdict::Pass);
    let fact = "20 orders confirmed, 20 carried out, none twice, as the app says";
    assert!(report.facts.iter().any(|f| f == fact), "{:?}", report.facts);
    let report = judge(&with_orders(1, 20));
    assert_eq!(report.verdict, Verdict::Fail);
    assert_eq!(report.reasons, [r"1 order was carried out more than once (run-0\u{1b}[2J)"]);
    let report = judge(&with_orders(0, 18));
    assert_eq!(report.reasons, ["2 orders were confirmed and never carried out"]);
    // So many that the app's account of them is not taken whole, or an app that is gone.
    let mut input = alone();
    input.attempts.iter_mut().take(20).for_each(|a| a.lane = Lane::Orders);
    let report = judge(&input);
    assert_eq!(report.verdict, Verdict::Inconclusive);
    let why = "20 orders placed, and the app did not say in the end what it carried out";
    assert!(report.reasons.iter().any(|reason| reason == why), "{:?}", report.reasons);
}

#[test]
fn what_is_slow_on_purpose_does_not_pass_for_a_slow_app() {
    let mut input = alone();
    for a in input.attempts.iter_mut().filter(|a| a.lane == Lane::Fresh) {
        a.lane = Lane::Download;
        a.done_us += 2_000_000;
    }
    input.header.lanes[1].0 = Lane::Download;
    assert_eq!(demanded(&input, "max<1s").0, Verdict::Pass);
    assert_eq!(demanded(&input, "max(download)<1s").0, Verdict::Fail);
    let report = judge(&input);
    assert!(!report.slow.is_empty() && !report.buckets.is_empty());
    assert!(report.slow.iter().all(|dot| dot.ttlb_us < 1_000_000));
    assert!(report.buckets.iter().all(|b| b.ttlb_max_us.unwrap() < 1_000_000));
}

#[test]
fn an_upload_belongs_to_the_time_of_its_head() {
    let mut input = until_switch();
    let before = judge(&input).proof.unwrap();
    let first_new = before.first_new_us.unwrap().cast_unsigned();
    // An upload that began on the old version and whose last byte left 2 s after the switch.
    let upload = input.attempts.iter_mut().find(|a| a.lane == Lane::Fresh).unwrap();
    (upload.lane, upload.connected_us) = (Lane::Upload, first_new - 500_000);
    (upload.sent_us, upload.done_us) = (first_new + 2_000_000, first_new + 2_001_000);
    let after = judge(&input).proof.unwrap();
    assert_eq!((after.mixed_us, after.last_old_us), (before.mixed_us, before.last_old_us));
}

#[test]
fn connections_that_stayed_with_the_old_version_are_counted_with_the_longest_time() {
    let mut input = until_switch();
    let first_new = {
        let new = input.attempts.iter().filter(|a| a.lane != Lane::Websocket);
        new.filter(|a| a.version.as_deref() == Some("v2")).map(|a| a.sent_us).min().unwrap()
    };
    // Two clients never leave their connection, whose last requests are 3 s and 1 s later.
    for a in
        input.attempts.iter_mut().filter(|a| a.lane == Lane::KeepAlive && a.sent_us > first_new)
    {
        a.version = Some("v2".to_owned());
        a.connection += 5_000;
    }
    for (connection, after_us) in [(9_001, 3_000_000), (9_002, 1_000_000)] {
        let late = input.attempts.iter_mut().filter(|a| a.lane == Lane::KeepAlive);
        let kept =
            late.filter(|a| a.sent_us > first_new + after_us).min_by_key(|a| a.sent_us).unwrap();
        (kept.connection, kept.version) = (connection, Some("v1".to_owned()));
        kept.sent_us = first_new + after_us;
    }
    for a in input.attempts.iter_mut().filter(|a| a.lane == Lane::Fresh && a.sent_us > first_new) {
        a.version = Some("v2".to_owned());
    }
    let report = judge(&input);
    let proof = report.proof.as_ref().unwrap();
    assert_eq!((proof.pinned_connections, proof.longest_pinned_us), (2, 3_000_000));
    let fact = "2 connections stayed with v1 for up to 3.0 s";
    assert!(report.facts.iter().any(|f| f.starts_with(fact)), "{:?}", report.facts);
}
