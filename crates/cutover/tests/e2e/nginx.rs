//! Deploys behind a real nginx, and what is refused before anything is touched.
//!
//! Each strategy behind it is not tried here, but in `strategies` and `target`.

use std::time::Duration;

use serde_json::Value;

use crate::crowd::{Crowd, EVERYONE, Kind};
use crate::foretold::came_true;
use crate::nginx_bed::{Real, nginx, older};
use crate::plan::plan;
use crate::traffic::{Deploy, Users};
use crate::world::{patient_config, said, turn};

fn config() -> String {
    patient_config(2).replace("bake = \"1500ms\"", "bake = \"300ms\"\nlongest_request = \"2s\"")
}

#[test]
fn a_deploy_behind_nginx_costs_nothing() {
    let _turn = turn();
    let Some(program) = nginx() else { return };
    let mut real = Real::of(&program, &config());
    // Another service of the same host: worth a word, and no more.
    real.edit("location / {", "location /static/ { proxy_pass http://127.0.0.1:7; } location / {");
    real.start();
    let text = said(&real.world.expect(0, &["nginx", "check"]));
    assert!(text.contains("lacks nothing") && text.contains("good to know"), "{text}");
    real.world.up();
    real.world.expect(0, &["deploy", "demo", "v1"]);
    let planned = plan(&real.world, "v2");
    let router = &planned["router"];
    assert_eq!((&router["name"], &router["change"]), (&"nginx".into(), &"eventual".into()));
    assert!(!planned["degrades"].to_string().contains("127.0.0.1:7"), "{}", planned["degrades"]);
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
    came_true(&real.world, &planned);
    refuses_what_breaks_later(&real);
}

/// What was right when it started and is not any more: the next plan and deploy say so, nothing is
/// touched, and users notice nothing.
fn refuses_what_breaks_later(real: &Real) {
    let users = Users::of(&real.world, None);
    let pid = std::fs::read_to_string(real.file("nginx.pid")).unwrap();
    let own = std::process::id().to_string();
    let state = || {
        let file = |name| std::fs::read_to_string(real.file(name)).unwrap();
        (["cutover/demo.conf", "cutover/demo.json"].map(file), real.world.running())
    };
    let before = state();
    let refused = |words: &str| {
        for command in [&["plan", "demo", "v3"][..], &["deploy", "demo", "v3"]] {
            let text = said(&real.world.expect(2, command));
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(state() == before, "something was touched");
    };
    real.edit("events {", "evnets {");
    refused("evnets");
    real.edit("evnets {", "events {");
    real.edit("http://$cutover_demo;", "http://127.0.0.1:9;");
    refused("literal: `proxy_pass http://127.0.0.1:9`");
    real.edit("http://127.0.0.1:9;", "http://$cutover_demo;");
    for lie in [own.as_str(), "nobody"] {
        std::fs::write(real.file("nginx.pid"), lie).unwrap();
        refused("nginx.pid");
    }
    std::fs::write(real.file("nginx.pid"), pid).unwrap();
    users.expect_none_lost();
    plan(&real.world, "v3");
}

/// A reload that is known to cut users is not done unless that was agreed to.
#[test]
fn what_would_cut_users_is_planned_asked_and_refused() {
    let _turn = turn();
    let Some(program) = nginx() else { return };
    let mut real = Real::of(&program, &config());
    real.edit("keepalive_min_timeout 1s;", "");
    asks_first(&mut real, "needed: `keepalive_min_timeout 5s;`");
}

/// It is in the plan, refused with the edit that helps, and done when it was agreed to.
fn asks_first(real: &mut Real, edit: &str) {
    real.start();
    real.world.expect(2, &["nginx", "check"]);
    real.world.up();
    let degrades = plan(&real.world, "v1")["degrades"].to_string();
    assert!(degrades.contains("a reload closes kept connections"), "{degrades}");
    assert!(degrades.contains("reuse race"), "{degrades}");
    let before = std::fs::read_to_string(real.file("cutover/demo.conf")).unwrap();
    let text = said(&real.world.expect(2, &["deploy", "demo", "v1"]));
    assert!(text.contains("accept_reload_cuts = true") && text.contains(edit), "{text}");
    let after = std::fs::read_to_string(real.file("cutover/demo.conf")).unwrap();
    assert!(before == after && real.world.running().is_empty(), "something was touched");
    real.world.expect(0, &["down"]);
    real.agree();
    real.world.up();
    real.world.expect(0, &["deploy", "demo", "v1"]);
}

/// Deploys in which the loss that was predicted is looked for.
const DEPLOYS: usize = 6;

/// Before 1.27.4 no worker that ends waits for what is on its way on a kept connection. Users who are 20 ms
/// away lose such requests; that is all that is lost, and it is called by its name.
#[test]
fn older_versions_lose_what_was_predicted_and_nothing_else() {
    let _turn = turn();
    for (version, program) in older() {
        // Answers take far longer than a race does, on a busy machine, too: nobody confounds them.
        let config = config().replace("path = \"/datetime\"", "path = \"/slow?ms=100\"");
        assert!(config.contains("/slow"), "{config}");
        let mut real = Real::of(&program, &config);
        real.edit("keepalive_min_timeout 1s;", "");
        let _far = real.far(Duration::from_millis(20));
        asks_first(&mut real, "needed: `nginx 1.27.4 or newer`");
        let deploys = (2..2 + DEPLOYS).map(|n| lost_in_a_deploy(&real, version, &format!("v{n}")));
        let lost = deploys.into_iter().find(|lost| *lost > 0);
        assert!(lost.is_some(), "nginx {version}: nothing was lost in {DEPLOYS} deploys");
    }
}

/// How many reuse races a deploy of that version cost; it costs nothing else.
fn lost_in_a_deploy(real: &Real, version: &str, to: &str) -> u64 {
    let degrades = plan(&real.world, to)["degrades"].to_string();
    assert!(degrades.contains("reuse race"), "{degrades}");
    // Those of the crowd that use no connection twice.
    let crowd = Crowd::of(&real.world, &[Kind::ChunkedUpload, Kind::Socket]);
    let mut deploy = Deploy::start(&real.world, "demo", to);
    deploy.reach("shifting");
    crowd.mark();
    let shipped = deploy.end();
    crowd.expect_nothing_lost();
    let report = &shipped.report;
    println!("nginx {version}: {} {}", report["sentence"], report["causes"]);
    assert_eq!(report["outcome"], "promoted", "{} {}", shipped.why(), shipped.said);
    let causes = report["causes"].as_array().unwrap();
    let raced = |cause: &Value| cause["why"].as_str().unwrap().starts_with("reuse race: ");
    assert!(causes.iter().all(raced), "nginx {version}: {causes:?}");
    let failed = report["failed"].as_u64().unwrap();
    let counted = causes.iter().map(|one| one["failures"].as_u64().unwrap());
    assert_eq!(failed, counted.sum::<u64>());
    assert!(failed <= 30, "nginx {version}: {failed} by the reloads of one deploy");
    assert_eq!(report["proof"]["regressions"], 0, "nginx {version}: {}", report["proof"]);
    let (verdict, code) = if failed > 0 { ("FAIL", 1) } else { ("PASS", 0) };
    shipped.expect(code, verdict);
    failed
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
    real.settle(&program.display().to_string(), "/nowhere/nginx");
    refused(&real, "/nowhere/nginx");
    assert!(!real.file("cutover/demo.json").exists(), "something was written");
}
