//! A HAProxy carries the traffic: the same commands, only the router is another one.
//!
//! What HAProxy itself does is real (`haproxy_bed`); the driver alone is tested in its own crate.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::foretold::came_true;
use crate::haproxy_bed::{Real, programs};
use crate::nobody::Nobody;
use crate::plan::plan;
use crate::traffic::{Deploy, get};
use crate::world::{World, patient_config, said, turn, wait_for};

/// Of every connection, no request that was sent after an answer of the new version met the old one.
fn monotone(report: &Value) {
    assert_eq!(report["proof"]["regressions"], 0, "{}", report["proof"]);
}

#[test]
fn v1_to_v2_costs_nothing() {
    let _turn = turn();
    for program in programs() {
        let mut real = Real::new(&program);
        real.world.expect(0, &["haproxy", "install"]);
        real.start();
        let text = real.world.expect(0, &["haproxy", "check"]);
        assert!(said(&text).contains("lacks nothing"), "{}", said(&text));
        real.world.up();
        assert!(real.world.parts("proxy").is_empty(), "a proxy of our own was started");
        real.world.expect(0, &["deploy", "demo", "v1"]);
        let planned = plan(&real.world, "v2");
        let mut deploy = Deploy::start(&real.world, "demo", "v2");
        deploy.reach("baking");
        let status = real.world.status().unwrap();
        assert_eq!(status["apps"][0]["pools"][1]["weight"], 10_000, "{status}");
        assert!(status["apps"][0]["trouble"].is_null(), "{status}");
        let shipped = deploy.end();
        shipped.expect(0, "PASS");
        assert_eq!(shipped.report["failed"], 0);
        assert!(shipped.report["sent"].as_u64().unwrap() > 400, "{}", shipped.report["sent"]);
        let lanes: Vec<_> = shipped.report["lanes"].as_array().unwrap().iter().collect();
        assert_eq!(lanes.len(), 3, "{lanes:?}");
        monotone(&shipped.report);
        came_true(&real.world, &planned);
        let words = format!("{} {}", program.display(), shipped.report["proof"]);
        println!("{words} switch {} us", shipped.report["switch_us"]);
        assert!(get(real.world.port, "x", "/version").unwrap().contains("v2"));
        stop_and_start_again(&mut real);
    }
}

/// `down` sees users off and ends the instances, and HAProxy is left alone; the next `up` serves.
fn stop_and_start_again(real: &mut Real) {
    real.world.expect(0, &["down"]);
    assert_eq!(real.world.ended_up(), Some(0));
    real.world.assert_nothing_runs();
    assert!(real.lives(), "HAProxy is somebody else's");
    let answer = get(real.world.port, "x", "/version").unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    real.world.up();
    let port = real.world.port;
    wait_for("v2 serves again", 20, || {
        get(port, "x", "/version").ok().filter(|answer| answer.contains("v2"))
    });
    real.world.expect(0, &["down"]);
}

/// Replaces text in a file of HAProxy's configuration.
fn edit(real: &Real, name: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(real.file(name)).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(real.file(name), text.replace(from, to)).unwrap();
}

/// Refused with exit code 2, these words and a fix; nothing of it runs.
fn refused(world: &World, arguments: &[&str], words: &[&str]) {
    let output = world.expect(2, arguments);
    let text = said(&output);
    for word in words.iter().chain(&["help:"]) {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
}

/// `up` refuses to start: each case with what is done to the configuration.
#[test]
fn a_haproxy_that_cannot_be_worked_with_is_refused_at_the_start() {
    let _turn = turn();
    let low = "    stats timeout 30s\n    stats socket LOW level operator\n";
    for program in programs() {
        let mut real = Real::new(&program);
        real.world.expect(0, &["haproxy", "install"]);
        let low = low.replace("LOW", &real.file("low.sock").display().to_string());
        edit(&real, "00-cutover.cfg", "    stats timeout 30s\n", &low);
        edit(&real, "cutover-demo.cfg", "backend cutover_demo_b_ws", "backend cutover_demo_b_wss");
        real.start();
        let before = files(&real);
        let backend = ["no backend `cutover_demo_b_ws`", "nearest: cutover_demo_b_wss"];
        refused(&real.world, &["up"], &backend);
        refused(&real.world, &["haproxy", "check"], &backend);
        let file = real.world.path().join("cutover.toml");
        let good = std::fs::read_to_string(&file).unwrap();
        let cases: [(&str, &str, &[&str]); 4] = [
            ("master.sock", "cutover-demo.cfg", &["is not a socket", "`-S` or `stats socket`"]),
            ("master.sock", "low.sock", &["low.sock` does not allow", "level admin"]),
            (
                "app.demo",
                "app.demos",
                &["no map `cutover-demos.map`", "nearest:", "cutover-demo.map"],
            ),
            ("listen = [\"127.0.0.1:", "listen = [\"127.0.0.2:", &["nothing listens on 127.0.0.2"]),
        ];
        real.crash();
        edit(&real, "cutover-demo.cfg", "backend cutover_demo_b_wss", "backend cutover_demo_b_ws");
        real.start();
        for (from, to, words) in cases {
            std::fs::write(&file, good.replace(from, to)).unwrap();
            refused(&real.world, &["up"], words);
        }
        std::fs::write(&file, good).unwrap();
        not_permitted(&real);
        real.world.assert_nothing_runs();
        assert_eq!(files(&real), before.replace("_b_wss", "_b_ws"), "something was touched");
    }
}

/// `up` of somebody whom the socket does not let in, though everything else is theirs.
fn not_permitted(real: &Real) {
    let folder = real.world.path();
    // What root's attempts before this one left there.
    std::fs::remove_dir_all(real.world.state()).unwrap();
    let nobody = Nobody::owning(folder, &["", "cutover.toml", "haproxy"]);
    if !rustix::process::geteuid().is_root() {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        std::fs::set_permissions(real.file("master.sock"), mode).unwrap();
    }
    let Some(output) = nobody.says(&["up"]) else { return };
    let text = said(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for word in ["master.sock` cannot be reached: Permission denied", "as the owner of the socket"]
    {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
}

/// Everything that Cutover could have written.
fn files(real: &Real) -> String {
    let names = ["00-cutover.cfg", "cutover-demo.cfg", "cutover-demo.map"];
    names.map(|name| std::fs::read_to_string(real.file(name)).unwrap()).join("")
}

/// One that is away is waited for, and nothing is shipped meanwhile.
#[test]
fn a_haproxy_that_is_away_is_named_and_waited_for() {
    let _turn = turn();
    for program in programs() {
        let mut real = Real::new(&program);
        real.world.expect(0, &["haproxy", "install"]);
        real.world.up();
        let away = "cannot be reached";
        let log = std::fs::read_to_string(real.world.path().join("up.log")).unwrap();
        assert!(log.contains(away) && log.contains("nobody is served"), "{log}");
        let trouble = |world: &World| world.status().unwrap()["apps"][0]["trouble"].clone();
        wait_for("the trouble is shown", 10, || {
            trouble(&real.world).as_str().filter(|text| text.contains(away)).map(drop)
        });
        refused(&real.world, &["deploy", "demo", "v1"], &[away, "is it running"]);
        // A socket that is somebody else's is no HAProxy.
        let other = UnixListener::bind(real.file("master.sock")).unwrap();
        std::thread::spawn(move || other.incoming().take(50).for_each(drop));
        refused(&real.world, &["deploy", "demo", "v1"], &["master.sock", "runtime API"]);
        std::fs::remove_file(real.file("master.sock")).unwrap();
        assert!(real.world.running().is_empty(), "an instance was started");
        real.start();
        wait_for("the trouble is over", 10, || trouble(&real.world).is_null().then_some(()));
        real.world.expect(0, &["deploy", "demo", "v1"]);
        // Somebody takes a backend away: what serves goes on, the next deploy is refused.
        edit(&real, "cutover-demo.cfg", "backend cutover_demo_a_ws", "backend other_a_ws");
        real.reload();
        wait_for("it is missed", 10, || {
            trouble(&real.world).as_str().filter(|text| text.contains("no backend")).map(drop)
        });
        refused(&real.world, &["deploy", "demo", "v2"], &["no backend `cutover_demo_a_ws`"]);
        assert!(get(real.world.port, "x", "/version").unwrap().contains("v1"));
        assert_eq!(real.world.running().len(), 2, "an instance was started");
    }
}

/// An administrator reloads HAProxy in the middle of a rollout, again and again.
#[test]
fn reloads_in_mid_rollout_cost_nothing() {
    let _turn = turn();
    for program in programs() {
        let real = Real::live(&program, &patient_config(2));
        let mut deploy = Deploy::start(&real.world, "demo", "v2");
        for phase in ["starting", "arming", "shifting", "baking", "draining"] {
            deploy.reach(phase);
            real.reload();
        }
        let shipped = deploy.end();
        shipped.expect(0, "PASS");
        monotone(&shipped.report);
        // What HAProxy cannot tell is said once, as the deploy begins; and on a machine that others keep
        // busy it may really be late, whoever reloads it.
        let busy = |line: &str| line.contains("did not answer within");
        let trouble = |line: &str| {
            line.contains("\"note\"") && !line.contains("HAProxy tells") && !busy(line)
        };
        let troubled = shipped.said.lines().any(trouble);
        assert!(!troubled, "a reload was called trouble: {}", shipped.said);
        counted_once(&shipped.report);
        assert!(get(real.world.port, "x", "/version").unwrap().contains("v2"));
    }
}

/// Nobody but the prober asks: HAProxy, whose workers each count for themselves, counted no request
/// that the prober did not send.
fn counted_once(report: &Value) {
    let router = &report["router"];
    let counted: u64 =
        ["old", "new"].map(|side| router[side]["requests"].as_u64().unwrap()).iter().sum();
    let lane = |lane: &&Value| lane["lane"] != "websocket";
    let lanes = report["lanes"].as_array().unwrap().iter().filter(lane);
    let sent: u64 = lanes.map(|lane| lane["sent"].as_u64().unwrap()).sum();
    println!("HAProxy counted {counted} of {sent}");
    assert!(counted <= sent && counted * 10 > sent * 8, "{counted} counted, {sent} sent");
}

/// `up` is killed in the middle of a rollout; HAProxy goes on, and the next `up` brings it to an end.
#[test]
fn up_killed_in_mid_rollout_costs_nothing_behind_haproxy() {
    let _turn = turn();
    for program in programs() {
        let mut real = Real::live(&program, &patient_config(2));
        let mut deploy = Deploy::start(&real.world, "demo", "v2");
        deploy.reach("shifting");
        real.world.kill_up();
        real.world.up();
        let shipped = deploy.end();
        let promoted = shipped.report["outcome"] == "promoted";
        shipped.expect(if promoted { 0 } else { 4 }, "PASS");
        let on = if promoted { "v2" } else { "v1" };
        assert!(get(real.world.port, "x", "/version").unwrap().contains(on));
    }
}

#[test]
fn install_leaves_what_is_not_its_own_and_checks_before_it_writes() {
    let _turn = turn();
    for program in programs() {
        let real = Real::new(&program);
        let world = &real.world;
        let first = world.expect(0, &["haproxy", "install"]);
        assert_eq!(said(&first).matches("wrote").count(), 3, "{}", said(&first));
        assert!(said(&first).contains("-W -S"), "{}", said(&first));
        let printed = world.expect(0, &["haproxy", "config"]);
        loads(&program, world, &printed.stdout);
        let again = world.expect(0, &["haproxy", "install"]);
        assert_eq!(said(&again).matches("unchanged").count(), 2, "{}", said(&again));
        settings_arrive(&real);
        edit(&real, "00-cutover.cfg", "hard-stop-after 1h", "hard-stop-after 2h");
        let changed = world.expect(0, &["haproxy", "install"]);
        assert!(said(&changed).contains("replaced"), "{}", said(&changed));
        let before = std::fs::read_to_string(real.file("00-cutover.cfg.before")).unwrap();
        assert!(before.contains("hard-stop-after 2h"), "what was replaced is lost");
        std::fs::write(real.file("mine.cfg"), "frontend mine\n    nonsense\n").unwrap();
        edit(&real, "00-cutover.cfg", "hard-stop-after 1h", "hard-stop-after 3h");
        refused(world, &["haproxy", "install"], &["would refuse its configuration", "nonsense"]);
        let kept = std::fs::read_to_string(real.file("00-cutover.cfg")).unwrap();
        assert!(kept.contains("hard-stop-after 3h"), "it was written before it was checked");
        std::fs::remove_file(real.file("mine.cfg")).unwrap();
        let theirs = "# a file of yours\n";
        std::fs::write(real.file("00-cutover.cfg"), theirs).unwrap();
        refused(world, &["haproxy", "install"], &["was not written by Cutover", "move it away"]);
        assert_eq!(std::fs::read_to_string(real.file("00-cutover.cfg")).unwrap(), theirs);
    }
}

/// What is changed in cutover.toml is in the file of the app after the next install, beside the
/// instances that are there; what a person has edited is kept and said, until `--force`.
fn settings_arrive(real: &Real) {
    let world = &real.world;
    let file = world.path().join("cutover.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let health = |path: &str| {
        let text = good.replace("path = \"/healthz\"", &format!("path = \"{path}\""));
        assert_ne!(text, good);
        std::fs::write(&file, text).unwrap();
    };
    let app = "cutover-demo.cfg";
    let server = "weight 100\n    server demo-1-1 127.0.0.1:1\n";
    edit(real, app, "weight 100\n", server);
    health("/ready");
    let changed = world.expect(0, &["haproxy", "install"]);
    assert!(said(&changed).contains("replaced"), "{}", said(&changed));
    let text = std::fs::read_to_string(real.file(app)).unwrap();
    assert_eq!(
        (text.matches("GET /ready").count(), text.matches(server).count()),
        (4, 4),
        "{text}"
    );
    edit(real, app, "balance leastconn", "balance roundrobin");
    let kept = world.expect(0, &["haproxy", "install"]);
    assert!(said(&kept).contains("kept"), "{}", said(&kept));
    health("/alive");
    let words = ["was edited", "- ", "GET /ready", "+ ", "GET /alive", "--force"];
    refused(world, &["haproxy", "install"], &words);
    let text = std::fs::read_to_string(real.file(app)).unwrap();
    assert!(text.contains("roundrobin") && !text.contains("/alive"), "{text}");
    world.expect(0, &["haproxy", "install", "--force"]);
    let text = std::fs::read_to_string(real.file(app)).unwrap();
    assert_eq!(
        (text.matches("GET /alive").count(), text.matches(server).count()),
        (4, 4),
        "{text}"
    );
    std::fs::write(&file, good).unwrap();
    world.expect(0, &["haproxy", "install"]);
}

/// The printed configuration is one that HAProxy starts with.
fn loads(program: &Path, world: &World, printed: &[u8]) {
    let file = world.path().join("printed.cfg");
    std::fs::write(&file, printed).unwrap();
    let mut command = Command::new(program);
    let output = command.arg("-c").arg("-dW").arg("-f").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let text = std::str::from_utf8(printed).unwrap();
    let reasons = text.lines().filter(|line| line.trim_start().starts_with('#')).count();
    assert!(reasons > 20, "only {reasons} lines of reasons");
}

#[test]
fn files_are_reviewed_without_a_server() {
    let _turn = turn();
    let world = World::empty();
    let file = world.path().join("theirs.cfg");
    let theirs = "global\n    stats socket /run/h.sock level operator\nlisten l\n    mode http\n    \
                  bind :80\n    retry-on all-retryable-errors\n    server s 10.0.0.1:80\n";
    std::fs::write(&file, theirs).unwrap();
    let output = world.expect(2, &["haproxy", "check", "theirs.cfg"]);
    let text = said(&output);
    for word in [
        "things to mend",
        "/run/h.sock level operator (theirs.cfg:2)",
        "level admin",
        "each idle keep-alive client loses one request at a reload",
        "a POST is done twice",
    ] {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
    let output = world.expect(2, &["haproxy", "check", "theirs.cfg", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["findings"][0]["section"], "global", "{json}");
    assert_eq!(json["findings"][0]["at"]["line"], 2, "{json}");
    refused(&world, &["haproxy", "check", "none.cfg"], &["cannot read `none.cfg`"]);
    std::fs::write(world.path().join("cutover.toml"), "[app.web]\ncommand = [\"a\"]\n").unwrap();
    for what in ["config", "install", "check"] {
        let words = ["Cutover's own proxy carry the traffic", "kind = \"haproxy\""];
        refused(&world, &["haproxy", what], &words);
    }
}

/// HAProxy dies in the middle of a rollout and nobody starts it again: the rollout ends, says what it
/// is that is away, and what served would serve again.
#[test]
fn a_haproxy_that_never_comes_back_does_not_keep_a_rollout_for_ever() {
    if std::env::var_os("CUTOVER_FULL").is_none() {
        aside::say("skipped: it lasts as long as the way back may take (CUTOVER_FULL=1)");
        return;
    }
    let _turn = turn();
    for program in programs() {
        let mut real = Real::live(&program, &patient_config(1));
        let mut deploy = Deploy::start(&real.world, "demo", "v2");
        deploy.reach("baking");
        real.crash();
        let shipped = deploy.end_within(120);
        // Users get nothing, and who could give them something is not there: a person is needed.
        shipped.expect(5, "FAIL");
        let facts = shipped.report["facts"].to_string();
        assert!(facts.contains("HAProxy was away from"), "{facts}");
        let status = real.world.status().unwrap();
        let stable = status["apps"][0]["stable"].as_str().unwrap().to_owned();
        real.start();
        let port = real.world.port;
        wait_for("the stable release serves", 20, || {
            get(port, "x", "/version").ok().filter(|answer| answer.contains(&stable))
        });
    }
}
