//! Hooks called for real: what they are told, how they end, and what is left of those before.
//!
//! When one is due, and what its failure does, is not tried here: that is the machine's.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use drivers::platform::process::Surroundings;
use model::{Call, Hook, Moment, OnFailure, Release, Variable};

use super::super::sample_release;
use super::{Ring, end_what_is_left};

fn release(folder: &Path) -> Release {
    Release {
        command: vec!["/bin/sh".to_owned()],
        directory: folder.display().to_string(),
        environment: BTreeMap::from([("DATABASE".to_owned(), Variable::from("db"))]),
        ..sample_release::release("shop", 2)
    }
}

fn ring(folder: &Path, script: &str, retries: u32) -> Ring {
    Ring {
        hook: Hook {
            name: "smoke".to_owned(),
            moment: Moment::BeforeSwitch,
            call: Call::Program(["sh", "-c", script].map(str::to_owned).to_vec()),
            timeout_ms: 20_000,
            retries,
            on_failure: OnFailure::Abort,
            once: false,
            rollback: false,
        },
        release: release(folder),
        facts: BTreeMap::from([("app", "shop".to_owned()), ("to", "v2".to_owned())]),
        key: format!("run/{}", folder.display()),
        surroundings: Arc::new(Surroundings::own()),
        log: folder.join("run/hooks.log"),
    }
}

#[tokio::test]
async fn a_program_is_told_what_it_is_about_and_what_it_writes_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        "echo $CUTOVER_APP $CUTOVER_TO $VERSION $DATABASE $CUTOVER_ATTEMPT $PWD; echo $CUTOVER_KEY";
    let ring = ring(folder.path(), script, 0);
    let (passed, words) = ring.attempts().await;
    let at = folder.path().display().to_string();
    assert!(passed && words.starts_with("status 0 in "), "{words}");
    assert!(words.ends_with(&format!("\nshop v2 v2 db 1 {at}\nrun/{at}")), "{words}");
    let log = std::fs::read_to_string(&ring.log).unwrap();
    assert!(log.starts_with("--- smoke (before switch), attempt 1\nshop v2 v2 db 1 "), "{log}");
}

#[tokio::test]
async fn one_that_fails_is_tried_again_and_says_why_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let counts = "echo x >> tries; echo no database; test $(wc -l < tries) -ge 2";
    let (passed, words) = ring(folder.path(), counts, 1).attempts().await;
    assert!(passed, "{words}");
    let (passed, words) = ring(folder.path(), "echo no database; exit 7", 1).attempts().await;
    assert!(!passed && words.starts_with("status 7 in "), "{words}");
    assert!(words.ends_with("(attempt 2 of as many)\nno database"), "{words}");
    let mut late = ring(folder.path(), "echo waits; sleep 600", 0);
    late.hook.timeout_ms = 200;
    let (passed, words) = late.attempts().await;
    assert!(!passed && words.starts_with("did not end within 200 ms"), "{words}");
    let mut missing = ring(folder.path(), "", 0);
    missing.hook.call = Call::Program(vec!["./not-there".to_owned()]);
    let (passed, words) = missing.attempts().await;
    assert!(!passed && words.contains("`./not-there` was not found"), "{words}");
}

#[tokio::test]
async fn what_an_earlier_controller_called_is_ended_and_nobody_else_is() {
    let start = |key: &str| {
        let mut command = Command::new("sleep");
        command.arg("600").env("CUTOVER_KEY", key).stdin(Stdio::null());
        command.spawn().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let key = format!("run/{}", folder.path().display());
    let (mut ours, mut other) = (start(&key), start(&format!("{key}-other")));
    end_what_is_left(key).await;
    assert_eq!(ours.wait().unwrap().signal(), Some(9));
    assert!(other.try_wait().unwrap().is_none(), "another hook was ended");
    other.kill().unwrap();
    other.wait().unwrap();
}
