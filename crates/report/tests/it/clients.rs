//! Clients that keep their cookies: whether one of them ever met an older version again.
//!
//! How they keep their cookies is not tried here, but in the crate `probe`.

use crate::sample;
use crate::sample::canary::{STEPS, canary, gave_up};
use crate::sample::jitter;
use model::{Attempt, Lane, Outcome, Verdict};
use report::{
    Asked, Assertion, ClientFacts, Input, Report, ShareFinding, html, json, judge, parse,
};

const CLIENTS: u64 = 16;

/// Every second request is one of a client's; `version` is what it gets at that time.
fn with_clients(mut input: Input, version: impl Fn(u64, &Attempt) -> &'static str) -> Input {
    input.header.clients = CLIENTS as u16;
    let mut turn = 0;
    for a in input.attempts.iter_mut().filter(|a| a.lane != Lane::Websocket) {
        turn += 1;
        if turn % 2 == 0 {
            let client = turn / 2 % CLIENTS;
            a.client = Some(client as u16 + 1);
            a.version = Some(version(client, a).to_owned());
        }
    }
    input
}

/// Clients in the order of their numbers, as the share grows.
fn kept(client: u64, a: &Attempt) -> &'static str {
    let now = STEPS.iter().rev().find(|(from, _)| from + 9_000 <= a.sent_us.cast_signed());
    let share = now.map_or(0, |(_, bp)| u64::from(*bp));
    if client * 10_000 < share * CLIENTS { "v2" } else { "v1" }
}

/// As a router that draws each request anew while both have a share.
fn forgotten(_: u64, a: &Attempt) -> &'static str {
    let both = (STEPS[0].0..STEPS[3].0).contains(&a.sent_us.cast_signed());
    let new = if both { jitter(a.id, 2) == 1 } else { a.sent_us.cast_signed() >= STEPS[3].0 };
    if new { "v2" } else { "v1" }
}

fn facts(report: &Report) -> ClientFacts {
    report.clients.clone().unwrap()
}

fn says(report: &Report, words: &str) -> bool {
    report.facts.iter().any(|fact| fact.contains(words))
}

#[test]
fn clients_that_are_kept_never_go_back_and_do_not_count_for_shares() {
    let report = judge(&with_clients(canary(), kept));
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    let facts = facts(&report);
    assert_eq!((facts.clients, facts.moved, facts.regressions), (CLIENTS, CLIENTS, 0));
    let words = "16 clients kept their cookies: 16 met more than one version · none went back";
    assert!(says(&report, words), "{:?}", report.facts);
    assert!(report.shares.iter().all(|share| share.finding == ShareFinding::AsWanted));
    assert!(!html(&report).contains("Clients that went back"));
    // One of sixteen has met the new version at 5 %: counted with the others it would be off.
    let newcomers: u64 = report.shares.iter().map(|share| share.answers).sum();
    let all = judge(&canary()).shares.iter().map(|share| share.answers).sum::<u64>();
    assert!(newcomers.abs_diff(all / 2) < all / 50, "{newcomers} of {all}");
    assert_eq!(judge(&canary()).clients, None);
}

#[test]
fn a_router_that_forgets_its_clients_fails_though_both_have_a_share() {
    let report = judge(&with_clients(canary(), forgotten));
    let facts = facts(&report);
    assert_eq!((report.verdict, facts.went_back), (Verdict::Fail, CLIENTS));
    assert!(facts.regressions > 100 && facts.first_regressions.len() == 100, "{facts:?}");
    let words = "requests were answered by v1 although v2 had answered the same client before";
    assert!(report.reasons[0].ends_with(words), "{:?}", report.reasons);
    assert!(says(&report, "✕ 16 went back to an older one"), "{:?}", report.facts);
    let first = &facts.first_regressions[0];
    assert_eq!(report.versions[first.version].label, "v1");
    assert!(first.sent_us > first.newer_seen_us);
    let page = html(&report);
    assert!(page.contains("<h2>Clients that went back to an older version</h2>"));
    assert!(page.contains(&format!("<td>#{}</td>", first.id)));
    let mut one = with_clients(canary(), kept);
    let last = one.attempts.iter().rposition(|a| a.client.is_some()).unwrap();
    one.attempts[last].version = Some("v1".to_owned());
    let report = judge(&one);
    assert_eq!(report.clients.unwrap().first_regressions[0].id, one.attempts[last].id);
}

#[test]
fn a_rollout_that_turned_back_took_its_clients_along() {
    let report = judge(&with_clients(gave_up(), |client, a| {
        if a.sent_us < 12_000_000 { kept(client, a) } else { "v1" }
    }));
    let facts = facts(&report);
    assert_eq!((report.verdict, facts.regressions), (Verdict::Pass, 0), "{:?}", report.reasons);
    assert!(facts.regressions_excused > 100, "{facts:?}");
    assert!(says(&report, "those who went back did so with the abort"), "{:?}", report.facts);
}

/// A target of which nobody knows which version is newer.
fn alone(version: impl Fn(u64, &Attempt) -> &'static str) -> Input {
    sample::unknowing(with_clients(sample::pass(), version))
}

#[test]
fn without_known_versions_the_one_that_a_client_left_is_the_older() {
    let flips = |_: u64, a: &Attempt| if jitter(a.id, 2) == 1 { "v2" } else { "v1" };
    let mut input = alone(flips);
    let report = judge(&input);
    assert!(facts(&report).regressions > 500, "{:?}", report.clients);
    assert_eq!(report.verdict, Verdict::Pass, "nobody promised anything");
    let demand = Assertion::parse("client_regressions=0").unwrap();
    input.asked = Asked { switch: false, assertions: vec![demand.clone()] };
    assert_eq!(judge(&input).verdict, Verdict::Fail);
    // Each stays where it was put.
    let kept = |client: u64, _: &Attempt| if client.is_multiple_of(2) { "v2" } else { "v1" };
    let asked = Asked { switch: false, assertions: vec![demand] };
    let report = judge(&Input { asked: asked.clone(), ..alone(kept) });
    assert_eq!((report.verdict, facts(&report).moved), (Verdict::Pass, 0), "{:?}", report.reasons);
    let without = Input { outcome: Outcome::None, asked, ..sample::pass() };
    assert_eq!(judge(&without).verdict, Verdict::Inconclusive);
}

#[test]
fn a_report_saved_before_there_were_clients_is_still_read() {
    let report = judge(&with_clients(canary(), forgotten));
    assert_eq!(parse(&json(&report)).unwrap(), report);
    let schema: serde_json::Value = serde_json::from_str(report::SCHEMA).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let mut saved: serde_json::Value = serde_json::from_str(&json(&report)).unwrap();
    assert!(schema.is_valid(&saved));
    saved.as_object_mut().unwrap().remove("clients").unwrap();
    assert!(schema.is_valid(&saved));
    assert_eq!(parse(&saved.to_string()).unwrap().clients, None);
}
