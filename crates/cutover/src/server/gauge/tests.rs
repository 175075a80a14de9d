//! Measurements of real programs, and what values mean. A Prometheus is not asked here, but in
//! `prometheus`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drivers::platform::process::Surroundings;
use model::{AppName, Measured, Release, Secret, Variable};
use rollout::Unmeasured;

use super::super::sample_release;
use super::{Subject, figure, judge, measure};
use crate::config::{Asked, MetricConfig};

fn metric(script: &str, limits: (Option<f64>, Option<f64>)) -> MetricConfig {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    MetricConfig {
        name: "queue".to_owned(),
        asked: Asked::Command(command),
        min: limits.0,
        max: limits.1,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(5),
        failures: 1,
        no_data: Unmeasured::Pause,
        at: Vec::new(),
    }
}

fn ask(metric: &MetricConfig) -> (Measured, String) {
    let folder = tempfile::tempdir().unwrap();
    ask_about(metric, release(folder.path()), Surroundings::own())
}

fn release(folder: &Path) -> Release {
    Release { directory: folder.display().to_string(), ..sample_release::release("shop", 2) }
}

fn ask_about(
    metric: &MetricConfig,
    candidate: Release,
    surroundings: Surroundings,
) -> (Measured, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let surroundings = Arc::new(surroundings);
    let subject = Subject { candidate, stable: "v1".to_owned(), surroundings };
    runtime.block_on(measure(metric, &subject))
}

#[test]
fn a_program_says_a_number_or_whether_all_is_well() {
    let value = |script| ask(&metric(script, (None, Some(2.5))));
    assert_eq!(
        value("echo noise; echo 2.5"),
        (Measured::Within, "queue is 2.5, at most 2.5".into())
    );
    assert_eq!(value("echo 2.6"), (Measured::Beyond, "queue is 2.6, more than 2.5".into()));
    let (found, words) = value("echo many");
    assert_eq!((found, &*words), (Measured::Unknown, "queue: its last line is no number: many"));
    assert_eq!(value("true"), (Measured::Unknown, "queue: it printed nothing".into()));
    let (found, words) = value("echo 1; exit 3");
    assert_eq!(found, Measured::Unknown, "{words}");
    let well = |script| ask(&metric(script, (None, None)));
    assert_eq!(well("exit 0").0, Measured::Within);
    let (found, words) = well("echo queue full; exit 1");
    assert_eq!(found, Measured::Beyond);
    assert!(words.starts_with("queue: status 1 in ") && words.ends_with(": queue full"), "{words}");
}

#[test]
fn a_program_knows_the_versions_and_is_started_where_the_app_is() {
    let said = |script| ask(&metric(script, (None, None))).1;
    assert!(
        said("echo {version} after {stable} of $APP; exit 1").ends_with(": v2 after v1 of shop")
    );
    assert!(said("echo $VERSION $STABLE; exit 1").ends_with(": v2 v1"));
}

#[test]
fn a_program_has_the_environment_of_its_app_and_no_secret_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut candidate = release(folder.path());
    let secret = Secret::new(candidate.owner("TOKEN"), "SHOP_TOKEN", b"hush");
    candidate.environment = BTreeMap::from([
        ("TOKEN".to_owned(), Variable::Secret(secret)),
        ("LOG".to_owned(), Variable::from("info")),
    ]);
    let around = |shop: Option<&str>| {
        let path = std::env::var_os("PATH").unwrap();
        let shop = shop.map(|value| ("SHOP_TOKEN", OsString::from(value)));
        let ours = [("PATH", path), ("CHAT_TOKEN", "ours".into()), ("BANK_TOKEN", "bank's".into())];
        let variables = ours.into_iter().chain(shop);
        let only = |apps: &[&str]| -> BTreeSet<AppName> {
            apps.iter().map(|app| AppName::new(*app).unwrap()).collect()
        };
        let reserved = [("CHAT_TOKEN", only(&[])), ("BANK_TOKEN", only(&["bank"]))];
        Surroundings::of(variables.map(|(name, value)| (name.into(), value)))
            .reserving(reserved.map(|(name, apps)| (name.to_owned(), apps)).into())
    };
    // The last one is in the environment of this test.
    let script = "echo $TOKEN $LOG $PWD ${CHAT_TOKEN-no} ${BANK_TOKEN-no} ${HOME-no}";
    let tells = metric(script, (None, None));
    let (found, words) = ask_about(&tells, candidate.clone(), around(Some("hush")));
    assert_eq!(found, Measured::Within, "{words}");
    let at = folder.path().display();
    assert!(words.ends_with(&format!(": hush info {at} no no no")), "{words}");
    let (found, words) = ask_about(&tells, candidate, around(None));
    assert_eq!(found, Measured::Unknown);
    assert!(words.contains("the variable SHOP_TOKEN, which `TOKEN` of shop v2"), "{words}");
}

#[test]
fn a_program_that_does_not_end_or_does_not_exist_says_nothing() {
    let slow =
        MetricConfig { timeout: Duration::from_millis(200), ..metric("sleep 60", (None, None)) };
    let begun = Instant::now();
    let (found, words) = ask(&slow);
    assert_eq!(found, Measured::Unknown, "{words}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{words}");
    let asked = Asked::Command(vec!["./no-such-program".to_owned()]);
    let (found, words) = ask(&MetricConfig { asked, ..metric("", (None, None)) });
    assert_eq!(found, Measured::Unknown);
    assert!(words.starts_with("queue: `./no-such-program` was not found (looked in "), "{words}");
    assert!(words.ends_with("(build it, or correct `command` or `directory`)"), "{words}");
}

#[test]
fn of_several_values_the_worst_counts() {
    let limits = metric("", (Some(1.0), Some(5.0)));
    let found = |values: &[f64]| judge(&limits, values);
    assert_eq!(found(&[1.0, 5.0]).0, Measured::Within);
    assert_eq!(found(&[3.0]).1, "queue is 3, at least 1 and at most 5");
    assert_eq!(found(&[2.0, 5.1]), (Measured::Beyond, "queue is 5.1, more than 5".into()));
    assert_eq!(found(&[2.0, 0.5]), (Measured::Beyond, "queue is 0.5, less than 1".into()));
    assert_eq!(found(&[f64::INFINITY]).0, Measured::Beyond);
    assert_eq!(found(&[2.0, f64::NAN]).0, Measured::Unknown);
    assert_eq!(found(&[]).0, Measured::Unknown);
}

#[test]
fn figures_are_short() {
    let shown = [0.0, 3.0, 0.5, 0.123_456, 1_000_000.0, 0.000_012].map(figure);
    assert_eq!(shown, ["0", "3", "0.5", "0.1235", "1000000", "1.200e-5"]);
}
