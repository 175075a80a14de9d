//! While nobody speaks to the proxy it checks instances by itself.
//!
//! What a check asks, and what passes, is the crate `check`'s.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::fleet::HealthCheck;
use model::{ReleaseId, Spread, Watch};

use crate::asking;
use crate::backend::{Backend, Then};
use crate::stage::{Stage, pool};

/// An instance whose check at `/health` does as it is told, and how often it was asked.
fn instance(name: &'static str) -> (Backend, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (well, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (says, counts) = (Arc::clone(&well), Arc::clone(&asked));
    let backend = Backend::scripted(name, move |peer, head| {
        if !head.starts_with("GET /health") {
            return peer.ok(name);
        }
        counts.fetch_add(1, Ordering::SeqCst);
        if says.load(Ordering::SeqCst) {
            peer.ok("well")
        } else {
            peer.say("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
            Then::Keep
        }
    });
    (backend, well, asked)
}

/// Waits longer than elsewhere: a proxy is alone only after five seconds.
fn comes(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(25);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 25 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Who fails its checks gets no requests until it passes again; checks end when somebody speaks.
#[test]
fn instances_are_checked_while_nobody_else_is_there_to_do_it() {
    let (one, _, _) = instance("one");
    let (other, well, asked) = instance("other");
    let mut stage = Stage::bare();
    let how = HealthCheck {
        path: Some("/health".into()),
        command: Vec::new(),
        interval_ms: 50,
        timeout_ms: 1_000,
        rise: 2,
        fall: 3,
    };
    let checks = vec![Watch { release: ReleaseId(1), how, fail_open: 50 }];
    let spread = Spread { checks, ..Spread::default() };
    stage.publish_spread(vec![pool(1, 10_000, &[&one, &other])], Vec::new(), spread);
    let mut client = stage.client();
    let mut names =
        |count: usize| (0..count).map(|_| client.get("/").unwrap().body).collect::<BTreeSet<_>>();
    assert_eq!((names(60).len(), asked.load(Ordering::SeqCst)), (2, 0), "somebody speaks to it");
    well.store(false, Ordering::SeqCst);
    comes("the failing one is passed over", || names(20).len() == 1);
    assert!(names(20).contains("one") && asked.load(Ordering::SeqCst) >= 3);
    // Whoever asks for metrics is no controller.
    let told = asking::Metrics::of(&asking::ask(&stage.socket, ""));
    assert_eq!(told.value("cutover_unattended", &[]), 1);
    well.store(true, Ordering::SeqCst);
    comes("the other one is back", || names(20).len() == 2);
    stage.admin.look();
    let quiet = || {
        let before = asked.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(300));
        asked.load(Ordering::SeqCst) == before
    };
    comes("checks end", quiet);
    let told = asking::Metrics::of(&asking::ask(&stage.socket, ""));
    assert_eq!(told.value("cutover_unattended", &[]), 0);
}
