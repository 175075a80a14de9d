//! The picture of a probe at several sizes, its metrics, and both against a hostile server.
//!
//! The run itself is not tried here, but in the crate `probe`; a real terminal end to end in `full_screen` and
//! `telling`.

mod telling;

use std::time::Duration;

use ::probe::{Beat, Stop};
use model::attempt::RunHeader;
use model::{Attempt, Class, Lane, Tally, Window};
use proxy::exposition::Dialect;

use super::asked::Asked;
use super::picture::lines;
use super::sums::Sums;
use super::told::metrics;

fn asked(stop: Stop) -> Asked {
    Asked { url: "http://127.0.0.1:8080/datetime".to_owned(), rate: 200, stop, began_unix_ms: 0 }
}

fn header() -> RunHeader {
    RunHeader {
        schema_version: 2,
        url: String::new(),
        t0_mono_ns: 0,
        t0_unix_ms: 0,
        rate: 200,
        lanes: vec![(Lane::KeepAlive, 100.0), (Lane::Fresh, 50.0), (Lane::Upload, 50.0)],
        clients: 0,
        lanes_not_run: vec![(Lane::Http2, "tried once: \u{1b}[2J".to_owned())],
        late_after_us: 1_000_000,
        timeout_us: 10_000_000,
    }
}

pub(super) fn attempt(version: Option<&str>, class: Class, at_us: u64) -> Attempt {
    Attempt {
        id: 7,
        lane: Lane::Fresh,
        class,
        intended_us: at_us,
        dispatched_us: at_us,
        connected_us: 0,
        sent_us: at_us,
        first_byte_us: 0,
        done_us: at_us,
        status: 0,
        connection: 1,
        bytes: 0,
        client: None,
        version: version.map(str::to_owned),
        witness: None,
        instance: None,
        detail: Some("connection reset by peer".to_owned()),
    }
}

/// A tenth of a second with so many answers of a version.
fn beat(at_us: u64, version: &str, n: u64) -> Beat {
    let window = Window { from_us: at_us - 100_000, to_us: at_us, ..Window::default() };
    let mut beat = Beat { window, ..Beat::default() };
    beat.window.by_version.insert(version.to_owned(), Tally { ok: n, ..Tally::default() });
    beat.counts.entry(version.to_owned()).or_default().insert((Lane::KeepAlive, Class::Ok), n);
    for _ in 0..n {
        beat.recent_us.push((Lane::KeepAlive, 1_500));
        beat.ttlb.entry(Lane::KeepAlive).or_default().add(1_500);
        beat.lateness.add(60);
    }
    beat
}

/// v1, then v2, with one failure at the switch.
fn switched() -> Sums {
    let mut sums = Sums::default();
    let mut first = beat(100_000, "v1", 20);
    first.header = Some(Box::new(header()));
    sums.add(first);
    for tenth in 2..=100 {
        let mut next = beat(tenth * 100_000, if tenth <= 50 { "v1" } else { "v2" }, 20);
        if tenth == 50 {
            next.failures.push(attempt(Some("v1"), Class::ResetBeforeBytes, 4_950_000));
            next.counts
                .entry("v1".to_owned())
                .or_default()
                .insert((Lane::Fresh, Class::ResetBeforeBytes), 1);
        }
        sums.add(next);
    }
    sums
}

fn drawn(sums: &Sums, stop: Stop, size: (usize, usize)) -> Vec<String> {
    let lines = lines(&asked(stop), sums, false, size);
    lines.into_iter().take(size.1).map(|line| line.cut(size.0).text(false)).collect()
}

#[test]
fn all_is_there_at_the_usual_size() {
    let settle = Duration::from_secs(9);
    let stop = Stop::AfterSwitch { settle, at_most: Duration::from_mins(30) };
    let text = drawn(&switched(), stop, (79, 24)).join("\n");
    for words in [
        "10s of 30m at most  http://127.0.0.1:8080/datetime",
        "2,001 sent  1 failed  0 in flight  200/s wanted",
        "switch       v2 answers; v1 silent for 5000 ms (until 9s)",
        "to last byte p50 1.5 ms  p90 1.5 ms  p99 1.5 ms  max 1.5 ms  in 10 s",
        "████████",
        "200/s     1,000 sent",
        "keep-alive       2,000       0    1.5 ms    1.5 ms",
        "fresh                1       1         –         –",
        "http2        not run: tried once: \\u{1b}[2J",
        "failed, newest first\n00:00:04.950Z fresh reset before bytes v1 connection reset by peer",
    ] {
        assert!(text.contains(words), "no `{words}` in\n{text}");
    }
}

#[test]
fn on_a_small_terminal_each_part_keeps_its_least() {
    let text = drawn(&switched(), Stop::WhenTold, (39, 8));
    assert!(text.len() <= 8 && text.iter().all(|line| line.chars().count() <= 39), "{text:#?}");
    let text = text.join("\n");
    assert!(text.contains("1 failed") && text.contains("fresh reset before"), "{text}");
    assert!(text.contains("v2"), "{text}");
    for (columns, rows) in [(0, 0), (1, 1), (3, 2), (12, 3), (500, 200)] {
        drawn(&switched(), Stop::WhenTold, (columns, rows));
    }
}

#[test]
fn a_server_with_many_odd_versions_fills_no_terminal_and_no_memory() {
    let mut sums = switched();
    for n in 0..64 {
        sums.add(beat(20_000_000, &format!("\u{1b}[31mv{n}\"}} 1\nevil"), 1));
    }
    for n in 0..1_000 {
        let mut failing = beat(21_000_000 + n, "v1", 20);
        failing.failures = vec![attempt(None, Class::Refused, n); 64];
        sums.add(failing);
    }
    assert!(sums.failures.len() <= 200 && sums.times(|_| true).len() <= 20_000);
    let text = drawn(&sums, Stop::WhenTold, (79, 24));
    assert!(text.len() <= 24 && text.join("").chars().all(|c| !c.is_control()), "{text:#?}");
    assert!(text.iter().any(|line| line.starts_with("keep-alive")), "{text:#?}");
    let told = metrics(Dialect::Prometheus, &sums);
    assert!(!told.contains("\nevil"), "{told}");
    assert!(told.lines().count() < 300, "{}", told.lines().count());
}

#[test]
fn metrics_tell_lanes_classes_versions_times_and_the_prober_itself() {
    let mut sums = switched();
    let mut next = beat(10_100_000, "v2", 1);
    next.counts.entry(String::new()).or_default().insert((Lane::Fresh, Class::NotSent), 3);
    next.blind = (2, 1_500_000);
    next.in_flight = 4;
    sums.add(next);
    let told = metrics(Dialect::Prometheus, &sums);
    for line in [
        r#"cutover_probe_attempts_total{lane="keep-alive",class="ok",version="v2"} 1001"#,
        r#"cutover_probe_attempts_total{lane="fresh",class="reset_before_bytes",version="v1"} 1"#,
        r#"cutover_probe_not_sent_total{lane="fresh"} 3"#,
        r#"cutover_probe_not_sent_total{lane="upload"} 0"#,
        "cutover_probe_in_flight 4",
        r#"cutover_probe_duration_seconds_bucket{lane="keep-alive",le="0.0025"} 2001"#,
        r#"cutover_probe_duration_seconds_count{lane="fresh"} 0"#,
        "cutover_probe_lateness_seconds_count 2001",
        "cutover_probe_blind_windows_total 2",
        "cutover_probe_blind_seconds_total 1.5",
        r#"cutover_probe_lane_running{lane="http2"} 0"#,
    ] {
        assert!(told.lines().any(|told| told == line), "no `{line}` in\n{told}");
    }
    assert!(metrics(Dialect::OpenMetrics, &sums).ends_with("# EOF\n"));
}
