//! What clients on kept connections get from a HAProxy that ends: after a reload, and after a soft stop.
//!
//! What they get while it goes on is in `haproxy`.

use std::path::PathBuf;

use crate::common::haproxy;
use crate::common::load;
use haproxy::{Bed, pool, routes, settle};
use load::{App, Connection};
use model::PoolState::Serving;

haproxy::on_each_haproxy!(
    after_a_reload_instances_are_told_who_asked_once,
    a_soft_stop_answers_what_kept_connections_still_ask,
    nobody_else_can_say_that_he_passes_on,
);

const CLAIM: &str = "X-Forwarded-For: 203.0.113.9\r\n";

async fn live(program: PathBuf) -> (Bed, App) {
    let (bed, app) = (Bed::start(&program).await, App::start("v1"));
    settle(&bed.driver(), &routes(vec![pool(1, 10_000, Serving, &[app.address])])).await;
    (bed, app)
}

fn kept(bed: &Bed) -> Connection {
    let mut kept = Connection::open(bed.entrance).unwrap();
    assert_eq!(kept.ask("GET", "/who", CLAIM).unwrap().body, "203.0.113.9, 127.0.0.1");
    kept
}

async fn after_a_reload_instances_are_told_who_asked_once(program: PathBuf) {
    let (bed, app) = live(program).await;
    let mut kept = [kept(&bed), kept(&bed)];
    bed.reload();
    // The new worker knows another release: whoever is asked now was asked by it.
    let next = App::start("v2");
    let want = routes(vec![
        pool(1, 0, Serving, &[app.address]),
        pool(2, 10_000, Serving, &[next.address]),
    ]);
    settle(&bed.driver(), &want).await;
    let before = app.requests();
    let [first, second] = &mut kept;
    let answer = first.ask("GET", "/who", CLAIM).unwrap();
    assert_eq!(
        answer.header("connection"),
        Some("close"),
        "the old worker answered: {}",
        answer.head
    );
    assert_eq!(answer.body, "203.0.113.9, 127.0.0.1");
    let stamp = answer.header("x-cutover-version");
    assert_eq!(stamp, Some("v2"), "{}", answer.head);
    assert_eq!(second.ask("POST", "/", "Content-Length: 0\r\n").unwrap().body, "v2");
    assert_eq!(app.requests(), before, "the old worker asked the old release");
}

async fn a_soft_stop_answers_what_kept_connections_still_ask(program: PathBuf) {
    let (bed, app) = live(program).await;
    let mut kept: Vec<Connection> = (0..4).map(|_| kept(&bed)).collect();
    let before = app.requests();
    bed.stop_softly();
    for (kept, method) in kept.iter_mut().zip(["GET", "POST", "GET", "PATCH"]) {
        let answer = kept.ask(method, "/", "Content-Length: 0\r\n").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "v1"), "{method}: {}", answer.head);
        assert_eq!(answer.header("x-cutover-version"), Some("v1"), "{}", answer.head);
        assert_eq!(answer.header("connection"), Some("close"), "{}", answer.head);
    }
    assert_eq!(app.requests() - before, 4, "each was done once");
}

/// From this machine one can; what comes of it is that one's own word stands last, nothing else.
async fn nobody_else_can_say_that_he_passes_on(program: PathBuf) {
    let (bed, _app) = live(program).await;
    let config = std::fs::read_to_string(bed.path("00-cutover.cfg")).unwrap();
    let elsewhere = config.replace("src 127.0.0.0/8 ::1", "src 192.0.2.1");
    assert_ne!(config, elsewhere);
    std::fs::write(bed.path("00-cutover.cfg"), elsewhere).unwrap();
    bed.reload();
    let mut fresh = Connection::open(bed.entrance).unwrap();
    let claim = format!("{CLAIM}X-Cutover-Onward: 1\r\n");
    assert_eq!(fresh.ask("GET", "/who", &claim).unwrap().body, "203.0.113.9, 127.0.0.1");
}
