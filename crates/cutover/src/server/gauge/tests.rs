//! Measurements of real programs, and what values mean. A Prometheus is not asked here, but in
//! `prometheus`.

use std::time::{Duration, Instant};

use model::Measured;
use rollout::Unmeasured;

use super::{Versions, figure, judge, measure};
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let versions = Versions {
        app: "shop".to_owned(),
        candidate: "v2".to_owned(),
        stable: "v1".to_owned(),
        directory: directory.path().to_owned(),
    };
    runtime.block_on(measure(metric, &versions))
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
    assert!(words.contains("could not be started"), "{words}");
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
