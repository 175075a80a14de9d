//! Told to end exactly once, as far as can be known: the controller dies between the record and the
//! signal. The record of a dying controller is written by hand; the processes are real.
//!
//! How they end otherwise is in `process`.

use crate::common;
use crate::common::{
    Site, app, edit, kill, pids, record, release, round, running, settle, until, want,
};
use drivers::platform::{FleetHave, FleetWant, Platform};
use model::{Release, ReleaseId, RunState};
use rustix::process::Signal;
use serde_json::json;

const ONE: ReleaseId = ReleaseId(1);

fn terms(site: &Site) -> usize {
    site.log("demo-1-1").matches("SIGTERM").count()
}

/// One instance runs; its controller dies `ago_ms` after it wrote that it tells it, and nobody knows
/// whether it did. Says what was there and when.
async fn left_in_doubt(site: &Site, release: &Release, ago_ms: u64) -> (FleetHave, u64) {
    let platform = site.open();
    let have = settle(&platform, &running(release, 1)).await;
    drop(platform);
    let at = have.now_ms - ago_ms;
    edit(site, |record| {
        record["instances"][0]["told_at_ms"] = at.into();
        record["instances"][0]["telling_ms"] = at.into();
    });
    (have, at)
}

fn gone(release: &Release) -> FleetWant {
    want(&[(release, 0, RunState::Gone)])
}

#[tokio::test]
async fn the_record_says_it_before_the_signal_and_is_certain_after_it() {
    let site = Site::new();
    let platform = site.open();
    let stubborn = release(1, &["--ignore-term", "--show-record"]);
    let before = settle(&platform, &running(&stubborn, 1)).await;
    let told = want(&[(&stubborn, 1, RunState::Terminating)]);
    let said = || site.log("demo-1-1").contains("\"last_number\"");
    until(&platform, &told, |_, settled| settled && said()).await;
    let log = site.log("demo-1-1");
    let (_, then) = log.split_once("SIGTERM").unwrap();
    assert!(then.contains("\"told_at_ms\": ") && !then.contains("\"told_at_ms\": null"), "{then}");
    let entry = record(&site)["instances"][0].clone();
    assert!(entry["told_at_ms"].as_u64() >= Some(before.now_ms), "{entry}");
    assert_eq!(entry["telling_ms"], json!(null));
}

#[tokio::test]
async fn one_that_never_heard_is_told_at_half_of_its_time_and_killed_at_its_end() {
    let site = Site::new();
    let mut stubborn = release(1, &["--ignore-term"]);
    stubborn.stop_timeout_ms = 2_000;
    let (before, at) = left_in_doubt(&site, &stubborn, 0).await;
    let platform = site.open();
    let (have, settled) = round(&platform, &gone(&stubborn)).await;
    assert!(!settled && have.instances[0].telling_ms == Some(at), "{have:?}");
    assert!(have.serving_instances(ONE).len() == 1 && !have.instances[0].stays(), "it is told");
    let certain = |have: &FleetHave| have.instances[0].telling_ms.is_none();
    let have = until(&platform, &gone(&stubborn), |have, _| certain(have)).await;
    assert!(have.now_ms >= at + 1_000, "told {} ms after", have.now_ms - at);
    let counts = have.instances[0].told_at_ms.unwrap();
    assert!(counts < at + 900, "the platform was not woken for it: told {counts}, began {at}");
    assert_eq!(pids(&have), pids(&before), "not killed before it was told");
    settle(&platform, &gone(&stubborn)).await;
    assert!(platform.look(&app()).await.unwrap().now_ms >= at + 2_000, "killed early");
    assert_eq!(terms(&site), 1);
}

#[tokio::test]
async fn one_that_heard_ends_undisturbed() {
    for state in [RunState::Terminating, RunState::Gone] {
        let site = Site::new();
        let mut release = release(1, &["--linger"]);
        release.stop_timeout_ms = 4_000;
        let (before, _) = left_in_doubt(&site, &release, 0).await;
        kill(before.instances[0].pid.unwrap(), Signal::TERM);
        let platform = site.open();
        let want = want(&[(&release, 1, state)]);
        let ended = |have: &FleetHave, settled| settled && have.instances.is_empty();
        let have = until(&platform, &want, ended).await;
        assert!(site.log("demo-1-1").contains("finished"), "{}", site.log("demo-1-1"));
        assert_eq!(have.seen(ONE).crashes, 0, "told to end is no crash");
    }
}

#[tokio::test]
async fn one_that_is_found_late_is_told_first_and_has_time_to_finish() {
    let site = Site::new();
    let mut release = release(1, &["--linger"]);
    release.stop_timeout_ms = 2_000;
    left_in_doubt(&site, &release, 2_100).await;
    settle(&site.open(), &gone(&release)).await;
    let log = site.log("demo-1-1");
    assert!(terms(&site) == 1 && log.contains("finished"), "{log}");
}

#[tokio::test]
async fn the_second_telling_is_not_repeated() {
    let site = Site::new();
    let stubborn = release(1, &["--ignore-term"]);
    left_in_doubt(&site, &stubborn, 600).await;
    let platform = site.open();
    let have = platform.look(&app()).await.unwrap();
    let plan = platform.plan(&want(&[(&stubborn, 1, RunState::Terminating)]), &have);
    assert!(plan.changes[0].words.starts_with("tell demo-1-1 to end once more"), "{plan:?}");
    platform.act(&plan.changes[0], common::EPOCH).await.unwrap();
    assert!(platform.act(&plan.changes[0], common::EPOCH).await.is_err(), "told twice");
    until(&platform, &want(&[(&stubborn, 1, RunState::Terminating)]), |_, _| terms(&site) > 0)
        .await;
    settle(&platform, &gone(&stubborn)).await;
    assert_eq!(terms(&site), 1);
}

#[tokio::test]
async fn records_from_before_there_was_such_a_doubt_are_read() {
    let site = Site::new();
    let stubborn = release(1, &["--ignore-term"]);
    let before = settle(&site.open(), &running(&stubborn, 1)).await;
    edit(&site, |record| {
        let entry = record["instances"][0].as_object_mut().unwrap();
        entry.remove("telling_ms");
        entry.insert("told_at_ms".into(), before.now_ms.into());
    });
    let platform = site.open();
    let have = platform.look(&app()).await.unwrap();
    assert_eq!(have.instances[0].told_at_ms, Some(before.now_ms));
    settle(&platform, &gone(&stubborn)).await;
    assert_eq!(terms(&site), 0, "it was told, says the record");
}
