//! The prober of a deploy over TLS: it proves what it proves in plain text, meets what users over TLS meet, and a
//! deploy that it could not prove is refused before it begins.
//!
//! How clients of others fare over TLS is tried in `tls`, what `cutover probe` says of certificates in `probe`.

use serde_json::Value;

use crate::nginx_bed::{Real, nginx};
use crate::sticky;
use crate::tls_client::Identity;
use crate::traffic::{Deploy, starved};
use crate::world::{World, beside, free_port, patient_config, said, sample_config, turn};

const LANES: &str = "lanes = [\"keep-alive\", \"fresh\", \"websocket\"]";

/// The same behind a proxy that listens for TLS alone, with a certificate `shop` for shop.test.
fn secure(config: &str, probe: &str) -> World {
    let port = free_port();
    let listen = format!(
        "listen = []\ntls_listen = [\"127.0.0.1:{port}\"]\n\
         certificates = [{{ chain = \"shop.crt\", key = \"shop.key\" }}]"
    );
    let config = config.replace("listen = [\"127.0.0.1:PORT\"]", &listen);
    let world = World::new(&config.replace(LANES, &format!("{LANES}\n{probe}")));
    Identity::write(world.path(), "shop", "shop.test");
    world
}

/// Whom to believe, and the name to ask for.
const BELIEVES: &str = "ca = \"shop.crt\"\nhost = \"shop.test\"";

/// Puts one text of the file in place of another.
fn edit(world: &World, from: &str, to: &str) {
    let file = world.path().join("cutover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn a_deploy_of_an_app_that_is_served_over_tls_alone_is_proved() {
    let _turn = turn();
    let lanes = "lanes = [\"keep-alive\", \"fresh\", \"http2\", \"websocket\"]";
    let config = sample_config(2).replace("late_after = \"500ms\"", "late_after = \"5s\"");
    let mut world = secure(&config, BELIEVES);
    edit(&world, LANES, lanes);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let shipped = Deploy::start(&world, "demo", "v2").end();
    shipped.expect(0, "PASS");

    let report = &shipped.report;
    assert!(report["url"].as_str().unwrap().starts_with("https://127.0.0.1:"), "{report}");
    assert_eq!((&report["failed"], &report["lanes_not_run"]), (&0.into(), &Value::Array(vec![])));
    let ran = report["lanes"].as_array().unwrap();
    let asked = |lane: &Value| number(&lane["sent"]) > 20 && lane["failed"] == 0;
    assert!(ran.len() == 4 && ran.iter().all(asked), "{ran:?}");
    let sent: u64 = ran.iter().map(|lane| number(&lane["sent"])).sum();
    let seconds = number(&report["trust"]["planned"]) / 200;
    assert!(sent >= 190 * seconds || starved(report), "{sent} in {seconds} s");
    // Kept connections went on with the new version at once, over either protocol.
    let proof = &report["proof"];
    assert!(number(&proof["longest_pinned_us"]) < 500_000, "{proof}");
    assert_eq!(proof["regressions"], 0);
    let kept = report["connections"].as_array().unwrap();
    for lane in ["keep-alive", "http2"] {
        let both = |one: &&Value| one["stretches"].as_array().is_some_and(|it| it.len() == 2);
        let across = kept.iter().filter(|one| one["lane"] == lane).filter(both).count();
        assert!(across > 0, "no connection of {lane} saw both versions: {kept:?}");
    }
    // Each request as prober, proxy and instance saw it.
    let ledger = &report["ledger"];
    assert!(number(&ledger["requests"]) > 100, "{ledger}");
    assert_eq!((&ledger["requests"], &ledger["unknown"]), (&ledger["agreed"], &0.into()));
    assert!(number(&ledger["sockets"]) > 0 && ledger["sockets"] == ledger["sockets_agreed"]);
    // What was armed is open across the switch.
    let switched = report["phases"].as_array().unwrap();
    let switched = switched.iter().find(|phase| phase["phase"] == "shifting").unwrap();
    assert!(switched["why"] == "the prober is armed" || starved(report), "{switched}");
}

#[test]
fn clients_keep_their_secure_cookies_through_a_canary() {
    let _turn = turn();
    sticky::ship(&mut secure(&sticky::canary(), BELIEVES));
}

#[test]
fn a_certificate_that_becomes_another_in_a_deploy_is_met_and_the_next_deploy_is_refused() {
    let _turn = turn();
    let mut world = secure(&patient_config(1), BELIEVES);
    edit(&world, "bake = \"1500ms\"", "bake = \"8s\"");
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    // The prober reads the roots once, so it goes on to believe the certificate of before.
    let before = world.path().join("before.crt");
    std::fs::copy(world.path().join("shop.crt"), &before).unwrap();
    edit(&world, "ca = \"shop.crt\"", "ca = \"before.crt\"");
    world.expect(0, &["reload", "--yes"]);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    deploy.reach("baking");
    Identity::write(world.path(), "shop", "shop.test");
    world.expect(0, &["reload", "--yes"]);
    let shipped = deploy.end();
    shipped.expect(4, "FAIL");
    let groups = shipped.report["groups"].as_array().unwrap();
    let fresh = |group: &&Value| group["lane"] == "fresh" && group["class"] == "refused";
    assert!(groups.iter().any(|group| fresh(&group)), "{groups:?}");
    let causes = shipped.report["causes"].to_string();
    assert!(causes.contains("TLS"), "{causes}");

    refused(&world, "does not believe the certificate at 127.0.0.1:", "ca = ");
    // Users can be brought back all the same.
    edit(&world, "ca = \"before.crt\"", "ca = \"shop.crt\"");
    world.expect(0, &["reload", "--yes"]);
    Deploy::start(&world, "demo", "v3").end().expect(0, "PASS");
}

/// `plan` and `deploy` are refused with these words, and with the line of the file on which `key` stands.
fn refused(world: &World, words: &str, key: &str) {
    let text = std::fs::read_to_string(world.path().join("cutover.toml")).unwrap();
    let line = 1 + text.lines().position(|line| line.starts_with(key)).unwrap();
    for command in ["plan", "deploy"] {
        let told = said(&world.expect(2, &[command, "demo", "v9"]));
        for part in [words, &format!("cutover.toml:{line}:"), "help: "] {
            assert!(told.contains(part), "{command}: `{part}` is missing: {told}");
        }
    }
    assert!(world.status().unwrap()["apps"][0]["rollout"].is_null(), "something was begun");
}

#[test]
fn a_deploy_whose_prober_would_believe_nobody_is_refused_and_users_are_served_all_the_same() {
    let _turn = beside();
    let mut world =
        secure(&patient_config(1), "tls = true\nca = \"shop.crt\"\nhost = \"shop.test\"");
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    Identity::write(world.path(), "stranger", "shop.test");
    for (from, to, words) in [
        (
            "shop.crt\"\nhost = \"shop.test",
            "shop.crt\"\nhost = \"other.test",
            "is not for `other.test`",
        ),
        ("other.test", "shop.test", ""),
        ("ca = \"shop.crt\"", "ca = \"stranger.crt\"", "does not believe the certificate"),
    ] {
        edit(&world, from, to);
        world.expect(0, &["reload", "--yes"]);
        if !words.is_empty() {
            refused(&world, words, "tls = ");
        }
    }
    // A file that is not there: said with its line, and no start of the server is refused for it.
    std::fs::remove_file(world.path().join("stranger.crt")).unwrap();
    let text = std::fs::read_to_string(world.path().join("cutover.toml")).unwrap();
    let line = 1 + text.lines().position(|line| line.starts_with("ca = ")).unwrap();
    for command in [&["config", "check"][..], &["reload", "--yes"]] {
        let told = said(&world.expect(2, command));
        assert!(told.contains("stranger.crt cannot be read"), "{told}");
        assert!(told.contains(&format!("cutover.toml:{line}:")), "{told}");
    }
    world.kill_up();
    world.up();
    let told = said(&world.expect(2, &["deploy", "demo", "v9"]));
    assert!(told.contains("the prober of demo cannot believe anybody"), "{told}");
    edit(&world, "ca = \"stranger.crt\"", "ca = \"shop.crt\"");
    world.expect(0, &["reload", "--yes"]);
    world.expect(0, &["plan", "demo", "v2"]);
}

#[test]
fn a_deploy_behind_nginx_is_proved_where_users_come_in_over_tls() {
    let _turn = turn();
    let Some(program) = nginx() else { return };
    let rollout = "bake = \"500ms\"\nlongest_request = \"1s\"";
    let config = patient_config(2).replace("bake = \"1500ms\"", rollout);
    let lanes = "lanes = [\"keep-alive\", \"fresh\", \"http2\", \"websocket\"]";
    let mut real = Real::of(&program, &config.replace(LANES, lanes));
    Identity::write(real.world.path(), "shop", "shop.test");
    let (plain, port) = (real.world.port, free_port());
    let listen = format!("listen = [\"127.0.0.1:{plain}\"]");
    real.settle(&listen, &format!("{listen}\ntls_listen = [\"127.0.0.1:{port}\"]"));
    real.settle(lanes, &format!("{lanes}\ntls = true\n{BELIEVES}"));
    let file = |name: &str| real.world.path().join(name).display().to_string();
    let spoken = format!(
        "listen 127.0.0.1:{plain};\nlisten 127.0.0.1:{port} ssl;\nhttp2 on;\nssl_certificate {};\n\
         ssl_certificate_key {};",
        file("shop.crt"),
        file("shop.key")
    );
    real.edit(&format!("listen 127.0.0.1:{plain};"), &spoken);
    real.start();
    real.world.up();
    real.world.expect(0, &["deploy", "demo", "v1"]);
    let shipped = Deploy::start(&real.world, "demo", "v2").end();
    shipped.expect(0, "PASS");
    let report = &shipped.report;
    assert_eq!(report["url"], format!("https://127.0.0.1:{port}/datetime"));
    assert_eq!((&report["failed"], &report["lanes_not_run"]), (&0.into(), &Value::Array(vec![])));
    let listens = real.world.status().unwrap()["listen"].to_string();
    assert!(listens.contains(&format!("127.0.0.1:{port} (TLS)")), "{listens}");

    // Where it is said that TLS is spoken, and something else is.
    real.settle(&format!("tls_listen = [\"127.0.0.1:{port}\"]"), "tls_listen = [\"127.0.0.1:9\"]");
    real.world.kill_up();
    let told = said(&real.world.expect(2, &["up"]));
    assert!(told.contains("nothing listens on 127.0.0.1:9"), "{told}");
}
