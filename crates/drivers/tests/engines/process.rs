//! The life of instances as processes: start, readiness, crash, end.
//!
//! A controller that dies and comes back is in `adoption`; why one is not ready, in words, in `trouble`.

use std::time::Instant;

use crate::common;
use crate::common::{
    Site, alive, app, kill, leaving, one_leaves, pids, release, round, running, settle, until, want,
};
use drivers::platform::{Condition, InstanceHave, Platform};
use model::{ReleaseId, RunState};
use rustix::process::Signal;

const ONE: ReleaseId = ReleaseId(1);

#[tokio::test]
async fn instances_start_with_port_version_directory_and_become_ready() {
    let site = Site::new();
    let platform = site.open();
    let mut release = release(1, &["--port", "{port}", "{version}-{instance}-{what}"]);
    release.environment.insert("EXTRA".into(), "x".into());
    release.directory = site.path().to_str().unwrap().to_owned();
    let have = settle(&platform, &running(&release, 2)).await;
    let seen = have.seen(ONE);
    assert_eq!((seen.existing, seen.ready, seen.crashes), (2, 2, 0), "{seen:?}");
    assert!(seen.trouble.is_empty(), "{seen:?}");
    let instances = have.serving_instances(ONE);
    assert_eq!(instances.len(), 2);
    assert_ne!(instances[0].address, instances[1].address);
    let log = site.log("demo-1-1");
    let port = instances[0].address.port();
    assert!(log.contains(&format!("VERSION=v1 PORT={port} DIR={}", release.directory)), "{log}");
    assert!(log.contains(&format!("INSTANCE=demo-1-1 STATE={}", site.path().display())), "{log}");
    assert!(log.contains("argument v1-demo-1-1-{what}"), "{log}");
}

#[tokio::test]
async fn a_crashed_instance_is_counted_and_replaced_with_a_growing_pause() {
    let site = Site::new();
    let platform = site.open();
    let want = running(&release(1, &[]), 1);
    let first = settle(&platform, &want).await;
    kill(first.instances[0].pid.unwrap(), Signal::KILL);
    let begun = Instant::now();
    let second = until(&platform, &want, |have, ok| ok && have.seen(ONE).crashes == 1).await;
    assert!(begun.elapsed().as_millis() >= 100, "no back-off: {:?}", begun.elapsed());
    assert_eq!(second.instances[0].id.0, "demo-1-2");
    assert_eq!(second.seen(ONE).ready, 1);
    kill(second.instances[0].pid.unwrap(), Signal::KILL);
    let begun = Instant::now();
    let third = until(&platform, &want, |have, ok| ok && have.seen(ONE).crashes == 2).await;
    assert!(begun.elapsed().as_millis() >= 200, "it did not double: {:?}", begun.elapsed());
    assert_eq!(third.instances.len(), 1);
    assert_eq!(site.living().len(), 1);
}

#[tokio::test]
async fn who_is_named_ends_as_told_and_the_others_never_notice() {
    let site = Site::new();
    let platform = site.open();
    let mut stubborn = release(1, &["--ignore-term"]);
    stubborn.stop_timeout_ms = 200;
    let before = settle(&platform, &running(&stubborn, 2)).await;
    let told = leaving(&stubborn, 1, one_leaves(Some("demo-1-2"), RunState::Terminating));
    let have = settle(&platform, &told).await;
    let at = have.instances[1].told_at_ms.expect("it was told");
    while platform.look(&app()).await.unwrap().now_ms < at + 400 {
        let (have, settled) = round(&platform, &told).await;
        assert!(settled && pids(&have) == pids(&before), "told only: {have:?}");
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    let gone = leaving(&stubborn, 1, one_leaves(Some("demo-1-2"), RunState::Gone));
    let have = settle(&platform, &gone).await;
    assert_eq!(pids(&have), pids(&before)[..1]);
    assert_eq!((have.seen(ONE).crashes, site.living().len()), (0, 1), "no crash, no successor");
    assert_eq!(site.log("demo-1-1").matches("SIGTERM").count(), 0);
    assert_eq!(site.log("demo-1-2").matches("SIGTERM").count(), 1);
}

#[tokio::test]
async fn an_instance_that_ends_when_it_is_told_is_no_crash_and_is_not_replaced() {
    let site = Site::new();
    let platform = site.open();
    let one = release(1, &[]);
    settle(&platform, &running(&one, 2)).await;
    let told = leaving(&one, 1, one_leaves(Some("demo-1-1"), RunState::Terminating));
    let have = until(&platform, &told, |have, ok| ok && have.instances.len() == 1).await;
    assert_eq!((have.instances[0].id.0.as_str(), have.seen(ONE).crashes), ("demo-1-2", 0));
    let have = settle(&platform, &leaving(&one, 2, one_leaves(None, RunState::Running))).await;
    assert_eq!(have.instances[1].id.0, "demo-1-3", "fewer than those that stay: one starts");
}

#[tokio::test]
async fn told_to_end_is_neither_killed_nor_started_again() {
    let site = Site::new();
    let platform = site.open();
    let mut stubborn = release(1, &["--ignore-term"]);
    stubborn.stop_timeout_ms = 100;
    let have = settle(&platform, &running(&stubborn, 1)).await;
    let pid = have.instances[0].pid.unwrap();
    let told = want(&[(&stubborn, 1, RunState::Terminating)]);
    until(&platform, &told, |_, _| site.log("demo-1-1").contains("SIGTERM")).await;
    let told_at = Instant::now();
    while told_at.elapsed().as_millis() < 300 {
        let (have, settled) = round(&platform, &told).await;
        assert!(settled, "told is told");
        assert_eq!(have.seen(ONE).existing, 1);
        assert_eq!(have.serving_instances(ONE).len(), 1, "open tunnels still need it");
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    assert!(alive(pid));
    assert_eq!(site.log("demo-1-1").matches("SIGTERM").count(), 1, "told once only");
    let gone = settle(&platform, &want(&[(&stubborn, 0, RunState::Gone)])).await;
    assert!(gone.instances.is_empty() && gone.releases.is_empty());
    assert!(!alive(pid));
}

#[tokio::test]
async fn gone_waits_for_the_stop_timeout_and_kills_the_whole_group() {
    let site = Site::new();
    let platform = site.open();
    let stubborn = release(1, &["--ignore-term", "--grandchild"]);
    settle(&platform, &running(&stubborn, 1)).await;
    assert_eq!(site.living().len(), 2, "leader and grandchild");
    let begun = Instant::now();
    let have = settle(&platform, &want(&[])).await;
    assert!(begun.elapsed().as_millis() >= 500, "killed early: {:?}", begun.elapsed());
    assert!(have.instances.is_empty());
    assert!(site.living().is_empty());
}

/// R17: a shell that stands before the server and passes nothing on keeps no signal from it.
#[tokio::test]
async fn r17_a_server_behind_a_shell_is_told_to_end() {
    let site = Site::new();
    let platform = site.open();
    let mut behind = release(1, &[]);
    let script = format!("{} --linger; exit 0", common::stand_in());
    behind.command = ["sh", "-c", &script].map(str::to_owned).to_vec();
    behind.stop_timeout_ms = 8_000;
    settle(&platform, &running(&behind, 1)).await;
    assert_eq!(site.living().len(), 2, "the shell and the server");
    let begun = Instant::now();
    // What a dead shell left behind is not watched, so its end is looked for.
    while !site.living().is_empty() {
        round(&platform, &want(&[])).await;
        assert!(begun.elapsed().as_millis() < 7_000, "SIGTERM did not reach it");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let log = site.log("demo-1-1");
    assert!(log.contains("SIGTERM\n"), "{log}");
    assert!(log.contains("finished"), "told twice: {log}");
}

/// R24: an instance that is slow for less than `fall` checks stays ready all the time.
#[tokio::test]
async fn r24_a_slow_moment_takes_nobody_out() {
    let site = Site::new();
    let platform = site.open();
    let mut patient = release(1, &[]);
    patient.health.timeout_ms = 50;
    patient.health.fall = 40;
    let have = settle(&platform, &running(&patient, 1)).await;
    let pid = have.instances[0].pid.unwrap();
    kill(pid, Signal::STOP);
    let stopped = Instant::now();
    while stopped.elapsed().as_millis() < 300 {
        let (have, settled) = round(&platform, &running(&patient, 1)).await;
        assert!(settled && have.seen(ONE).ready == 1, "{have:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    kill(pid, Signal::CONT);
    let have = settle(&platform, &running(&patient, 1)).await;
    assert_eq!((have.seen(ONE).ready, have.instances[0].pid), (1, Some(pid)));
}

#[tokio::test]
async fn what_an_ended_leader_left_behind_is_ended_too() {
    let site = Site::new();
    let platform = site.open();
    let parent = release(1, &["--grandchild"]);
    let have = settle(&platform, &running(&parent, 1)).await;
    let nothing = want(&[]);
    let orphaned = until(&platform, &nothing, |have, _| {
        have.instances.iter().any(|i| i.condition == Condition::Ended && i.left_behind)
    });
    let seen = orphaned.await.seen(ONE);
    assert_eq!((seen.existing, seen.crashes), (1, 0), "{seen:?}");
    settle(&platform, &want(&[])).await;
    assert!(!alive(have.instances[0].pid.unwrap()));
    assert!(site.living().is_empty());
}

#[tokio::test]
async fn the_surplus_lives_on_until_it_is_named_and_is_not_replaced() {
    let site = Site::new();
    let platform = site.open();
    let one = release(1, &[]);
    let before = settle(&platform, &running(&one, 3)).await;
    for want in [
        running(&one, 1),
        leaving(&one, 1, one_leaves(None, RunState::Running)),
        leaving(&one, 1, one_leaves(None, RunState::Gone)),
    ] {
        let have = settle(&platform, &want).await;
        assert_eq!(pids(&have), pids(&before), "{want:?}");
        assert!(have.instances.iter().all(InstanceHave::stays), "{want:?}: {have:?}");
    }
    kill(before.instances[2].pid.unwrap(), Signal::KILL);
    let two = running(&one, 2);
    let have = until(&platform, &two, |have, ok| ok && have.seen(ONE).crashes == 1).await;
    assert_eq!(pids(&have), pids(&before)[..2], "enough are left");
    let have = settle(&platform, &running(&one, 3)).await;
    assert_eq!(have.instances[2].id.0, "demo-1-4", "numbers are not used twice");
    settle(&platform, &want(&[])).await;
    let again = settle(&platform, &running(&one, 1)).await;
    assert_eq!(again.instances[0].id.0, "demo-1-5", "not even after the release was forgotten");
}

#[tokio::test]
async fn when_none_is_ready_those_that_were_still_serve() {
    let site = Site::new();
    let platform = site.open();
    let sick = site.path().join("sick");
    let release = release(1, &["--sick-file", sick.to_str().unwrap()]);
    let want = running(&release, 2);
    settle(&platform, &want).await;
    std::fs::write(&sick, "").unwrap();
    let have = until(&platform, &want, |have, _| have.seen(ONE).ready == 0).await;
    assert_eq!(have.serving_instances(ONE).len(), 2);
    let trouble = have.seen(ONE).trouble.join("\n");
    assert!(trouble.contains("status 503") && !trouble.contains('\x1b'), "{trouble}");
    std::fs::remove_file(&sick).unwrap();
    settle(&platform, &want).await;
}

#[tokio::test]
async fn changed_resolves_for_an_exit_and_for_nothing_else() {
    let site = Site::new();
    let platform = site.open();
    let have = settle(&platform, &running(&release(1, &[]), 1)).await;
    let quiet = std::time::Duration::from_millis(150);
    assert!(tokio::time::timeout(quiet, platform.changed(have.change)).await.is_err());
    kill(have.instances[0].pid.unwrap(), Signal::KILL);
    tokio::time::timeout(common::PATIENCE, platform.changed(have.change)).await.unwrap();
    // It happened before this call, and is not missed.
    tokio::time::timeout(quiet, platform.changed(have.change)).await.unwrap();
    let seen = platform.look(&app()).await.unwrap().seen(ONE);
    assert_eq!((seen.existing, seen.crashes), (0, 1));
    assert!(seen.trouble[0].contains("was killed (SIGKILL"), "{seen:?}");
}
