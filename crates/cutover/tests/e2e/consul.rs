//! A HAProxy that takes its servers from a real Consul, which is killed in the midst of a rollout, and what
//! is refused before anything is touched. No strategy is tried here: those are the same behind every router
//! (`strategies`, `target`).

use serde_json::Value;

use crate::consul_bed::{Bed, program};
use crate::crowd::{Crowd, EVERYONE};
use crate::haproxy_bed::{Real, programs};
use crate::plan::plan;
use crate::traffic::{Deploy, get};
use crate::world::{patient_config, said, turn};

/// A Consul, and a world behind a HAProxy that follows it; `None` without either.
fn world(config: &str, asks_for_tokens: bool) -> Option<(Bed, Real)> {
    // The one that asks for tokens is asked over TLS.
    let start = if asks_for_tokens { Bed::secure } else { Bed::start };
    let consul = start(&program()?, asks_for_tokens);
    let haproxy = programs().into_iter().next_back()?;
    let real = Real::with(&haproxy, config, &consul.keys());
    Some((consul, real))
}

/// The instances that Consul names, all of them or those that are well.
fn named(consul: &Bed, path: &str) -> Vec<String> {
    let entries = consul.get(path);
    let id = |one: &Value| one["Service"]["Meta"]["cutover-instance"].as_str().unwrap().to_owned();
    let mut all: Vec<String> = entries.as_array().unwrap().iter().map(id).collect();
    all.sort();
    all
}

#[test]
fn consul_and_the_controller_are_killed_in_mid_rollout_and_nothing_is_lost() {
    let _turn = turn();
    let config = patient_config(2).replace("bake = \"1500ms\"", "bake = \"3s\"");
    let Some((mut consul, mut real)) = world(&config, false) else { return };
    real.begin();
    let crowd = Crowd::of(&real.world, &EVERYONE);
    let mut deploy = Deploy::start(&real.world, "demo", "v2");
    // Nothing of v2 is at Consul yet.
    deploy.reach("previewing");
    consul.crash();
    consul.launch();
    deploy.reach("baking");
    consul.crash();
    crowd.mark();
    consul.launch();
    let shipped = deploy.end();
    crowd.mark();
    crowd.expect_nothing_lost();
    shipped.expect_unharmed();
    assert_eq!(named(&consul, "/v1/health/service/demo"), ["demo-2-1", "demo-2-2"]);
    // Whoever comes back owns its apps at once, with the session of before still there.
    real.world.kill_up();
    real.world.up();
    Deploy::start(&real.world, "demo", "v3").end().expect_unharmed();
    assert_eq!(named(&consul, "/v1/health/service/demo?passing"), ["demo-3-1", "demo-3-2"]);
    let text = said(&real.world.expect(0, &["haproxy", "check"]));
    assert!(text.contains("lacks nothing"), "{text}");
    real.world.expect(0, &["down"]);
    // Not only "critical", as Consul itself would find in the end.
    assert_eq!(consul.get("/v1/agent/services"), serde_json::json!({}));
}

/// Refused before anything is started, registered or written.
#[test]
fn a_consul_that_is_away_or_grants_nothing_is_refused_at_plan_time() {
    let _turn = turn();
    let Some((mut consul, mut real)) = world(&patient_config(1), true) else { return };
    real.world.expect(0, &["haproxy", "install"]);
    real.start();
    let text = said(&real.world.expect(2, &["up"]));
    assert!(text.contains("may not write") && text.contains("key_prefix"), "{text}");
    let file = real.world.path().join("cutover.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    let with = written.replace("[router]", "[router]\ntoken = { file = \"token\" }");
    std::fs::write(&file, with).unwrap();
    let text = said(&real.world.expect(2, &["up"]));
    assert!(text.contains("token, which should hold Consul's token, is not there"), "{text}");
    std::fs::write(real.world.path().join("token"), crate::consul_bed::MASTER).unwrap();
    real.world.up();
    real.world.expect(0, &["deploy", "demo", "v1"]);
    assert_eq!(plan(&real.world, "v2")["router"]["name"], "HAProxy with Consul");
    consul.crash();
    let map = std::fs::read_to_string(real.file("cutover-demo.map")).unwrap();
    for arguments in [["plan", "demo", "v2"], ["deploy", "demo", "v2"]] {
        let text = said(&real.world.expect(2, &arguments));
        assert!(text.contains("Consul at") && text.contains("cannot be asked"), "{text}");
    }
    assert_eq!(std::fs::read_to_string(real.file("cutover-demo.map")).unwrap(), map);
    assert_eq!(real.world.running().len(), 1);
    assert!(!real.world.said().contains(crate::consul_bed::MASTER), "the token is in the log");
    // Users have nothing of it, and the next deploy goes as ever.
    get(real.world.port, "a", "/datetime").unwrap();
    consul.launch();
    Deploy::start(&real.world, "demo", "v2").end().expect_unharmed();
}
