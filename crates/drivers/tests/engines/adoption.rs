//! The controller dies and comes back: what it started is found again, and nobody else's process is
//! touched. Dropping a platform stands for the death: nothing of it is left but files and processes.

use crate::common;
use crate::common::{
    EPOCH, PATIENCE, Site, alive, app, edit, kill, pids, release, running, settle, until, want,
};
use drivers::platform::{Condition, FleetHave, FleetWant, InstanceHave, Platform};
use model::{Kind, ReleaseId, RunState};
use rustix::process::Signal;
use tokio::time::timeout;

const ONE: ReleaseId = ReleaseId(1);

/// A process that is not ours to signal; ended with the test.
struct Stranger(std::process::Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[tokio::test]
async fn living_instances_are_adopted_and_serve_at_once() {
    let site = Site::new();
    let want = running(&release(1, &[]), 2);
    let before = settle(&site.open(), &want).await;
    assert_eq!(site.living().len(), 2, "they live on");
    let platform = site.open();
    let first = platform.look(&app()).await.unwrap();
    assert_eq!(pids(&first), pids(&before));
    assert_eq!(first.serving_instances(ONE), before.serving_instances(ONE));
    assert_eq!(first.seen(ONE).ready, 0, "not judged yet");
    assert!(first.instances.iter().all(|i| i.condition == Condition::Adopted), "{first:?}");
    let after = settle(&platform, &want).await;
    assert_eq!((pids(&after), after.seen(ONE).ready), (pids(&before), 2));
    kill(after.instances[0].pid.unwrap(), Signal::KILL);
    timeout(PATIENCE, platform.changed(after.change)).await.expect("an adopted exit is seen");
    let replaced = until(&platform, &want, |have, ok| ok && have.seen(ONE).crashes == 1).await;
    assert_eq!(replaced.instances[1].id.0, "demo-1-3");
}

/// The file that makes an instance sick while it is there.
fn sick_file(site: &Site, instance: &InstanceHave) -> std::path::PathBuf {
    site.path().join(format!("sick-{}", instance.address.port()))
}

/// Two instances that can be made sick one by one; so many failures in a row count.
async fn two_that_may_be_sick(site: &Site, fall: u32) -> (FleetWant, FleetHave) {
    let file = site.path().join("sick-{port}");
    let mut release = release(1, &["--sick-file", file.to_str().unwrap()]);
    release.health.fall = fall;
    let want = running(&release, 2);
    let have = settle(&site.open(), &want).await;
    (want, have)
}

fn conditions(have: &FleetHave) -> Vec<Condition> {
    have.instances.iter().map(|one| one.condition).collect()
}

#[tokio::test]
async fn who_was_not_ready_is_not_taken_for_ready_by_the_next() {
    let site = Site::new();
    let (want, before) = two_that_may_be_sick(&site, 2).await;
    let sick = sick_file(&site, &before.instances[0]);
    std::fs::write(&sick, "").unwrap();
    until(&site.open(), &want, |have, _| {
        conditions(have) == [Condition::Unready, Condition::Ready]
    })
    .await;
    let platform = site.open();
    let first = platform.look(&app()).await.unwrap();
    assert_eq!(conditions(&first), [Condition::Unready, Condition::Adopted]);
    assert_eq!(first.serving_instances(ONE), before.serving_instances(ONE)[1..]);
    drop(platform);
    std::fs::remove_file(&sick).unwrap();
    let well = settle(&site.open(), &want).await;
    assert_eq!(well.serving_instances(ONE), before.serving_instances(ONE));
    let again = site.open().look(&app()).await.unwrap();
    assert_eq!(conditions(&again), [Condition::Adopted; 2], "it passed since");
}

/// What became sick while nobody looked; the row of failures that counts otherwise is longer than the test.
#[tokio::test]
async fn who_fails_the_first_check_gives_way_to_who_has_not_failed() {
    let site = Site::new();
    let (want, before) = two_that_may_be_sick(&site, 100_000).await;
    let sick = |n: usize| std::fs::write(sick_file(&site, &before.instances[n]), "").unwrap();
    sick(0);
    let platform = site.open();
    let first = platform.look(&app()).await.unwrap();
    assert_eq!(first.serving_instances(ONE).len(), 2, "nobody was asked yet");
    let doubted = until(&platform, &want, |have, _| {
        conditions(have) == [Condition::Doubted, Condition::Ready]
    })
    .await;
    assert_eq!(doubted.serving_instances(ONE), before.serving_instances(ONE)[1..]);
    assert!(doubted.unjudged(ONE), "neither ready nor not");
    drop(platform);
    sick(1);
    let platform = site.open();
    let both = until(&platform, &want, |have, _| conditions(have) == [Condition::Doubted; 2]).await;
    assert_eq!(both.serving_instances(ONE).len(), 2, "nobody better is there");
}

#[tokio::test]
async fn a_process_whose_pid_was_never_recorded_is_found() {
    let site = Site::new();
    let want = running(&release(1, &["--grandchild"]), 1);
    let before = settle(&site.open(), &want).await;
    edit(&site, |record| record["instances"][0]["process"] = serde_json::Value::Null);
    let platform = site.open();
    let found = platform.look(&app()).await.unwrap();
    assert_eq!(found.instances[0].condition, Condition::Found);
    assert_eq!(found.instances[0].pid, before.instances[0].pid, "the leader, not the grandchild");
    let after = settle(&platform, &want).await;
    assert_eq!(after.instances[0].pid, before.instances[0].pid);
    assert_eq!(after.instances.len(), 1, "no second one was started");
}

#[tokio::test]
async fn a_start_that_never_happened_is_forgotten_without_a_crash() {
    let site = Site::new();
    let want = running(&release(1, &[]), 1);
    let before = settle(&site.open(), &want).await;
    edit(&site, |record| {
        let mut entry = record["instances"][0].clone();
        entry["number"] = 99.into();
        entry["process"] = serde_json::Value::Null;
        record["instances"].as_array_mut().unwrap().push(entry);
        record["last_number"] = 99.into();
    });
    let platform = site.open();
    let after = settle(&platform, &want).await;
    assert_eq!(after.instances.len(), 1);
    assert_eq!(after.instances[0].pid, before.instances[0].pid);
    assert_eq!(after.seen(ONE).crashes, 0);
}

#[tokio::test]
async fn a_pid_that_is_somebody_elses_now_is_not_signalled() {
    let site = Site::new();
    let release = release(1, &[]);
    let before = settle(&site.open(), &running(&release, 1)).await;
    let pid = before.instances[0].pid.unwrap();
    // A process that carries no mark of ours, with its own group, under the recorded pid.
    let mut other = std::process::Command::new(common::stand_in());
    std::os::unix::process::CommandExt::process_group(&mut other, 0);
    let other = Stranger(other.arg("--never-listen").spawn().unwrap());
    edit(&site, |record| record["instances"][0]["process"]["pid"] = other.0.id().into());
    let platform = site.open();
    let have = platform.look(&app()).await.unwrap();
    assert_eq!(have.instances[0].condition, Condition::Ended);
    settle(&platform, &want(&[])).await;
    assert!(alive(other.0.id()), "a stranger was signalled");
    assert!(alive(pid), "not on record any more, so not ours to end");
}

#[tokio::test]
async fn another_boot_means_another_process() {
    let site = Site::new();
    let platform = site.open();
    let have = settle(&platform, &running(&release(1, &[]), 1)).await;
    drop(platform);
    edit(&site, |record| record["instances"][0]["process"]["boot"] = "before".into());
    let platform = site.open();
    assert_eq!(platform.look(&app()).await.unwrap().instances[0].condition, Condition::Ended);
    settle(&platform, &want(&[])).await;
    assert!(alive(have.instances[0].pid.unwrap()));
}

#[tokio::test]
async fn the_stop_timeout_goes_on_across_a_restart() {
    let site = Site::new();
    let stubborn = release(1, &["--ignore-term"]);
    let gone = want(&[(&stubborn, 0, RunState::Gone)]);
    {
        let platform = site.open();
        settle(&platform, &running(&stubborn, 1)).await;
        common::round(&platform, &gone).await;
    }
    let platform = site.open();
    let have = platform.look(&app()).await.unwrap();
    assert!(have.instances[0].told_at_ms.is_some(), "it is remembered that it was told");
    settle(&platform, &gone).await;
    assert_eq!(site.log("demo-1-1").matches("SIGTERM").count(), 1);
    assert!(site.living().is_empty());
}

#[tokio::test]
async fn no_step_is_taken_twice_or_by_an_older_controller() {
    let site = Site::new();
    let (platform, release) = (site.open(), release(1, &[]));
    let want = running(&release, 1);
    let have = platform.look(&app()).await.unwrap();
    let plan = platform.plan(&want, &have);
    platform.act(&plan.changes[0], EPOCH + 1).await.unwrap();
    let replayed = platform.act(&plan.changes[0], EPOCH + 1).await.unwrap_err();
    assert_eq!(replayed.kind, Kind::Conflict, "{replayed:?}");
    assert_eq!(site.living().len(), 1, "a replayed start starts nothing");
    let have = platform.look(&app()).await.unwrap();
    let stop = platform.plan(&common::want(&[]), &have);
    let older = platform.act(&stop.changes[0], EPOCH).await.unwrap_err();
    assert!(older.what.contains("epoch 2 is in charge"), "{older:?}");
    drop(platform);
    let other = site.open();
    assert!(other.act(&stop.changes[0], EPOCH).await.is_err(), "the epoch outlives the process");
    assert_eq!(site.living().len(), 1);
}

#[tokio::test]
async fn a_release_does_not_change_under_its_number() {
    let site = Site::new();
    let platform = site.open();
    settle(&platform, &running(&release(1, &[]), 1)).await;
    let other = running(&release(1, &["--delay", "1"]), 2);
    let have = platform.look(&app()).await.unwrap();
    let plan = platform.plan(&other, &have);
    let fault = platform.act(&plan.changes[0], EPOCH).await.unwrap_err();
    assert!(fault.what.contains("frozen"), "{fault:?}");
}
