//! The access log as a file: moved away, at the end of the process, and on a disk that does nothing or is full. No line
//! is lost without being counted, and no request waits for one.
//!
//! What lines say is in `access_log`.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use model::Hold;
use model::admin::{AccessLog, LogFormat, Observation, Request};
use serde_json::Value;

use crate::access_log::{lines, log_to, logged, objects, of};
use crate::asking::{Metrics, ask};
use crate::backend::{Backend, Then};
use crate::framed::{Raw, head};
use crate::stage::{pool, retiring, wait_until};

/// As logrotate does it: renamed, and opened anew by itself or on SIGUSR1.
#[test]
fn a_log_that_was_moved_away_is_begun_anew_without_losing_a_line() {
    let backend = Backend::named("demo-1-1");
    let (stage, directory, path) = logged(&[&backend]);
    let mut client = stage.client();
    client.get("/1").unwrap();
    lines(&path, 1);
    let moved = directory.path().join("access.log.1");
    std::fs::rename(&path, &moved).unwrap();
    client.get("/2").unwrap();
    assert_eq!(of(&objects(&path, 1), "/2")["status"], 200);
    std::fs::rename(&path, directory.path().join("access.log.2")).unwrap();
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR1)
        .unwrap();
    wait_until("the path is opened anew", || path.exists());
    client.get("/3").unwrap();
    assert_eq!(of(&objects(&path, 1), "/3")["status"], 200);
    assert_eq!(of(&objects(&moved, 1), "/1")["status"], 200);
}

/// What was answered before the end of the process is in the log when it has ended.
#[test]
fn the_last_lines_are_written_before_the_process_ends() {
    let backend = Backend::named("demo-1-1");
    let (mut stage, _directory, path) = logged(&[&backend]);
    let mut client = stage.client();
    for n in 0..50 {
        client.get(&format!("/{n}")).unwrap();
    }
    drop(client);
    stage.stop(5_000);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 50);
    for line in text.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
}

/// What is cut because the time to finish is over has its line, too, whatever it was doing.
#[test]
fn what_is_open_when_the_time_of_a_stop_is_over_is_written_down() {
    let backend = Backend::scripted("demo-1-1", |peer, head| {
        match head.split(' ').nth(1).unwrap_or("") {
            "/begun" => peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234"),
            "/tunnel" => peer.say(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhi",
            ),
            _ => {}
        }
        // Until the proxy goes.
        let _ = peer.stream.read(&mut [0]);
        Then::Close
    });
    let (mut stage, _directory, path) = logged(&[&backend]);
    let asks = |path: &str, more: &str| {
        let mut client = stage.client();
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n"));
        client
    };
    let _silent = asks("/silent", "");
    let mut begun = asks("/begun", "");
    begun.head().unwrap();
    assert_eq!(begun.take(4).unwrap(), "1234");
    let mut tunnel = asks("/tunnel", "Connection: Upgrade\r\nUpgrade: x\r\n");
    tunnel.head().unwrap();
    assert_eq!(tunnel.take(2).unwrap(), "hi");
    let mut framed = Raw::to(stage.address);
    let fields =
        [(":method", "GET"), (":scheme", "http"), (":path", "/framed"), (":authority", "a")];
    framed.frame(1, 5, 1, &head(&fields)).unwrap();
    wait_until("they are there", || backend.hits() == 4);
    let _body = asks("/body", "Content-Length: 10\r\n\r\nab");
    let hold = Hold { wait_ms: 20_000, requests: 10, bytes: 1 << 20 };
    let _held = {
        let pools = vec![retiring(pool(1, 0, &[&backend]))];
        stage.hold(pools, hold);
        let mut client = stage.client();
        client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
        client
    };
    wait_until("it waits", || stage.admin.app().held.now == 1);
    stage.stop(1_000);
    assert!(begun.take(1).is_err(), "it was cut");
    let lines = objects(&path, 6);
    for (path, status, instance, bytes) in [
        ("/silent", 0, Some("demo-1-1"), (0, 0)),
        ("/begun", 200, Some("demo-1-1"), (0, 4)),
        ("/tunnel", 101, Some("demo-1-1"), (0, 2)),
        ("/framed", 0, Some("demo-1-1"), (0, 0)),
        ("/body", 0, None, (4, 0)),
        ("/held", 0, None, (0, 0)),
    ] {
        let line = of(&lines, path);
        assert_eq!((&line["error"], &line["app"]), (&"stopped".into(), &"demo".into()), "{line}");
        assert_eq!((&line["status"], &line["instance"]), (&status.into(), &instance.into()));
        assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&bytes.0.into(), &bytes.1.into()));
        assert_eq!(line["open_ms"].is_null(), path != "/tunnel", "{line}");
    }
}

/// Nobody reads the pipe: requests go on, what does not fit is dropped, and every line is accounted
/// for.
#[test]
fn a_disk_that_does_nothing_costs_lines_and_no_request() {
    let backend = Backend::named("demo-1-1");
    let (mut stage, directory, _) = logged(&[&backend]);
    let pipe = directory.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
        .unwrap();
    let refused = stage.admin.refused(&Request::Observe {
        observation: Observation {
            access_log: Some(AccessLog {
                path: pipe.clone(),
                format: LogFormat::Json,
                query: true,
            }),
            metrics: None,
        },
    });
    assert!(refused.what.contains("pipe"), "nobody reads it at all: {}", refused.what);
    let reader = rustix::fs::open(
        &pipe,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    log_to(&mut stage, &pipe, LogFormat::Json, true);
    let mut client = stage.client();
    // Far more than pipe, queue and buffers hold.
    let target = format!("/{}", "x".repeat(16_500));
    let mut longest = Duration::ZERO;
    for _ in 0..340 {
        let began = Instant::now();
        assert_eq!(client.get(&target).unwrap().status, 200);
        longest = longest.max(began.elapsed());
    }
    assert!(longest < Duration::from_secs(2), "a request waited for {longest:?}");
    let metrics = Metrics::of(&ask(&stage.socket, ""));
    let dropped = metrics.value("cutover_log_lines_dropped_total", &[]);
    assert!((20..340).contains(&dropped), "{dropped}");
    // The reader goes: the rest fails, and is counted too.
    drop(reader);
    wait_until("every line is accounted for", || {
        let metrics = Metrics::of(&ask(&stage.socket, ""));
        let sum = metrics.value("cutover_log_lines_dropped_total", &[])
            + metrics.value("cutover_log_lines_total", &[]);
        sum == 340
    });
}

#[test]
fn a_full_disk_is_counted_and_a_file_that_cannot_be_is_refused() {
    let backend = Backend::named("demo-1-1");
    let (mut stage, directory, path) = logged(&[&backend]);
    log_to(&mut stage, Path::new("/dev/full"), LogFormat::Json, true);
    assert_eq!(stage.client().get("/").unwrap().status, 200);
    wait_until("the line is counted as dropped", || {
        let metrics = Metrics::of(&ask(&stage.socket, ""));
        metrics.value("cutover_log_lines_dropped_total", &[]) > 0
    });
    let nowhere = directory.path().join("no/such/folder.log");
    log_to(&mut stage, &path, LogFormat::Json, true);
    let access_log = Some(AccessLog { path: nowhere, format: LogFormat::Json, query: true });
    let observation = Observation { access_log, metrics: None };
    let fault = stage.admin.refused(&Request::Observe { observation });
    assert!(fault.what.contains("no/such/folder.log"), "{}", fault.what);
    stage.client().get("/still").unwrap();
    assert_eq!(of(&objects(&path, 1), "/still")["status"], 200, "the old one is kept");
}
