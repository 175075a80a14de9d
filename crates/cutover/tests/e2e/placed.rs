//! One deploy watched by every lane: what is long is under way across the switch, and the report says so.
//!
//! That a lane finds each kind of loss is not tried here, but in the crate `probe`.

use serde_json::Value;

use crate::traffic::{Deploy, starved};
use crate::world::{World, patient_config, turn};

const LANES: &str = "lanes = [\"keep-alive\", \"fresh\", \"http2\", \"websocket\", \"idle\", \"upload\", \
                     \"download\", \"events\", \"orders\"]\nslowness = \"1s\"\nidle_most = \"3s\"\n\
                     download_path = \"/download?bytes=2000000\"";

#[test]
fn every_lane_watches_one_deploy_and_what_is_long_is_open_across_the_switch() {
    let _turn = turn();
    let config = patient_config(1)
        .replace("lanes = [\"keep-alive\", \"fresh\", \"websocket\"]", LANES)
        // Instances share a book, so that both versions' orders are found.
        .replace("\"{version}\"]", "\"{version}\", \"--orders\", \"orders.book\"]");
    let mut world = World::new(&config);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let shipped = Deploy::start(&world, "demo", "v2").end();
    shipped.expect(0, "PASS");

    let report = &shipped.report;
    // Whoever is told nothing switches as well, in the end.
    let phases = report["phases"].as_array().unwrap();
    let switched = phases.iter().find(|phase| phase["phase"] == "shifting").unwrap();
    assert!(switched["why"] == "the prober is armed" || starved(report), "{switched}");
    assert_eq!(report["lanes_not_run"], Value::Array(Vec::new()));
    let lanes = report["lanes"].as_array().unwrap();
    assert_eq!(lanes.len(), 9, "{lanes:?}");
    for lane in lanes {
        let long = ["upload", "download", "events", "websocket", "idle"];
        let long = long.iter().any(|name| lane["lane"] == *name);
        assert_eq!(lane["across"].as_u64().is_some(), long, "{lane}");
        let open = lane["across"].as_u64().unwrap_or(1);
        assert!(open >= 1 || starved(report), "nothing was open across the switch: {lane}");
    }
    let facts: Vec<&str> =
        report["facts"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let fact = |begin: &str| facts.iter().find(|fact| fact.starts_with(begin)).copied();
    let open = fact("open across the switch: ").unwrap_or_else(|| panic!("{facts:?}"));
    for word in ["WebSocket", "idle connection", "upload", "download", "event stream"] {
        assert!(open.contains(word), "{open}");
    }
    let speaks = "this speaks for keep-alive, fresh, http2, websocket, idle, upload, download, \
                  events and orders";
    assert_eq!(fact("this speaks for"), Some(speaks));
}
