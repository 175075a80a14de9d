//! A deploy behind an nginx for which consul-template writes what Consul has: a FAKE of it, see the drivers'
//! `common/followers`; Consul and nginx are real.
//! What the driver does step by step is not shown here but in its own tests.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::consul_bed::{Bed, MASTER, program};
use crate::crowd::{Crowd, EVERYONE};
use crate::followers::{Follower, Nginx};
use crate::foretold::came_true;
use crate::nginx_bed::nginx;
use crate::plan::plan;
use crate::sample::whole;
use crate::traffic::{Deploy, get};
use crate::world::{World, beside, patient_config, said, turn, wait_for};

/// A world behind an nginx whose servers come from this Consul.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) consul: Bed,
    template: Follower,
    _nginx: Nginx,
}

/// v1 is live; `None` without the servers.
fn live() -> Option<Scene> {
    let bake = "bake = \"300ms\"\nlongest_request = \"2s\"";
    Scene::live(&patient_config(2).replace("bake = \"1500ms\"", bake))
}

impl Scene {
    /// v1 is live; `None` without the servers.
    pub(crate) fn live(config: &str) -> Option<Self> {
        let (consul, nginx): (PathBuf, PathBuf) = (program()?, nginx()?);
        let consul = Bed::start(&consul, false);
        let proxy = "[proxy]\nlisten = [\"127.0.0.1:PORT\"]\ndrain_timeout = \"5s\"\n";
        let router = format!(
            "[router]\nkind = \"consul\"\nfollower = \"any\"\nagent = \"{}\"\nlisten = \
         [\"127.0.0.1:PORT\"]\n",
            consul.http
        );
        let config = config.replace(proxy, &router);
        let tags =
            "[app.demo.consul]\ntags = [\"urlprefix-/\", \"it-{instance}\"]\n[app.demo.health]";
        let config = config.replace("[app.demo.health]", tags);
        let mut world = World::new(&config);
        let entrance = SocketAddr::from(([127, 0, 0, 1], world.port));
        let nginx = Nginx::start(&nginx, entrance, Some("1s"));
        let template = Follower::consul_template(consul.http, "demo", &nginx);
        world.up();
        world.expect(0, &["deploy", "demo", "v1"]);
        Some(Self { world, consul, template, _nginx: nginx })
    }
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
    let crowd = Crowd::of(&world, &EVERYONE);
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
    let lanes = shipped.report["lanes"].as_array().unwrap();
    assert!(lanes.iter().any(|lane| lane["lane"] == "websocket"), "{lanes:?}");
    came_true(&world, &planned);
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
    // Not only "critical", as Consul itself would find in the end.
    assert_eq!(consul.get("/v1/agent/services"), serde_json::json!({}));
}

/// Of a token that has lost its rights, and of an agent that is away: neither starts, registers or writes
/// anything, and users have nothing of it.
#[test]
fn a_token_without_rights_and_an_agent_that_is_away_are_refused_at_plan_time() {
    let _turn = beside();
    let Some(program) = program() else { return };
    let mut consul = Bed::start(&program, true);
    let rules = "service_prefix \"\" { policy = \"write\" } node_prefix \"\" { policy = \"read\" } \
                 session_prefix \"\" { policy = \"write\" } key_prefix \"cutover/\" { policy = \"write\" }";
    let (accessor, token) = consul.grant("enough", rules);
    let mut world = World::new(&fabio_config(&consul, "token = { file = \"token\" }"));
    let _fabio = Follower::fabio(consul.http, SocketAddr::from(([127, 0, 0, 1], world.port)));
    let weak = consul.grant("weak", "service_prefix \"\" { policy = \"read\" }").1;
    std::fs::write(world.path().join("token"), &weak).unwrap();
    let text = said(&world.expect(2, &["up"]));
    assert!(text.contains("may not write") && text.contains("session"), "{text}");
    std::fs::write(world.path().join("token"), &token).unwrap();
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let keys = |consul: &Bed| consul.get("/v1/kv/cutover/demo/routes")[0]["Value"].clone();
    let before = (consul.get("/v1/agent/services"), keys(&consul));
    let refused = |world: &World, words: &str| {
        for arguments in [["plan", "demo", "v2"], ["deploy", "demo", "v2"]] {
            let text = said(&world.expect(2, &arguments));
            assert!(text.contains(words) && text.contains("Consul"), "{arguments:?}: {text}");
            assert!(!text.contains(&token), "the token is shown");
        }
        assert_eq!(world.running().len(), 1, "something was started");
        let answer = get(world.port, "a", "/version").unwrap();
        assert!(answer.contains("v1"), "{answer}");
    };
    let rights = |consul: &Bed, policies: Value| {
        let (path, body) = (format!("/v1/acl/token/{accessor}"), json!({ "Policies": policies }));
        consul.tell("PUT", &path, MASTER, &body).unwrap();
    };
    rights(&consul, json!([]));
    refused(&world, "may not write");
    assert_eq!((consul.get("/v1/agent/services"), keys(&consul)), before);
    rights(&consul, json!([{ "Name": "enough" }]));
    consul.crash();
    refused(&world, "cannot be asked");
    consul.launch();
    assert_eq!(keys(&consul), before.1);
    wait_for("users are served", 20, || {
        let answer = get(world.port, "a", "/version").ok()?;
        (answer.contains("v1") && named(&consul).contains("v1")).then_some(())
    });
    Deploy::start(&world, "demo", "v2").end().expect_unharmed();
    assert!(!world.said().contains(&token), "the token is in the log");
}

/// One instance behind a Fabio that follows this Consul.
pub(crate) fn fabio_config(consul: &Bed, more: &str) -> String {
    let proxy = "[proxy]\nlisten = [\"127.0.0.1:PORT\"]\ndrain_timeout = \"5s\"\n";
    let agent = consul.http;
    let router = format!(
        "[router]\nkind = \"consul\"\nfollower = \"any\"\nagent = \"{agent}\"\n{more}\nlisten = \
         [\"127.0.0.1:PORT\"]\n"
    );
    let config = patient_config(1).replace(proxy, &router).replace(", \"websocket\"]", "]");
    let tags = "[app.demo.consul]\ntags = [\"urlprefix-/\"]\n[app.demo.health]";
    let config = config.replace("[app.demo.health]", tags);
    config.replace("bake = \"1500ms\"", "bake = \"4s\"\nlongest_request = \"1s\"")
}
