//! Secrets of instances: where they are looked up, who gets them, and where they are not.
//!
//! How they are read from the configuration is not tried here.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{Site, app, kill, record, release, running, settle, until};
use drivers::platform::process::{Process, Surroundings, find_program};
use model::{AppName, Release, ReleaseId, Secret, Variable};
use rustix::process::Signal;

const ONE: ReleaseId = ReleaseId(1);

fn with_token(mut release: Release, value: &str) -> Release {
    let secret = Secret::new(release.owner("TOKEN"), "SHOP_TOKEN", value.as_bytes());
    release.environment.insert("TOKEN".into(), Variable::Secret(secret));
    release
}

fn surroundings(variables: &[(&str, &str)]) -> Surroundings {
    Surroundings::of(variables.iter().map(|(name, value)| (name.into(), value.into())))
}

fn open(site: &Site, surroundings: Surroundings) -> Process {
    Process::open_within(&site.path(), surroundings).unwrap()
}

fn environment(pid: Option<u32>) -> Vec<String> {
    let text = std::fs::read(format!("/proc/{}/environ", pid.unwrap())).unwrap();
    String::from_utf8(text).unwrap().split('\0').map(str::to_owned).collect()
}

fn has(pid: Option<u32>, entry: &str) -> bool {
    environment(pid).iter().any(|text| text == entry)
}

#[tokio::test]
async fn an_instance_gets_the_secret_and_the_records_do_not() {
    let site = Site::new();
    let platform = open(&site, surroundings(&[("SHOP_TOKEN", "hush-7"), ("LANG", "C")]));
    let have = settle(&platform, &running(&with_token(release(1, &[]), "hush-7"), 1)).await;
    let pid = have.instances[0].pid;
    assert!(has(pid, "TOKEN=hush-7") && has(pid, "LANG=C"), "{:?}", environment(pid));
    let record = record(&site).to_string();
    assert!(record.contains("SHOP_TOKEN") && !record.contains("hush-7"), "{record}");
    let shown = format!("{platform:?}");
    assert!(shown.contains("SHOP_TOKEN") && !shown.contains("hush-7"), "{shown}");
}

#[tokio::test]
async fn what_is_reserved_for_one_app_is_not_inherited_by_another() {
    let site = Site::new();
    let apps = |name: &str| BTreeSet::from([AppName::new(name).unwrap()]);
    let reserved = BTreeMap::from([
        ("SHOP_TOKEN".to_owned(), apps("shop")),
        ("OUR_TOKEN".to_owned(), apps(app().as_str())),
    ]);
    let ours = surroundings(&[("SHOP_TOKEN", "theirs"), ("OUR_TOKEN", "ours"), ("LANG", "C")]);
    let platform = open(&site, ours.reserving(reserved));
    let have = settle(&platform, &running(&release(1, &[]), 1)).await;
    let pid = have.instances[0].pid;
    assert!(has(pid, "LANG=C") && has(pid, "OUR_TOKEN=ours"), "{:?}", environment(pid));
    assert!(!has(pid, "SHOP_TOKEN=theirs"), "{:?}", environment(pid));
}

#[tokio::test]
async fn without_its_secret_an_instance_is_not_started_and_says_what_is_missing() {
    let site = Site::new();
    let want = running(&with_token(release(1, &[]), "hush-7"), 1);
    let have = settle(&open(&site, surroundings(&[("SHOP_TOKEN", "hush-7")])), &want).await;
    let first = have.instances[0].pid.unwrap();
    // Another controller, without the variable: the living instance is its own business.
    let platform = open(&site, surroundings(&[]));
    let have = settle(&platform, &want).await;
    assert_eq!(have.instances[0].pid, Some(first));
    kill(first, Signal::KILL);
    let have = until(&platform, &want, |have, _| have.seen(ONE).crashes >= 2).await;
    let trouble = have.seen(ONE).trouble.join("\n");
    for words in [
        "the variable SHOP_TOKEN, which `TOKEN` of demo v1 (release #1) is taken from, is not set",
        "help: set SHOP_TOKEN where `cutover up` is started, then start it again",
    ] {
        assert!(trouble.contains(words), "{trouble}");
    }
    assert!(site.living().is_empty());
}

#[tokio::test]
async fn a_secret_that_was_changed_is_given_as_it_is_now() {
    let site = Site::new();
    let platform = open(&site, surroundings(&[("SHOP_TOKEN", "hush-8")]));
    let have = settle(&platform, &running(&with_token(release(1, &[]), "hush-7"), 1)).await;
    assert!(has(have.instances[0].pid, "TOKEN=hush-8"));
    assert!(have.seen(ONE).trouble.is_empty());
}

#[test]
fn a_path_that_is_only_named_is_not_shown() {
    let mut lost = release(1, &[]);
    lost.command = vec!["no-such-program".into()];
    let secret = Secret::new(lost.owner("PATH"), "CARGO_MANIFEST_DIR", b"");
    lost.environment.insert("PATH".into(), Variable::Secret(secret));
    let what = find_program(&lost).unwrap_err().what;
    assert_eq!(what, "`no-such-program` was not found (looked in PATH: its value is not shown)");
}
