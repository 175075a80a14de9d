//! Two servers that know nothing of each other, with one Consul and the same app: one of them ships it. Who
//! has it, who is stopped in the middle of a rollout, and who gets it when the other one is gone.
//!
//! What is refused change by change is in the tests of the driver; here both are whole.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::consul_bed::{Bed, MASTER, program};
use crate::followed::fabio_config;
use crate::followers::Follower;
use crate::traffic::{Deploy, get};
use crate::world::{World, beside, said, signal, turn, wait_for};

/// How long nothing may be changed: many looks of a controller.
const WATCHED: Duration = Duration::from_secs(3);
/// A session of 15 s is over within twice that, and a busy machine takes its time.
const UNRENEWED: u64 = 60;

/// What Consul has on record of the app, and at its agent.
fn everything(consul: &Bed) -> [Value; 3] {
    ["routes", "owner"]
        .map(|key| consul.get(&format!("/v1/kv/cutover/demo/{key}"))[0]["Value"].clone())
        .into_iter()
        .chain([consul.get("/v1/agent/services")])
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

/// The versions that every follower gets.
fn versions(consul: &Bed) -> Vec<String> {
    let entries = consul.get("/v1/health/service/demo?passing");
    let version = |one: &Value| one["Service"]["Meta"]["version"].as_str().unwrap().to_owned();
    entries.as_array().unwrap().iter().map(version).collect()
}

fn id(world: &World) -> String {
    let id = std::fs::read_to_string(world.state().join("controller.id")).unwrap();
    id.trim().to_owned()
}

/// Until no controller has a session.
fn unrenewed(consul: &Bed) {
    wait_for("the session is over", UNRENEWED, || {
        let sessions = consul.tell("GET", "/v1/session/list", MASTER, &Value::Null)?;
        (sessions.trim() == "[]").then_some(())
    });
}

/// Two worlds with one Consul and one entrance; v1 of the first is live.
fn beds() -> Option<(Bed, Follower, [World; 2])> {
    let consul = Bed::start(&program()?, false);
    let config = fabio_config(&consul, "");
    let mut one = World::new(&config);
    let mut other = World::new(&config.replace("PORT", &one.port.to_string()));
    let fabio = Follower::fabio(consul.http, SocketAddr::from(([127, 0, 0, 1], one.port)));
    one.up();
    one.expect(0, &["deploy", "demo", "v1"]);
    other.up();
    assert_ne!(id(&one), id(&other));
    Some((consul, fabio, [one, other]))
}

#[test]
fn the_second_is_told_who_has_it_and_gets_it_when_the_first_is_gone() {
    let _turn = beside();
    let Some((consul, _fabio, [mut one, other])) = beds() else { return };
    let before = everything(&consul);
    for arguments in [["plan", "demo", "v2"], ["deploy", "demo", "v2"]] {
        let text = said(&other.expect(2, &arguments));
        let words = format!("by another Cutover: {}", id(&one));
        assert!(text.contains(&words) && text.contains("half a minute"), "{text}");
    }
    assert_eq!((other.running().len(), everything(&consul)), (0, before.clone()));
    // One that comes back is the same one, with the session of before still there.
    one.kill_up();
    one.up();
    Deploy::start(&one, "demo", "v2").end().expect_unharmed();
    // A crash: the instances live, and whoever wants nobody leaves them alone, also when the lock is free.
    one.kill_up();
    unrenewed(&consul);
    let left = everything(&consul);
    let until = Instant::now() + WATCHED;
    while Instant::now() < until {
        assert_eq!(everything(&consul), left, "nobody was to change anything");
        assert!(get(one.port, "a", "/version").unwrap().contains("v2"));
    }
    let shipped = Deploy::start(&other, "demo", "v3").end();
    assert_eq!(shipped.report["outcome"], "promoted", "{}", shipped.said);
    assert_eq!(versions(&consul), ["v3"]);
    assert!(get(one.port, "a", "/version").unwrap().contains("v3"));
}

/// SIGSTOP in mid-rollout until its session is gone and the other one has shipped, then SIGCONT: it changes
/// nothing, says who has the app, and takes it again when that one is gone.
#[test]
fn one_that_stood_still_until_another_shipped_changes_nothing() {
    let _turn = turn();
    let Some((consul, _fabio, [one, mut other])) = beds() else { return };
    let pid = u32::try_from(one.status().unwrap()["pid"].as_u64().unwrap()).unwrap();
    let mut deploy = Deploy::start(&one, "demo", "v2");
    deploy.reach("baking");
    signal(pid, Signal::STOP);
    unrenewed(&consul);
    let shipped = Deploy::start(&other, "demo", "v3").end();
    assert_eq!(shipped.report["outcome"], "promoted", "{}", shipped.said);
    let left = everything(&consul);
    signal(pid, Signal::CONT);
    let words = format!("by another Cutover: {}", id(&other));
    wait_for("it says who has the app", 20, || {
        said(&one.run(&["status"])).contains(&words).then_some(())
    });
    let until = Instant::now() + WATCHED;
    while Instant::now() < until {
        assert_eq!(everything(&consul), left, "one that was stopped changed something");
        assert!(get(one.port, "a", "/version").unwrap().contains("v3"));
    }
    other.kill_up();
    wait_for("it has the app again", UNRENEWED, || {
        let named = versions(&consul);
        (named == ["v1"] || named == ["v2"]).then_some(())
    });
    // Its rollout could not go on meanwhile, and says so.
    let ended = deploy.end();
    assert!(ended.said.contains(&words), "{}", ended.said);
    assert!(ended.report["outcome"] != "promoted" || versions(&consul) == ["v2"], "{}", ended.said);
    assert!(one.said().contains("by another Cutover meanwhile"), "{}", one.said());
}
