//! WebSockets that the proxy moves: their clients are told before the app is, and nothing is lost.
//!
//! Frames and paces are tried in the proxy's own `handover`, not here.

use crate::traffic::{Deploy, Users};
use crate::world::{World, patient_config, said, turn};

/// An app that cuts whatever is open when it is told to end: nobody may be left by then.
fn ships(mode: &str, close_code: Option<u64>) {
    let _turn = turn();
    let rollout = format!("[app.demo.rollout]\nhandover_timeout = \"20s\"\n{mode}");
    let config = patient_config(2).replace("[app.demo.rollout]", &rollout);
    let abrupt = config.replace("\"{version}\"]", "\"{version}\", \"--exit-on-sigterm\"]");
    assert!(abrupt != config);
    let mut world = World::new(&abrupt);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let plan = said(&world.expect(0, &["plan", "demo", "v2"]));
    assert!(plan.contains("the proxy") && plan.contains("then the app is told"), "{plan}");
    let users = Users::of(&world, None);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    deploy.reach("handing-over");
    let shipped = deploy.end();
    // A message that crosses a Close of 1012 is lost: WebSocket has no way to avoid that.
    let crossed = |failure: &serde_json::Value| {
        close_code.is_some()
            && failure["class"] == "ws_dropped"
            && failure["phase"] == "handing-over"
    };
    let failures = shipped.report["failures"].as_array().unwrap();
    assert!(failures.len() <= 2 && failures.iter().all(crossed), "{}", shipped.why());
    assert_eq!(shipped.report["outcome"], "promoted", "{}", shipped.why());
    if close_code.is_none() {
        users.expect_none_lost();
    }
    let phases = shipped.report["phases"].as_array().unwrap();
    let stopping = phases.iter().find(|span| span["phase"] == "stopping").unwrap();
    let why = stopping["why"].as_str().unwrap();
    assert!(why.contains("nothing is open on v1"), "{why}");
    let sockets = shipped.report["sockets"].as_array().unwrap();
    let first = sockets.iter().map(|chain| &chain["sockets"][0]);
    let codes: Vec<_> = first.map(|socket| socket["close_code"].as_u64()).collect();
    assert!(codes.len() >= 4, "{sockets:?}");
    let wanted = codes.iter().all(|code| code_is(*code, close_code));
    assert!(wanted, "{codes:?} {sockets:?}");
}

/// A client that was told by a frame closes by itself.
fn code_is(code: Option<u64>, wanted: Option<u64>) -> bool {
    code.filter(|code| *code != 1000) == wanted
}

#[test]
fn sockets_are_closed_with_1012_before_the_app_is_told_to_end() {
    ships("handover = \"close-1012\"\nhandover_rate = 20\nhandover_at_once = 2", Some(1012));
}

#[test]
fn sockets_are_sent_a_message_before_the_app_is_told_to_end() {
    ships("handover = { frame = '{\"message\":\"reconnect\"}' }\nhandover_rate = 20", None);
}
