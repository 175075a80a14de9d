//! Hooks called for real: what they are told, how they end, and what is left of those before.
//!
//! When one is due, and what its failure does, is not tried here: that is the machine's.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use drivers::platform::process::Surroundings;
use model::{AppName, Call, Event, Hook, Moment, OnFailure, Release, Variable, Weight};
use rollout::{Settings, Strategy};

use super::super::bus::{Bus, Notice};
use super::super::voice::Voice;
use super::super::{sample_release, sample_tools};
use super::{Hooks, Ring, end_what_is_left, facts};
use crate::store::refusing::Refusing;

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
            step: None,
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

#[test]
fn one_of_a_step_is_told_which_and_what_share_that_is() {
    let folder = tempfile::tempdir().unwrap();
    let tools = sample_tools::tools(folder.path());
    let (steps, step_ms) = (vec![Weight::new(2_500).unwrap()], 1_000);
    let strategy = Strategy::Canary { steps, step_ms, counts: Vec::new() };
    let active = sample_tools::shipping(&tools, Settings { strategy, ..Settings::default() });
    let plain = ring(folder.path(), "", 0).hook;
    assert!(!facts(&active, &plain).contains_key("step"));
    let of = |step| {
        let (name, moment, step) = (format!("smoke/{step}"), Moment::AfterStep, Some(step));
        let told = facts(&active, &Hook { name, moment, step, ..plain.clone() });
        ["hook", "when", "phase", "step", "share"].map(|name| told[name].clone())
    };
    assert_eq!(of(1), ["smoke", "after", "step", "1", "25.00%"]);
    assert_eq!(of(2), ["smoke", "after", "step", "2", "100.00%"]);
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

#[tokio::test]
async fn a_hook_whose_end_the_journal_refused_is_not_called_again_and_has_passed() {
    let folder = tempfile::tempdir().unwrap();
    let tools = sample_tools::tools(folder.path());
    let hook = ring(folder.path(), "echo x >> calls", 0).hook;
    let hooks = vec![Hook { once: true, ..hook }];
    let settings = Settings { preview_requests: 0, hooks, ..Settings::default() };
    let mut active = sample_tools::shipping(&tools, settings);
    let bus = Arc::new(Bus::new());
    let voice = Voice::new(AppName::new("shop").unwrap(), Arc::clone(&bus));
    let (_, mut heard) = bus.listen();
    let candidate = release(folder.path());
    let mut hooks = Hooks::default();
    let mut turn = async |hooks: &mut Hooks| {
        hooks.gather((&tools, &voice), &mut active, Some(&candidate)).await.is_ok()
    };
    assert!(turn(&mut hooks).await, "it is called");
    let called = async {
        while !hooks.running.as_ref().unwrap().task.is_finished() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), called).await.unwrap();
    let refusing = Refusing::journal(folder.path());
    assert!(!turn(&mut hooks).await && !turn(&mut hooks).await);
    drop(refusing);
    let refusing = Refusing::events(folder.path());
    assert!(!turn(&mut hooks).await && !turn(&mut hooks).await);
    drop(refusing);
    assert!(turn(&mut hooks).await);
    assert!(active.wants().hook.is_none() && !active.machine().turns_back());
    let ends = tools.store.events(active.run().id, 0).unwrap();
    let ended = |event: &Event| matches!(event, Event::HookEnded { passed: true, .. });
    assert_eq!(ends.iter().filter(|(_, event)| ended(event)).count(), 1, "{ends:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("calls")).unwrap(), "x\n");
    let mut said = 0;
    while let Ok(notice) = heard.try_recv() {
        said += usize::from(matches!(notice, Notice::Hook(_)));
    }
    assert_eq!(said, 2, "that it begins, and that it has ended");
}
