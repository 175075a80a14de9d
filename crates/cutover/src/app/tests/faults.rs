//! Each fault does what its switch says, and no more.
//!
//! What the prober or the doctor makes of a fault is not tried here.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::server::Ended;
use super::{App, Client, Process, line_with, options, terminate};

#[tokio::test]
async fn ready_delay_shows_in_health_alone() {
    let app = App::start("--ready-delay 400ms").await;
    let health = app.get("/healthz").await;
    assert_eq!((health.status, health.json()["status"].as_str()), (503, Some("starting")));
    assert_eq!(app.get("/version").await.status, 200);
    let asked_since = Instant::now();
    while app.get("/healthz").await.status != 200 {
        assert!(asked_since.elapsed() < Duration::from_secs(5), "never ready");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(asked_since.elapsed() > Duration::from_millis(200));
}

#[tokio::test]
async fn a_sick_file_shows_in_health_alone_while_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sick");
    let app = App::start(&format!("--sick-file {}", file.display())).await;
    assert_eq!(app.get("/healthz").await.status, 200);
    std::fs::write(&file, "").unwrap();
    let health = app.get("/healthz").await;
    assert_eq!((health.status, health.json()["status"].as_str()), (503, Some("sick")));
    assert_eq!(app.get("/version").await.status, 200);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(app.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn the_share_of_errors_is_exact() {
    let app = App::start("--error-share 0.3").await;
    let mut client = app.client().await;
    let mut errors = 0;
    for _ in 0..100 {
        errors += u32::from(client.get("/datetime").await.status == 500);
        assert_eq!(client.get("/healthz").await.status, 200);
    }
    assert_eq!(errors, 30);
}

#[tokio::test]
async fn latency_is_added_to_business_answers() {
    let app = App::start("--latency 150ms").await;
    let mut client = app.client().await;
    let began = Instant::now();
    client.get("/version").await;
    assert!(began.elapsed() >= Duration::from_millis(150));
    let began = Instant::now();
    client.get("/healthz").await;
    assert!(began.elapsed() < Duration::from_millis(150));
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let app = App::start("--idle-close 200ms").await;
    let mut client = app.client().await;
    client.get("/version").await;
    assert_eq!(client.get("/slow?ms=500").await.status, 200, "busy is not idle");
    let idle_since = Instant::now();
    assert_eq!(client.rest().await.unwrap(), b"");
    assert!(idle_since.elapsed() >= Duration::from_millis(150), "{:?}", idle_since.elapsed());
    let mut never_used = app.client().await;
    assert_eq!(never_used.rest().await.unwrap(), b"");
}

#[tokio::test]
async fn without_the_fault_an_idle_connection_stays() {
    let app = App::start("").await;
    let mut client = app.client().await;
    client.get("/version").await;
    sleep(Duration::from_millis(700)).await;
    assert_eq!(client.get("/version").await.status, 200);
}

#[tokio::test]
async fn health_lies_while_everything_is_broken() {
    let app = App::start("--health-lies").await;
    for target in ["/", "/datetime", "/ws", "/slow?ms=1"] {
        assert_eq!(app.get(target).await.status, 500, "{target}");
    }
    assert_eq!(app.get("/healthz").await.status, 200);
    app.state.stop();
    assert_eq!(app.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn refusing_after_sigterm_finishes_what_is_open() {
    let app = App::start("--refuse-on-sigterm").await;
    let mut slow = app.client().await;
    slow.send("GET", "/slow?ms=300", b"").await;
    app.open_requests(1).await;
    app.state.stop();
    let refusal = app.get("/datetime").await;
    assert_eq!((refusal.status, refusal.header("retry-after")), (503, Some("1")));
    assert_eq!(slow.answer().await.status, 200);
    assert_eq!(app.ended().await, Ended::Quiet);
}

#[tokio::test]
async fn start_delay_comes_before_listening() {
    let began = Instant::now();
    let mut app = Process::start("--start-delay 400ms").await;
    assert!(began.elapsed() >= Duration::from_millis(400));
    app.terminate();
    app.says("stopped").await;
    assert!(app.exit().await.success());
}

#[tokio::test]
async fn ignoring_sigterm_changes_nothing_else() {
    let mut app = Process::start("--ignore-sigterm").await;
    app.terminate();
    app.says("SIGTERM ignored").await;
    let mut client = Client::connect(app.address).await;
    assert_eq!(client.get("/healthz").await.status, 200);
    assert_eq!(client.get("/version").await.header("connection"), None);
}

#[tokio::test]
async fn exiting_on_sigterm_cuts_what_is_open() {
    let app = Process::start("--exit-on-sigterm").await;
    let mut slow = Client::connect(app.address).await;
    slow.send("GET", "/slow?ms=30000", b"").await;
    Client::connect(app.address).await.get("/version").await;
    let told = Instant::now();
    app.terminate();
    assert!(app.exit().await.success());
    assert!(told.elapsed() < Duration::from_secs(2));
    assert!(slow.rest().await.unwrap_or_default().is_empty());
}

#[tokio::test]
async fn the_nth_answer_is_cut_in_half_and_the_process_is_gone() {
    for (target, whole) in [("/version", 37), ("/download?bytes=40000", 40_000)] {
        let app = Process::start("--die-mid-response 3").await;
        let mut client = Client::connect(app.address).await;
        for _ in 0..2 {
            assert_eq!(client.get(target).await.status, 200);
            assert_eq!(client.get("/healthz").await.status, 200, "it does not count");
        }
        client.send("GET", target, b"").await;
        let head = client.head().await;
        let length: usize = head.header("content-length").unwrap().parse().unwrap();
        assert_eq!((head.status, length), (200, whole));
        assert_eq!(client.rest().await.unwrap().len(), whole / 2);
        assert_eq!(app.exit().await.code(), Some(1));
    }
}

#[tokio::test]
async fn sigterm_during_the_start_delay_ends_it() {
    let (mut child, mut output) = Process::spawn("--start-delay 60s");
    // The handlers are there once the process has slept for a moment; until then SIGTERM kills it.
    let pid = child.id().unwrap();
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << 14) != 0
    };
    let since = Instant::now();
    while !caught() {
        assert!(since.elapsed() < super::SOON, "no handler");
        sleep(Duration::from_millis(5)).await;
    }
    terminate(&child);
    line_with(&mut output, "test result: ok").await;
    assert!(child.wait().await.unwrap().success());
}

#[test]
fn contradicting_switches_are_refused() {
    assert!(options("--ignore-sigterm --exit-on-sigterm").is_err());
    assert!(options("--die-mid-response 0").is_err());
    assert!(options("--refuse-on-sigterm").is_ok());
}
