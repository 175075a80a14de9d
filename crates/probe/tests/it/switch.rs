//! Runs that end by themselves when the version has changed.
//!
//! How a switch is recognised is tried beside `switch` itself, without a server.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{Act, Server, options, right, run};
use model::attempt::Lane;
use probe::{Options, Stop, VersionFrom};

fn until_switch(options: Options, settle_ms: u64, at_most_ms: u64) -> Options {
    let [settle, at_most] = [settle_ms, at_most_ms].map(Duration::from_millis);
    Options { stop: Stop::AfterSwitch { settle, at_most }, ..options }
}

#[tokio::test]
async fn a_run_ends_when_the_old_version_has_been_silent() {
    // v2 comes and goes back once before it stays: that is no switch yet.
    let version = |n| if n < 30 || (35..60).contains(&n) { "v1" } else { "v2" };
    let server = Server::start(move |n| right(version(n))).await;
    let run = run(until_switch(options(server.url(), Lane::Fresh, 0), 1_500, 10_000)).await;
    let old = run.attempts.iter().filter(|a| a.version.as_deref() == Some("v1"));
    let last_old = old.clone().map(|a| a.sent_us).max().unwrap();
    assert_eq!(old.count(), 55, "it ended before the old version was gone");
    let footer = run.footer.unwrap();
    let silent_us = footer.until_us - last_old;
    assert!((1_450_000..6_000_000).contains(&silent_us), "{silent_us} us of the new version alone");
}

#[tokio::test]
async fn a_switch_that_never_comes_is_waited_for_no_longer_than_told() {
    let server = Server::start(|_| right("v1")).await;
    let run = run(until_switch(options(server.url(), Lane::Fresh, 0), 0, 200)).await;
    assert_eq!(run.footer.unwrap().planned, 40);
}

/// What a router says while nobody serves is nobody's version, for as long as it says it.
#[tokio::test]
async fn an_error_page_is_no_version_where_it_stands_in_the_body() {
    let say = |status: &str, body: &str| {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        Act::Say(answer.into_bytes())
    };
    let server = Server::start(move |n| match n {
        0..20 => say("200 OK", "v1\nof the shop"),
        20..120 => say("502 Bad Gateway", "Bad Gateway"),
        _ => say("200 OK", "v2"),
    })
    .await;
    let mut options = until_switch(options(server.url(), Lane::Fresh, 0), 150, 10_000);
    options.version_from = VersionFrom::Body;
    let run = run(options).await;
    let versions: BTreeSet<_> = run.attempts.iter().filter_map(|a| a.version.as_deref()).collect();
    assert_eq!(versions, BTreeSet::from(["v1", "v2"]), "or it ended before there was a new one");
}
