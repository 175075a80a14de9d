//! What the report of a probe alone tells: a deploy that somebody else ran, or none at all.

#![allow(clippy::cast_possible_truncation, clippy::unwrap_used, reason = "synthetic figures")]
#![allow(dead_code, reason = "the stories are shared with other tests")]

mod sample;

use model::{Lane, Outcome};
use report::{Input, judge};

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
