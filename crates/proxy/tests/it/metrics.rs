//! Metrics as somebody gets them who asks: what happened is in them, and they are in order.
//!
//! How their text must look is checked in `asking`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use model::admin::{Observation, Request};
use model::{InstanceId, Spread};

use crate::asking::{Metrics, ask, ask_over, comes};
use crate::authority::{Identity, listen};
use crate::backend::{Backend, Then};
use crate::client::Client;
use crate::stage::{Stage, pool, retiring, wait_until};

/// Has metrics told over TCP; gives the address.
fn over_tcp(stage: &mut Stage) -> SocketAddr {
    let metrics = Some("127.0.0.1:0".parse().unwrap());
    let observation = Observation { access_log: None, metrics };
    stage.admin.done(&Request::Observe { observation });
    stage.admin.look().metrics.unwrap()
}

fn now(stage: &Stage) -> Metrics {
    Metrics::of(&ask(&stage.socket, ""))
}

const V1: &[(&str, &str)] = &[("app", "demo"), ("release", "1"), ("version", "v1")];

fn v1(one: (&'static str, &'static str)) -> Vec<(&'static str, &'static str)> {
    [V1, &[one]].concat()
}

#[test]
fn what_happened_is_told_in_both_dialects_over_both_ways() {
    let backend = Backend::scripted("demo-1-1", |peer, head| {
        if head.starts_with("POST /closes") {
            return Then::Close;
        }
        let missing = head.starts_with("GET /missing");
        let status = if missing { "404 Not Found" } else { "200 OK" };
        peer.say(&format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok"));
        Then::Keep
    });
    let mut stage = Stage::before(&[&backend]);
    let address = over_tcp(&mut stage);
    let mut client = stage.client();
    for _ in 0..3 {
        client.get("/").unwrap();
    }
    client.get("/missing").unwrap();
    client.send("POST /closes HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 502);
    let mut broken = stage.client();
    broken.send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    assert_eq!(broken.head().unwrap().status, 400);
    comes(&stage.socket, "cutover_request_duration_seconds_count", V1, 5);
    comes(&stage.socket, "cutover_unrouted_total", &[("class", "bad-request")], 1);
    let openmetrics = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    for metrics in [
        now(&stage),
        Metrics::open(&ask(&stage.socket, openmetrics)),
        Metrics::of(&ask_over(TcpStream::connect(address).unwrap(), "")),
        Metrics::open(&ask_over(TcpStream::connect(address).unwrap(), openmetrics)),
    ] {
        for (code, count) in [("2xx", 3), ("4xx", 1), ("5xx", 1), ("none", 0)] {
            let value = metrics.value("cutover_requests_total", &v1(("code", code)));
            assert_eq!(value, count, "{code}");
        }
        assert_eq!(metrics.value("cutover_failures_total", &v1(("class", "closed"))), 1);
        assert_eq!(metrics.value("cutover_failures_total", &v1(("class", "late"))), 0);
        assert_eq!(metrics.value("cutover_unrouted_total", &[("class", "bad-request")]), 1);
        assert_eq!(metrics.value("cutover_request_duration_seconds_count", V1), 5);
        assert!(metrics.value("cutover_connections", &[]) >= 1);
        assert_eq!(metrics.value("cutover_connections_accepted_total", &[]), 2);
        assert_eq!(metrics.value("cutover_routes_generation", &[("app", "demo")]), 1);
    }
}

#[test]
fn what_is_open_and_what_drains_is_told_while_it_is_so() {
    let (tell, told) = channel::<()>();
    let told = Mutex::new(told);
    let old = Backend::scripted("demo-1-1", move |peer, _| {
        told.lock().unwrap().recv().unwrap();
        peer.ok("old")
    });
    let new = Backend::named("demo-2-1");
    let mut stage = Stage::before(&[&old]);
    let mut client = stage.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let instance = v1(("instance", "demo-1-1"));
    wait_until("it is open", || now(&stage).value("cutover_open_requests", &instance) > 0);
    assert_eq!(now(&stage).value("cutover_draining", &instance), 0);
    stage.publish(vec![retiring(pool(1, 0, &[&old])), pool(2, 10_000, &[&new])]);
    stage.publish(vec![pool(2, 10_000, &[&new])]);
    let metrics = now(&stage);
    assert_eq!(metrics.value("cutover_draining", &instance), 1);
    assert_eq!(metrics.value("cutover_drains_total", &[("app", "demo")]), 1);
    tell.send(()).unwrap();
    assert_eq!(client.answer().unwrap().body, "old");
    wait_until("the instance has gone", || {
        now(&stage).values("cutover_open_requests", &instance).is_empty()
    });
    comes(&stage.socket, "cutover_requests_total", &v1(("code", "2xx")), 1);
}

#[test]
fn replays_tunnels_and_handshakes_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let dead = Backend::named("demo-1-1");
    dead.kill();
    let live = Backend::scripted("demo-2-1", |peer, head| {
        if head.starts_with("GET /ws") {
            peer.say("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
            let _ = peer.until("\n");
            return Then::Close;
        }
        peer.ok("ok")
    });
    let mut stage = Stage::bare();
    stage.publish(vec![pool(1, 10_000, &[&dead]), pool(2, 0, &[&live])]);
    assert_eq!(stage.client().get("/").unwrap().body, "ok");
    comes(&stage.socket, "cutover_replays_total", V1, 1);
    stage.publish(vec![pool(2, 10_000, &[&live])]);
    let mut tunnel = stage.client();
    tunnel.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(tunnel.head().unwrap().status, 101);
    let v2 = [("release", "2"), ("version", "v2")];
    let metrics = now(&stage);
    assert_eq!(metrics.value("cutover_open_tunnels", &v2), 1);
    assert_eq!(metrics.value("cutover_tunnels_total", &v2), 1);
    tunnel.send("\n");
    assert_eq!(tunnel.rest().unwrap(), "");
    drop(tunnel);
    wait_until("the tunnel has ended", || {
        let metrics = now(&stage);
        let ended = metrics.value("cutover_requests_total", &[("release", "2"), ("code", "1xx")]);
        ended > 0 && metrics.value("cutover_open_tunnels", &v2) == 0
    });
    let timed = now(&stage).value("cutover_request_duration_seconds_count", &v2);
    assert_eq!(timed, 1, "a tunnel has no time to last byte");

    let identity = Identity::of(&directory.path().join("shop"), &["shop.test"]);
    stage.admin.done(&Request::Certify { pairs: vec![identity.pair.clone()], forgiving: false });
    let address = listen(&mut stage);
    let mut plain = Client::to(address);
    plain.send("GET / HTTP/1.1\r\n\r\n");
    let _ = plain.rest();
    wait_until("it is counted", || {
        now(&stage).value("cutover_tls_handshakes_failed_total", &[]) > 0
    });
}

/// What is told does not grow with every deploy, and names of strangers stay within their quotes.
#[test]
fn releases_that_are_gone_leave_and_hostile_names_stay_in_their_quotes() {
    let mut stage = Stage::bare();
    let odd = Backend::named("demo\"}1\\x{");
    let mut most = 0;
    for release in 1..=30 {
        stage.publish(vec![pool(release, 10_000, &[&odd])]);
        assert_eq!(stage.client().get("/").unwrap().status, 200);
        most = most.max(ask(&stage.socket, "").lines().count());
    }
    let text = ask(&stage.socket, "");
    let metrics = Metrics::of(&text);
    let told: Vec<_> = metrics.label("release").into_iter().map(str::to_owned).collect();
    assert_eq!(told, ["26", "27", "28", "29", "30"]);
    assert_eq!(metrics.label("version").len(), 6, "the releases, and the proxy itself");
    assert_eq!(metrics.label("instance"), ["demo\"}1\\x{"].into());
    assert_eq!(text.lines().count(), most, "the most was reached long ago");
}

#[test]
fn who_asks_for_something_else_is_told_so() {
    let mut stage = Stage::bare();
    let address = over_tcp(&mut stage);
    let said = |request: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        // Who says too much is not heard to the end.
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    assert!(said("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(said("POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(said("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(said(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000))).is_empty());
    let head = said("HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    // Users find no metrics where they are.
    assert_eq!(stage.client().get("/metrics").unwrap().status, 404);
    // A place that is taken is refused, and the old one stays.
    let taken = Observation { access_log: None, metrics: Some(stage.address) };
    let fault = stage.admin.refused(&Request::Observe { observation: taken });
    assert!(fault.what.contains(&stage.address.to_string()), "{}", fault.what);
    assert!(said("GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
    stage.admin.done(&Request::Observe { observation: Observation::default() });
    assert!(TcpStream::connect(address).is_err(), "whoever is answered may listen there");
}

#[test]
fn promtool_finds_nothing_to_say() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/testbed/prometheus-bookworm/usr/bin/promtool");
    if !program.exists() {
        let words = "no promtool (cargo xtask testbed)";
        assert!(std::env::var("TESTBED").as_deref() != Ok("required"), "{words}");
        aside::say(format_args!("skipped: {words}"));
        return;
    }
    let backend = Backend::named("demo-\"1\\");
    let (mut stage, old) = (Stage::before(&[&backend]), Stage::before(&[&backend]));
    for stage in [&stage, &old] {
        assert_eq!(stage.client().get("/").unwrap().status, 200);
    }
    // With what a proxy counts that is replaced.
    stage.admin.done(&Request::Include { sockets: vec![old.socket.clone()] });
    comes(&stage.socket, "cutover_request_duration_seconds_count", V1, 2);
    let mut child = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(ask(&stage.socket, "").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn who_fails_its_checks_is_told_and_whether_it_gets_requests() {
    let [one, two] = ["demo-1-1", "demo-1-2"].map(Backend::named);
    let mut stage = Stage::bare();
    let failing = ["demo-1-2", "demo-1-3"].map(|id| InstanceId(id.into()));
    let spread = |failing: &[InstanceId]| Spread { failing: failing.into(), ..Spread::default() };
    for (backends, failing, count, open) in [
        (&[&one, &two][..], &[][..], 0, 0),
        (&[&one], &failing, 2, 0),
        (&[&one, &two], &failing, 2, 1),
    ] {
        stage.publish_spread(vec![pool(1, 10_000, backends)], Vec::new(), spread(failing));
        let metrics = now(&stage);
        assert_eq!(metrics.value("cutover_failing_instances", &[("app", "demo")]), count);
        assert_eq!(metrics.value("cutover_fail_open", &[("app", "demo")]), open);
    }
}

/// Every query of the dashboard names metrics and labels that exist, and every family is on it.
#[test]
fn the_dashboard_asks_for_what_there_is() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards/cutover.json");
    let text = std::fs::read_to_string(file).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let backend = Backend::named("demo-1-1");
    let stage = Stage::before(&[&backend]);
    let metrics = now(&stage);
    let started =
        metrics.value("cutover_start_time_seconds", &[("version", env!("CARGO_PKG_VERSION"))]);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!((now - 60..=now).contains(&started), "{started}");
    let mut queries = Vec::new();
    collect(&dashboard, &mut queries);
    assert!(queries.len() >= 12, "{queries:?}");
    let (mut asked, names) = (std::collections::BTreeSet::new(), metrics.names());
    for query in &queries {
        let (words, labels) = words(query);
        for word in words.iter().filter(|word| word.starts_with("cutover_")) {
            assert!(names.contains(word.as_str()), "`{word}` of `{query}` does not exist");
            asked.insert(word.clone());
        }
        for label in labels {
            let known = label == "le" || !metrics.label(&label).is_empty();
            assert!(known, "the label `{label}` of `{query}` does not exist");
        }
    }
    for family in metrics.families.keys() {
        let on_it = asked.iter().any(|name| name.starts_with(family.as_str()));
        assert!(on_it, "nobody looks at `{family}`");
    }
}

/// All `expr` and `query` texts.
fn collect(value: &serde_json::Value, queries: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member.as_str()) {
                    ("expr" | "query", Some(text)) => queries.push(text.to_owned()),
                    _ => collect(member, queries),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, queries)),
        _ => {}
    }
}

/// The words of a query outside of texts, and those that are names of labels.
fn words(query: &str) -> (Vec<String>, Vec<String>) {
    let (mut words, mut labels) = (Vec::new(), Vec::new());
    let outside: String = query.split('"').step_by(2).collect::<Vec<_>>().join("\"");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let pieces: Vec<&str> = outside.split_inclusive(|c: char| !is_word(c)).collect();
    let mut depth_of_by = false;
    let mut after_by = false;
    for piece in pieces {
        let word = piece.trim_end_matches(|c: char| !is_word(c));
        let mark = piece[word.len()..].chars().next();
        if !word.is_empty() {
            words.push(word.to_owned());
            let compared = matches!(mark, Some('=' | '!'));
            if compared || depth_of_by {
                labels.push(word.to_owned());
            }
            after_by = word == "by";
        }
        match mark {
            Some('(') if after_by => depth_of_by = true,
            Some(')') => depth_of_by = false,
            _ => {}
        }
    }
    (words, labels)
}
