//! A state directory on a disk that is full: what serves goes on, and what must be ended can be.
//!
//! The disk is a small one in memory. Where mounting is not permitted the test says so and is skipped.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::traffic::get;
use crate::world::{World, beside, patient_config, wait_for};

/// A file system in memory, unmounted when it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// Of so many MiB; `None` where that is not permitted.
    fn mounted(path: &Path, mib: u32) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let size = format!("size={mib}m,mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path);
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !mounted {
            aside::say("skipped: nothing can be mounted here");
        }
        mounted.then(|| Self(path.to_owned()))
    }

    /// Writes until nothing more can be written.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there is about to end.
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A deploy that waits for a person.
fn paused(world: &World, version: &str) -> Child {
    let mut command = world.command(&["deploy", "demo", version]);
    let deploy = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("a pause", 20, || {
        let status = world.status()?;
        (status["apps"][0]["coarse"] == "Paused").then_some(())
    });
    deploy
}

#[test]
fn on_a_full_disk_users_are_served_and_a_rollout_is_undone() {
    let _turn = beside();
    let own = "bake = \"300ms\"\npause = \"manual\"\npreview_requests = 0";
    let config = patient_config(1).replace("bake = \"1500ms\"\npreview_requests = 10", own);
    let mut world = World::new(&config.replace("rate = 100", "enabled = false"));
    let Some(disk) = Disk::mounted(&world.state(), 16) else { return };
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let mut deploy = paused(&world, "v2");
    wait_for("space set aside", 20, || world.state().join("ballast").exists().then_some(()));
    disk.fill();
    let answer = get(world.port, "a", "/").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    world.expect(0, &["abort", "demo"]);
    let code = wait_for("the end of the rollout", 40, || deploy.try_wait().unwrap());
    assert_eq!(code.code(), Some(4), "{}", world.said());
    wait_for("v2 has ended", 10, || (world.running().len() == 1).then_some(()));
    assert_eq!(world.status().unwrap()["apps"][0]["stable"], "v1");
    assert!(!world.state().join("ballast").exists(), "it was not needed: the test shows nothing");
    // There is room again: space is set aside again, and a deploy goes through.
    std::fs::remove_file(world.state().join("filler")).unwrap();
    wait_for("space set aside", 20, || world.state().join("ballast").exists().then_some(()));
    let mut deploy = paused(&world, "v3");
    world.expect(0, &["promote", "demo"]);
    let code = wait_for("the end of the rollout", 40, || deploy.try_wait().unwrap());
    assert_eq!(code.code(), Some(0), "{}", world.said());
    world.expect(0, &["down"]);
    drop(disk);
}

/// The number of the controller that serves; each has another one.
fn epoch(world: &World) -> u64 {
    world.status().unwrap()["epoch"].as_u64().unwrap()
}

/// A database cannot even be opened without room for the files beside it.
#[test]
fn up_starts_on_a_full_disk_and_no_two_have_the_same_epoch() {
    let _turn = beside();
    let mut world = World::new(&patient_config(1).replace("rate = 100", "enabled = false"));
    let Some(disk) = Disk::mounted(&world.state(), 16) else { return };
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let mut epochs = vec![epoch(&world)];
    wait_for("space set aside", 20, || world.state().join("ballast").exists().then_some(()));
    world.expect(0, &["down"]);
    world.ended_up();
    disk.fill();
    world.up();
    assert!(!world.state().join("ballast").exists(), "it was not needed: the test shows nothing");
    wait_for("v1 answers", 20, || {
        get(world.port, "a", "/").ok().filter(|answer| answer.starts_with("HTTP/1.1 200")).map(drop)
    });
    epochs.push(epoch(&world));
    // Nothing is set aside any more. Who cannot write down that it begins does not begin.
    for _ in 0..3 {
        disk.fill();
        world.kill_up();
        world.launch();
        let served = wait_for("it serves, or says that it cannot", 20, || {
            world.status().map(|_| true).or_else(|| world.is_gone().then_some(false))
        });
        if served {
            epochs.push(epoch(&world));
        } else {
            let log = world.said();
            assert!(log.contains("the state database failed"), "{log}");
        }
    }
    let all = epochs.len();
    epochs.dedup();
    assert_eq!(epochs.len(), all, "{epochs:?}");
    std::fs::remove_file(world.state().join("filler")).unwrap();
    if world.status().is_none() {
        world.up();
    }
    world.expect(0, &["down"]);
    drop(disk);
}
