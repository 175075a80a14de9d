//! A deploy behind an nginx for which consul-template writes what Consul has: a FAKE of it, see the drivers'
//! `common/followers`; Consul and nginx are real.
//! What the driver does step by step is not shown here but in its own tests.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use crate::consul_bed::{Bed, program};
use crate::crowd::{Crowd, REQUESTS};
use crate::followers::{Follower, Nginx};
use crate::nginx_bed::nginx;
use crate::plan::plan;
use crate::sample::whole;
use crate::traffic::Deploy;
use crate::world::{World, patient_config, said, turn, wait_for};

struct Scene {
    world: World,
    consul: Bed,
    template: Follower,
    _nginx: Nginx,
}

/// v1 is live; `None` without the servers.
fn live() -> Option<Scene> {
    let (consul, nginx): (PathBuf, PathBuf) = (program()?, nginx()?);
    let consul = Bed::start(&consul, false);
    let proxy = "[proxy]\nlisten = [\"127.0.0.1:PORT\"]\ndrain_timeout = \"5s\"\n";
    let router = format!(
        "[router]\nkind = \"consul\"\nfollower = \"any\"\nagent = \"{}\"\nlisten = \
         [\"127.0.0.1:PORT\"]\n",
        consul.http
    );
    let config = patient_config(2).replace(proxy, &router).replace(", \"websocket\"]", "]");
    let bake = "bake = \"300ms\"\nlongest_request = \"2s\"";
    let tags = "[app.demo.consul]\ntags = [\"urlprefix-/\", \"it-{instance}\"]\n[app.demo.health]";
    let config = config.replace("bake = \"1500ms\"", bake).replace("[app.demo.health]", tags);
    let mut world = World::new(&config);
    let entrance = SocketAddr::from(([127, 0, 0, 1], world.port));
    let nginx = Nginx::start(&nginx, entrance, Some("1s"));
    let template = Follower::consul_template(consul.http, "demo", &nginx);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    Some(Scene { world, consul, template, _nginx: nginx })
}

/// The instances that every follower gets, with their tags.
fn named(consul: &Bed) -> String {
    let entries = consul.get("/v1/health/service/demo?passing");
    let of = |one: &Value| one["Service"]["Tags"].to_string();
    let mut all: Vec<String> = entries.as_array().unwrap().iter().map(of).collect();
    all.sort();
    all.concat()
}

#[test]
fn a_deploy_behind_consul_template_costs_nothing_and_waits_for_it() {
    let _turn = turn();
    let Some(Scene { world, consul, template, _nginx }) = live() else { return };
    let planned = plan(&world, "v2");
    assert_eq!(planned["router"]["name"], "Consul's follower");
    let degrades = planned["degrades"].to_string();
    for lost in
        ["does not tell requests from tunnels", "both versions answer", "counts no failures"]
    {
        assert!(degrades.contains(lost), "{lost}: {degrades}");
    }
    let crowd = Crowd::of(&world, &REQUESTS);
    // It does not hear of v2 for a while: v1 stays named, and runs.
    template.hold(true);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    deploy.reach("shifting");
    crowd.mark();
    wait_for("v2 is registered", 10, || named(&consul).contains("v2").then_some(()));
    let text = wait_for("it is said who is waited for", 10, || {
        let text = said(&world.run(&["status"]));
        text.contains("follower to take up v2").then_some(text)
    });
    assert!(!deploy.over() && named(&consul).contains("v1"), "{text} {}", named(&consul));
    assert!(world.running().iter().any(|(id, _)| id == "demo-1-1"));
    template.hold(false);
    let shipped = deploy.end();
    crowd.mark();
    crowd.expect_nothing_lost();
    shipped.expect(0, "PASS");
    let tags = r#"["release-2","v2","urlprefix-/","it-demo-2-1"]["release-2","v2","urlprefix-/","it-demo-2-2"]"#;
    assert_eq!(named(&consul), tags);
    if whole() {
        // It never hears of v3, and the rollout returns to v2.
        template.hold(true);
        let shipped = Deploy::start(&world, "demo", "v3").end();
        assert_eq!((shipped.code, &shipped.report["outcome"]), (Some(4), &"aborted".into()));
        assert_eq!(named(&consul), tags);
        template.hold(false);
    }
    world.expect(0, &["down"]);
    wait_for("Consul names nobody", 10, || named(&consul).is_empty().then_some(()));
}
