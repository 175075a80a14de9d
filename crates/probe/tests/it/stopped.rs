//! A prober that was itself stopped says so, and one that was killed leaves its samples.
//!
//! What a blind time means for a verdict is not said here, but in the report.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Act, Server, of, right};
use model::attempt::{Class, Lane};
use probe::samples::read;
use probe::{Options, Stop, Target, Told};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

/// What tells a child of this test that it is the prober: URL, seconds and sample file.
const CHILD: &str = "PROBE_TEST_CHILD";

/// This test's own binary as a prober at 200/s, in a process of its own.
fn prober(server: &Server, seconds: u64, file: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stopped::the_prober_in_the_child"])
        .env(CHILD, format!("{} {seconds} {}", server.url(), file.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs in the child only; in the test run itself it has nothing to do.
#[tokio::test]
async fn the_prober_in_the_child() {
    let Ok(words) = std::env::var(CHILD) else { return };
    let words: Vec<&str> = words.splitn(3, ' ').collect();
    let options = Options {
        lanes: vec![(Lane::KeepAlive, 0.5), (Lane::Fresh, 0.5)],
        stop: Stop::After { duration: Duration::from_secs(words[1].parse().unwrap()) },
        samples: Some(words[2].into()),
        ..Options::new(Target::parse(words[0]).unwrap(), 200)
    };
    let (_going, told) = watch::channel(Told::Go);
    probe::run(options, told, None).await.unwrap();
}

async fn asked(server: &Server, requests: usize) {
    let limit = Instant::now() + Duration::from_secs(5);
    while server.asked() < requests {
        assert!(Instant::now() < limit, "the prober does not send");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_stopped_prober_reports_a_blind_window_and_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.gz");
    let server = Server::start(|_| right("v1")).await;
    let mut child = prober(&server, 2, &file);
    let pid = Pid::from_child(&child);
    asked(&server, 100).await;
    kill_process(pid, Signal::STOP).unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    kill_process(pid, Signal::CONT).unwrap();
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert!(status.success());
    let run = read(&file).unwrap();
    let longest = run.blind.iter().max_by_key(|b| b.to_us - b.from_us).expect("a blind window");
    let length = longest.to_us - longest.from_us;
    assert!((350_000..700_000).contains(&length), "blind for {length} us");
    let missed = of(&run, Class::NotSent);
    assert!(missed.len() >= 60, "{} of about 75 were not sent", missed.len());
    let blind = |us: u64| run.blind.iter().any(|b| b.from_us <= us && us <= b.to_us);
    assert!(missed.iter().all(|attempt| blind(attempt.intended_us)), "{missed:?}");
    assert!(run.attempts.iter().all(|a| !a.class.failed()), "blamed on the target");
    assert_eq!(run.attempts.len(), 400);
    assert!(run.footer.unwrap().lateness_us[2] >= 350_000);
}

#[tokio::test]
async fn a_killed_prober_leaves_what_it_had_flushed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.gz");
    let server = Server::start(|_| right("v1")).await;
    let mut child = prober(&server, 30, &file);
    asked(&server, 450).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let run = read(&file).unwrap();
    assert_eq!(run.footer, None);
    assert!(run.attempts.len() >= 150, "{} attempts in the file", run.attempts.len());
}

/// Who does not want to wait has a record of all that has ended, and is told that there was more.
#[tokio::test]
async fn a_run_that_is_to_end_now_waits_for_nothing_in_flight() {
    // Twenty answers, and then none.
    let server = Server::start(|n| if n < 20 { right("v1") } else { Act::Hang }).await;
    let options = Options {
        lanes: vec![(Lane::KeepAlive, 0.5), (Lane::Fresh, 0.5)],
        stop: Stop::After { duration: Duration::from_mins(1) },
        timeout: Duration::from_mins(1),
        late_after: Duration::from_secs(10),
        ..Options::new(server.url(), 50)
    };
    let (tell, told) = watch::channel(Told::Go);
    let mut run = std::pin::pin!(probe::run(options, told, None));
    let wait = tokio::time::timeout(Duration::from_secs(8), &mut run);
    let asked = tokio::select! {
        _ = wait => false,
        () = asked(&server, 30) => true,
    };
    assert!(asked, "it ended by itself");
    tell.send_replace(Told::Stop);
    let early = tokio::time::timeout(Duration::from_millis(500), &mut run).await;
    assert!(early.is_err(), "it did not wait for what is in flight");
    tell.send_replace(Told::Now);
    let run = tokio::time::timeout(Duration::from_secs(10), run).await.expect("it waited").unwrap();
    let footer = run.footer.as_ref().unwrap();
    assert_eq!(of(&run, Class::Ok).len(), 20, "{:#?}", run.attempts);
    assert!(run.attempts.iter().all(|attempt| !attempt.class.failed()), "{:#?}", run.attempts);
    assert_eq!(footer.planned, footer.sent + footer.not_sent);
    assert!(footer.sent >= 30, "{footer:?}");
}
