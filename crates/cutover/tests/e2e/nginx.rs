//! Deploys behind a real nginx, and what is refused before anything is touched.

use crate::crowd::{Crowd, EVERYONE};
use crate::nginx_bed::{Real, nginx};
use crate::plan::plan;
use crate::traffic::Deploy;
use crate::world::{patient_config, said, turn};

fn config() -> String {
    patient_config(2).replace("bake = \"1500ms\"", "bake = \"300ms\"\nlongest_request = \"1s\"")
}

#[test]
fn a_deploy_behind_nginx_costs_nothing() {
    let _turn = turn();
    let Some(program) = nginx() else { return };
    let mut real = Real::of(&program, &config());
    real.start();
    let text = said(&real.world.expect(0, &["nginx", "check"]));
    assert!(text.contains("lacks nothing"), "{text}");
    real.world.up();
    real.world.expect(0, &["deploy", "demo", "v1"]);
    let planned = plan(&real.world, "v2");
    let router = &planned["router"];
    assert_eq!((&router["name"], &router["change"]), (&"nginx".into(), &"eventual".into()));
    let crowd = Crowd::of(&real.world, &EVERYONE);
    let mut deploy = Deploy::start(&real.world, "demo", "v2");
    deploy.reach("shifting");
    crowd.mark();
    deploy.reach("draining");
    crowd.mark();
    let shipped = deploy.end();
    crowd.expect_nothing_lost();
    shipped.expect(0, "PASS");
    assert_eq!(shipped.report["failed"], 0);
    assert!(real.world.running().iter().all(|(id, _)| id.starts_with("demo-2-")));
}

/// A reload that is known to cut users is not done unless that was agreed to.
#[test]
fn what_would_cut_users_is_planned_asked_and_refused() {
    let _turn = turn();
    let Some(program) = nginx() else { return };
    let mut real = Real::of(&program, &config());
    real.edit("keepalive_min_timeout 1s;", "");
    real.start();
    let text = said(&real.world.expect(2, &["nginx", "check"]));
    assert!(text.contains("keepalive_min_timeout 5s;"), "the edit is offered: {text}");
    real.world.up();
    let degrades = plan(&real.world, "v1")["degrades"].to_string();
    assert!(degrades.contains("a reload closes kept connections"), "{degrades}");
    let before = std::fs::read_to_string(real.file("cutover/demo.conf")).unwrap();
    let text = said(&real.world.expect(2, &["deploy", "demo", "v1"]));
    assert!(text.contains("accept_reload_cuts = true"), "{text}");
    let after = std::fs::read_to_string(real.file("cutover/demo.conf")).unwrap();
    assert!(before == after && real.world.running().is_empty(), "something was touched");
    real.world.expect(0, &["down"]);
    let path = real.world.path().join("cutover.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("kind =", "accept_reload_cuts = true\nkind =")).unwrap();
    real.world.up();
    real.world.expect(0, &["deploy", "demo", "v1"]);
}

/// At start, before an app runs or a file is written.
#[test]
fn an_nginx_that_cannot_be_worked_with_is_refused_at_start() {
    let Some(program) = nginx() else { return };
    let mut real = Real::of(&program, &config());
    let refused = |real: &Real, words: &str| {
        let text = said(&real.world.expect(2, &["up"]));
        assert!(text.contains(words), "{words}: {text}");
    };
    real.edit("events {", "evnets {");
    refused(&real, "evnets");
    real.edit("evnets {", "events {");
    real.start();
    real.edit("http://$cutover_demo;", "http://127.0.0.1:9;");
    refused(&real, "literal: `proxy_pass http://127.0.0.1:9`");
    real.edit("http://127.0.0.1:9;", "http://$cutover_demo;");
    let pid = std::fs::read_to_string(real.file("nginx.pid")).unwrap();
    std::fs::write(real.file("nginx.pid"), std::process::id().to_string()).unwrap();
    refused(&real, "no master of nginx");
    std::fs::write(real.file("nginx.pid"), pid).unwrap();
    let path = real.world.path().join("cutover.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&program.display().to_string(), "/nowhere/nginx")).unwrap();
    refused(&real, "/nowhere/nginx");
    assert!(!real.file("cutover/demo.json").exists(), "something was written");
}
