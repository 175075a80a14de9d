//! A proxy that takes the place of another tells what both count, while that one finishes and after.
//!
//! How single numbers are put together is not tried here, but beside the code (`metrics::together`).

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use model::admin::Request;

use crate::asking::{Metrics, ask, comes};
use crate::backend::Backend;
use crate::stage::{Stage, pool, wait_until};

const V1: &[(&str, &str)] = &[("app", "demo"), ("release", "1"), ("version", "v1")];
const V2: &[(&str, &str)] = &[("app", "demo"), ("release", "2"), ("version", "v2")];
const DONE: &str = "cutover_request_duration_seconds_count";

fn now(stage: &Stage) -> Metrics {
    Metrics::of(&ask(&stage.socket, ""))
}

/// The numbers of `name` for these labels; none if it is not told.
fn told(stage: &Stage, name: &str, labels: &[(&str, &str)]) -> String {
    now(stage).values(name, labels).join(" ")
}

/// An instance that answers `/waits` when it is told to.
fn waiting() -> (Backend, Sender<()>) {
    let (tell, told) = channel::<()>();
    let told = Mutex::new(told);
    let backend = Backend::scripted("demo-2-1", move |peer, head| {
        if head.starts_with("GET /waits") {
            told.lock().unwrap().recv().unwrap();
        }
        peer.ok("well")
    });
    (backend, tell)
}

fn asks(stage: &Stage, times: usize) {
    let mut client = stage.client();
    for _ in 0..times {
        assert_eq!(client.get("/").unwrap().status, 200);
    }
}

/// In the place of those at these sockets.
fn replacing(backend: &Backend, old: &[&Stage]) -> Stage {
    let mut stage = Stage::bare();
    stage.publish(vec![pool(2, 10_000, &[backend])]);
    let sockets = old.iter().map(|old| old.socket.clone()).collect();
    stage.admin.done(&Request::Include { sockets });
    stage
}

#[test]
fn nothing_that_a_replaced_proxy_counts_is_lost_and_no_total_falls() {
    let (first, (backend, tell)) = (Backend::named("demo-1-1"), waiting());
    let mut old = Stage::before(&[&first]);
    asks(&old, 3);
    old.publish(vec![pool(2, 10_000, &[&backend])]);
    asks(&old, 2);
    let mut open = old.client();
    open.send("GET /waits HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("it is open", || old.admin.release(2).requests == 3);
    comes(&old.socket, DONE, V1, 3);
    comes(&old.socket, DONE, V2, 2);

    let mut new = replacing(&backend, &[&old]);
    let instance = [V2, &[("instance", "demo-2-1")]].concat();
    for (name, labels, value) in [
        (DONE, V1, "3"),
        (DONE, V2, "2"),
        ("cutover_open_requests", &instance[..], "1"),
        ("cutover_routes_generation", &[("app", "demo")], "1"),
    ] {
        assert_eq!(told(&new, name, labels), value, "{name} at once");
    }
    asks(&new, 4);
    comes(&new.socket, DONE, V2, 6);
    let accepted = now(&new).value("cutover_connections_accepted_total", &[]);
    assert_eq!(accepted, 4, "three there and one here");
    let openmetrics = ask(&new.socket, "Accept: application/openmetrics-text\r\n");
    assert_eq!(Metrics::open(&openmetrics).value(DONE, V2), 6);

    // What is done last is in the total as soon as the old one has ended.
    tell.send(()).unwrap();
    assert_eq!(open.answer().unwrap().body, "well");
    drop(open);
    old.stop(10_000);
    comes(&new.socket, DONE, V2, 7);
    wait_until("nothing more is open than here", || {
        told(&new, "cutover_open_requests", &instance) == "0" && told(&new, DONE, V1).is_empty()
    });
    assert_eq!(told(&new, DONE, V2), "7");

    // The next one hears it of its predecessor, once.
    let newest = replacing(&backend, &[&new]);
    asks(&newest, 1);
    comes(&newest.socket, DONE, V2, 8);
    new.stop(10_000);
    assert_eq!(told(&newest, DONE, V2), "8");
}

/// Two upgrades while somebody is still at the first proxy: each is counted once.
#[test]
fn a_proxy_that_several_replace_is_counted_once() {
    let (backend, _tell) = waiting();
    let mut first = replacing(&backend, &[]);
    asks(&first, 1);
    let mut second = replacing(&backend, &[&first]);
    asks(&second, 1);
    let third = replacing(&backend, &[&second, &first]);
    asks(&third, 1);
    comes(&third.socket, DONE, V2, 3);
    asks(&first, 1);
    comes(&third.socket, DONE, V2, 4);
    first.stop(10_000);
    assert_eq!(told(&third, DONE, V2), "4");
    wait_until("both know", || told(&second, DONE, V2) == "3");
    second.stop(10_000);
    assert_eq!(told(&third, DONE, V2), "4");
    wait_until("nobody is left", || told(&third, "cutover_connections", &[]) == "0");
}

/// A proxy that nobody but its successor speaks to still looks after its instances by itself.
#[test]
fn who_asks_what_was_counted_is_no_controller() {
    let (backend, _tell) = waiting();
    let old = replacing(&backend, &[]);
    let _new = replacing(&backend, &[&old]);
    comes(&old.socket, "cutover_unattended", &[], 1);
}
