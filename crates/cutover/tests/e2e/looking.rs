//! What the own proxy tells when `cutover.toml` says so: access log, metrics, pages, maintenance.
//!
//! Each metric and each field of a line is tried in the proxy's own tests, not here.

use std::net::TcpListener;

use serde_json::Value;

use crate::traffic;
use crate::world::{World, beside, free_port, patient_config, said, signal, wait_for};

/// Status and body of an answer.
fn get(port: u16, path: &str) -> (u16, String) {
    let answer = traffic::get(port, "a.test", path).unwrap_or_default();
    let status = answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}

/// One server looked at from all sides; a rollout, a proxy that dies and a change of the file go by.
#[test]
fn what_the_file_asks_for_is_told_and_survives_the_proxy() {
    let _turn = beside();
    let metrics = free_port();
    let keys = format!(
        "access_log = \"access.log\"\nlog_query = false\nmetrics = \"127.0.0.1:{metrics}\"\n\
         error_pages = {{ 503 = \"busy.html\" }}\ndrain_timeout"
    );
    let mut world = World::new(&patient_config(1).replacen("drain_timeout", &keys, 1));
    let refused = world.expect(2, &["config", "check"]);
    assert!(said(&refused).contains("cannot read the page"), "{}", said(&refused));
    assert!(said(&refused).contains("cutover.toml:7:"), "{}", said(&refused));
    std::fs::write(world.path().join("busy.html"), "<h1>busy</h1>").unwrap();
    world.expect(0, &["config", "check"]);
    // A port that is taken is named, and nothing is left running.
    let taken = TcpListener::bind(("127.0.0.1", metrics)).unwrap();
    let refused = world.run(&["up"]);
    assert_ne!(refused.status.code(), Some(0));
    assert!(said(&refused).contains(&format!("127.0.0.1:{metrics}")), "{}", said(&refused));
    world.assert_nothing_runs();
    drop(taken);
    world.up();
    for version in ["v1", "v2"] {
        world.expect(0, &["deploy", "demo", version]);
        assert_eq!(get(world.port, "/version?secret=1").0, 200);
    }
    let told = || get(metrics, "/metrics").1;
    let count = |text: &str, version: &str| -> f64 {
        let of = |line: &&str| {
            line.starts_with("cutover_requests_total{app=\"demo\",")
                && line.contains(&format!("version=\"{version}\",code=\"2xx\""))
        };
        let line = text.lines().find(of).unwrap_or_else(|| panic!("{version}: {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let text = told();
    assert!(count(&text, "v1") >= 1.0 && count(&text, "v2") >= 1.0, "{text}");

    let log = world.path().join("access.log");
    let of = |path: &str, count: usize| {
        wait_for("the line is in the log", 10, || {
            let text = std::fs::read_to_string(&log).unwrap();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let found: Vec<Value> = lines.filter(|line| line["path"] == path).collect();
            (found.len() >= count).then_some(found)
        })
    };
    let versions: Vec<Value> = of("/version", 2).iter().map(|l| l["version"].clone()).collect();
    assert_eq!(versions, ["v1", "v2"]);
    assert!(!std::fs::read_to_string(&log).unwrap().contains("secret"));

    let killed = world.parts("proxy")[0];
    signal(killed, rustix::process::Signal::KILL);
    wait_for("the next proxy tells too", 10, || told().contains("version=\"v2\"").then_some(()));
    wait_for("users are served again", 10, || (get(world.port, "/after").0 > 0).then_some(()));
    let after = &of("/after", 1)[0];
    assert!(after["instance"].as_str().unwrap().starts_with("demo-2"), "{after}");

    // The next `up` takes the proxy over with what the file says then.
    world.kill_up();
    let path = world.path().join("cutover.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("log_query = false", "maintenance = true")).unwrap();
    world.up();
    let (status, body) = get(world.port, "/version");
    assert_eq!((status, body.as_str()), (503, "<h1>busy</h1>"));

    // A page that is gone is no reason to serve nobody.
    world.kill_up();
    std::fs::remove_file(world.path().join("busy.html")).unwrap();
    world.up();
    let (status, body) = get(world.port, "/version");
    assert_eq!((status, body.as_str()), (503, "out of service for maintenance\n"));
    assert!(world.said().contains("busy.html"), "{}", world.said());
    world.expect(0, &["down"]);
    world.assert_nothing_runs();
}
