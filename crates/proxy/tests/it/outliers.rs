//! Instances that keep failing users are left out for a while, one by one and never all of them.
//!
//! One request that fails is in `failures`; health checks play no part here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::Outliers;
use model::admin::{Request, Settings};

use crate::asking::{Metrics, ask};
use crate::backend::{Backend, Then};
use crate::client::Client;
use crate::stage::{Stage, pool, wait_until};

const RULE: Outliers =
    Outliers { failures: 3, errors: false, eject_ms: 60_000, eject_most_ms: 600_000, share: 50 };

/// A proxy before those of release 1, with this rule.
fn stage(rule: Outliers, backends: &[&Backend]) -> Stage {
    let mut stage = Stage::before(backends);
    let settings = Settings { outliers: rule, ..Settings::default() };
    stage.admin.done(&Request::Configure { settings });
    stage
}

/// An instance that closes without an answer while it is told to be sick.
fn patient(name: &str) -> (Backend, Arc<AtomicBool>) {
    let sick = Arc::new(AtomicBool::new(true));
    let (body, is_sick) = (name.to_owned(), Arc::clone(&sick));
    let backend = Backend::scripted(name, move |peer, _| {
        if is_sick.load(Ordering::SeqCst) { Then::Close } else { peer.ok(&body) }
    });
    (backend, sick)
}

fn ejections(stage: &mut Stage, name: &str) -> (u64, bool) {
    let seen = stage.admin.instance(name).unwrap();
    (seen.ejections, seen.ejected_ms > 0)
}

fn hits(client: &mut Client, backend: &Backend, requests: usize) -> usize {
    let before = backend.hits();
    for _ in 0..requests {
        assert_eq!(client.get("/").unwrap().status, 200);
    }
    backend.hits() - before
}

#[test]
fn who_fails_in_a_row_is_left_out_and_comes_back() {
    let (sick, is_sick) = patient("sick");
    let well = Backend::named("well");
    let rule = Outliers { eject_ms: 400, ..RULE };
    let mut stage = stage(rule, &[&sick, &well]);
    let mut client = stage.client();
    let began = Instant::now();
    assert_eq!(hits(&mut client, &sick, 100), 3, "GETs are sent again elsewhere meanwhile");
    assert_eq!(ejections(&mut stage, "sick"), (1, true));
    assert_eq!(ejections(&mut stage, "well"), (0, false));
    wait_until("it is back", || ejections(&mut stage, "sick") == (1, false));
    assert!(began.elapsed() >= Duration::from_millis(400));
    // On probation: one failure is enough, and this time it takes longer.
    assert_eq!(hits(&mut client, &sick, 100), 1);
    let seen = stage.admin.instance("sick").unwrap();
    assert!(seen.ejections == 2 && seen.ejected_ms > 400, "{seen:?}");
    is_sick.store(false, Ordering::SeqCst);
    wait_until("it is back", || ejections(&mut stage, "sick") == (2, false));
    assert!(hits(&mut client, &sick, 100) > 20, "it has its whole share again");
    is_sick.store(true, Ordering::SeqCst);
    // A kept connection that ends counts for nothing.
    let found = hits(&mut client, &sick, 100);
    assert!((3..=5).contains(&found), "it has answered: probation is over: {found}");
}

#[test]
fn one_that_answers_now_and_then_is_kept() {
    let number = std::sync::atomic::AtomicUsize::new(0);
    let flaky = Backend::scripted("flaky", move |peer, _| {
        if number.fetch_add(1, Ordering::SeqCst) % 3 == 2 { peer.ok("flaky") } else { Then::Close }
    });
    let well = Backend::named("well");
    let mut stage = stage(RULE, &[&flaky, &well]);
    assert!(hits(&mut stage.client(), &flaky, 200) > 60);
    assert_eq!(ejections(&mut stage, "flaky"), (0, false));
}

#[test]
fn refused_connections_and_answers_cut_short_are_failures() {
    let dead = Backend::named("dead");
    dead.kill();
    let cutting = Backend::scripted("cutting", |peer, _| {
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        Then::Close
    });
    let names = ["a", "b", "c"].map(Backend::named);
    let [a, b, c] = &names;
    let mut stage = stage(Outliers { failures: 2, ..RULE }, &[&dead, &cutting, a, b, c]);
    // Refused ones are avoided for a second each time; by then the next is due.
    wait_until("both are left out", || {
        let mut client = stage.client();
        let _cut = client.get("/");
        ["dead", "cutting"].iter().all(|name| ejections(&mut stage, name).1)
    });
    assert!(["a", "b", "c"].iter().all(|name| ejections(&mut stage, name) == (0, false)));
    assert_eq!(stage.admin.release(1).failed, 2, "each cut was told as one");
}

#[test]
fn never_more_than_the_share_and_never_the_last_one() {
    let sick: Vec<_> = (0..5).map(|n| patient(&format!("sick-{n}")).0).collect();
    let all: Vec<&Backend> = sick.iter().collect();
    let out = |stage: &mut Stage| {
        let seen = stage.admin.app().instances;
        seen.iter().filter(|one| one.ejected_ms > 0).count()
    };
    for (share, count, most) in [(50, 5, 2), (10, 5, 1), (100, 3, 2), (100, 1, 0)] {
        let mut stage = stage(Outliers { share, ..RULE }, &all[..count]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = stage.client();
                    (0..40).for_each(|_| assert_eq!(client.get("/").unwrap().status, 502));
                });
            }
        });
        let (found, hits) = (out(&mut stage), all.iter().map(|one| one.hits()).sum::<usize>());
        assert_eq!(found, most, "{share} % of {count}, {hits} requests");
        assert_eq!(stage.admin.release(1).failed, 160);
    }
}

/// The new version is not punished for one bad copy, nor the old one for the new.
#[test]
fn it_is_the_instance_that_is_left_out_and_not_its_release() {
    let (sick, _) = patient("new-1");
    let [old, new] = ["old-1", "new-2"].map(Backend::named);
    let mut stage = stage(RULE, &[]);
    stage.publish(vec![pool(1, 5_000, &[&old]), pool(2, 5_000, &[&sick, &new])]);
    let mut client = stage.client();
    assert_eq!(hits(&mut client, &sick, 50), 3);
    let before = new.hits();
    let olds = hits(&mut client, &old, 400);
    assert!((140..260).contains(&olds), "half of 400 goes to the old release: {olds}");
    assert_eq!(new.hits() - before, 400 - olds);
    assert_eq!(ejections(&mut stage, "new-1"), (1, true));
    let metrics = Metrics::of(&ask(&stage.socket, ""));
    for (number, version, name, out) in
        [("2", "v2", "new-1", 1), ("2", "v2", "new-2", 0), ("1", "v1", "old-1", 0)]
    {
        let release = [("app", "demo"), ("release", number), ("version", version)];
        let labels = [&release[..], &[("instance", name)]].concat();
        assert_eq!(metrics.value("cutover_ejected", &labels), out, "{name}");
        let begun = u64::from(number == "2");
        assert_eq!(metrics.value("cutover_ejections_total", &release), begun);
    }
}

#[test]
fn errors_count_only_when_that_is_wished_and_nothing_does_when_it_is_off() {
    let failing = Backend::scripted("failing", |peer, _| {
        peer.say("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
        Then::Keep
    });
    let (sick, _) = patient("sick");
    let well = Backend::named("well");
    for (rule, failing_out, sick_out) in [
        (RULE, 0, 1),
        (Outliers { errors: true, share: 100, ..RULE }, 1, 1),
        (Outliers { errors: true, failures: 0, ..RULE }, 0, 0),
    ] {
        let mut stage = stage(rule, &[&failing, &sick, &well]);
        let mut client = stage.client();
        (0..100).for_each(|_| assert!(matches!(client.get("/").unwrap().status, 200 | 503)));
        assert_eq!(ejections(&mut stage, "failing").0, failing_out, "{rule:?}");
        assert_eq!(ejections(&mut stage, "sick").0, sick_out, "{rule:?}");
    }
}
