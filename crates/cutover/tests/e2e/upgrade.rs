//! `cutover upgrade`: another binary in the place of the running one, under users of every kind.
//!
//! Whether a rollout survives the death of `up` without an upgrade is in `crash`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use model::admin::{Reply, Request};
use model::{Generation, Routes};
use rustix::process::Signal;
use serde_json::Value;

use crate::crowd::{Crowd, Kind};
use crate::knocks::Knocks;
use crate::router_contract::ask;
use crate::totals::Totals;
use crate::traffic::{Deploy, Users, get};
use crate::wire::Wire;
use crate::world::{CUTOVER, World, free_port, patient_config, said, signal, turn, wait_for};

/// A copy of the binary under test that is not the same file.
fn another(world: &World) -> PathBuf {
    let path = world.path().join("cutover-new");
    if !path.exists() {
        std::fs::copy(CUTOVER, &path).unwrap();
    }
    path
}

/// A binary that is the one under test but for one command, which does `instead`.
fn broken(world: &World, command: &str, instead: &str) -> PathBuf {
    let path = world.path().join(format!("cutover-{command}-broken"));
    let new = another(world);
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = {command} ] && {{ {instead}; }}\nexec {} \"$@\"\n",
        new.display()
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A world with v1 live, and metrics at an address that one proxy can have.
fn live(instances: u16) -> World {
    let metrics = format!("metrics = \"127.0.0.1:{}\"\ndrain_timeout", free_port());
    let config = patient_config(instances).replacen("drain_timeout", &metrics, 1);
    let mut world = World::new(&config);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    world
}

/// Ships a version; nothing is lost.
fn ships(world: &World, version: &str) {
    // Whether the prober could send enough for a verdict, beside all the others, is for other tests.
    Deploy::start(world, "demo", version).end().expect_unharmed();
}

fn proxies(world: &World) -> Vec<Value> {
    world.status().unwrap()["proxies"].as_array().unwrap().clone()
}

/// Where metrics are told.
fn metrics_port(world: &World) -> u16 {
    let file = std::fs::read_to_string(world.path().join("cutover.toml")).unwrap();
    let port = file.split("metrics = \"127.0.0.1:").nth(1).unwrap();
    port.split('"').next().unwrap().parse().unwrap()
}

/// Upgrades by the metrics of the proxy that is there now.
fn counted(world: &World) -> Option<u64> {
    let metrics = get(metrics_port(world), "x", "/metrics").unwrap();
    metrics.split("\ncutover_upgrades_total ").nth(1)?.lines().next()?.parse().ok()
}

#[test]
fn upgrades_under_new_connections_and_every_kind_of_user_lose_nothing() {
    let _turn = turn();
    let full = std::env::var_os("CUTOVER_FULL").is_some();
    let world = live(2);
    let (before, pid) = (world.running(), world.status().unwrap()["pid"].clone());
    let new = another(&world).display().to_string();
    let users = Users::of(&world, None);
    let crowd = Crowd::of(&world, &[Kind::Download, Kind::Slow, Kind::Upload, Kind::Socket]);
    let knocks = Knocks::at(world.port);
    let totals = Totals::at(metrics_port(&world));
    let rounds = if full { 100 } else { 3 };
    for round in 0..rounds {
        crowd.mark();
        // To another binary, to the one of the command, and so on.
        let words = if round % 2 == 0 { vec!["upgrade", &*new] } else { vec!["upgrade"] };
        let output = world.expect(0, &words);
        assert!(said(&output).contains("upgraded 0."), "{}", said(&output));
        let program = world.status().unwrap()["program"].as_str().unwrap().to_owned();
        assert!(program.contains("/upgrade/"), "it runs from its own folder: {program}");
    }
    assert_eq!(world.status().unwrap()["pid"], pid, "the server keeps its number");
    assert_eq!(world.running(), before, "instances are not touched");
    assert_eq!(counted(&world), Some(rounds), "the metrics tell them all");
    let served = knocks.served();
    let rate = knocks.expect_none_refused();
    assert!(rate > 1_000.0, "hardly a load: {rate:.0} a second");
    // Sockets are told to move by a deploy, wherever their proxy is; then the old proxies are empty.
    ships(&world, "v2");
    let tallies = crowd.expect_nothing_lost();
    let socket = tallies.last().unwrap();
    assert_eq!(socket.reconnects, 1, "told once, by the deploy: {socket:?}");
    users.expect_none_lost();
    wait_for("the old proxies are gone", 20, || (proxies(&world).len() == 1).then_some(()));
    let accepted = totals.expect_none_fell()["cutover_connections_accepted_total"];
    assert!(accepted >= served, "{accepted} were counted, and {served} were served");
    let zombies = zombies_of(pid.as_u64().unwrap());
    assert!(zombies.is_empty(), "nobody is left unburied: {zombies:?}");
    world.expect(0, &["down"]);
    world.assert_nothing_runs();
}

/// Children of a process that have ended and were not reaped.
fn zombies_of(parent: u64) -> Vec<String> {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let theirs = |stat: &String| {
        let rest = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace());
        let mut fields = rest.into_iter().flatten();
        fields.next() == Some("Z") && fields.next() == Some(&parent.to_string())
    };
    stats.filter(theirs).collect()
}

#[test]
fn a_new_binary_that_fails_its_self_check_is_refused_and_nothing_is_touched() {
    let _turn = turn();
    let world = live(1);
    let before = (world.status().unwrap()["pid"].clone(), proxies(&world), world.running());
    let check =
        broken(&world, "upgrade-check", "echo 'the journal is of another time' >&2; exit 5");
    let mute = world.path().join("not-a-cutover");
    std::fs::copy("/bin/true", &mute).unwrap();
    let cases = [
        (check, "the journal is of another time"),
        (mute, "its self-check failed"),
        (world.path().join("nothing"), "cannot be taken"),
        (world.path().to_owned(), "is not a file"),
        (world.path().join("cutover.toml"), "it cannot be run"),
    ];
    for (program, words) in &cases {
        let output = world.expect(2, &["upgrade", &program.display().to_string()]);
        assert!(said(&output).contains(words), "{}", said(&output));
    }
    // The file is checked as well, by the new binary.
    let file = world.path().join("cutover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    for (odd, words) in [
        (text.replace("instances = 1", "instances = 0"), "instances"),
        (text.replace("app.demo", "app.other"), "no app of that name is configured"),
    ] {
        std::fs::write(&file, odd).unwrap();
        let body = another(&world).display().to_string();
        let said = ask_to_upgrade(&world, &body);
        assert!(said.contains(words), "{said}");
    }
    std::fs::write(&file, text).unwrap();
    let after = (world.status().unwrap()["pid"].clone(), proxies(&world), world.running());
    assert_eq!(before.0, after.0);
    assert_eq!(before.2, after.2);
    assert_eq!((before.1.len(), after.1.len()), (1, 1), "no proxy was started");
}

/// Asks over the API, as a command would whose own file is right, and answers the end of the story.
fn ask_to_upgrade(world: &World, program: &str) -> String {
    let body = format!("{{\"program\": \"{program}\", \"within_ms\": 10000}}");
    let mut stream = UnixStream::connect(world.state().join("api.sock")).unwrap();
    let head = "POST /v1/upgrade HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let length = body.len();
    write!(
        stream,
        "{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let story = world.state().join("upgrade/story.ndjson");
    wait_for("the story has an end", 20, || {
        let text = std::fs::read_to_string(&story).ok()?;
        text.lines().any(|line| line.contains("\"outcome\":\"refused\"")).then_some(text)
    })
}

#[test]
fn a_new_binary_that_fails_later_is_taken_back_by_itself() {
    let _turn = turn();
    let world = live(1);
    let users = Users::of(&world, None);
    let crowd = Crowd::of(&world, &[Kind::Download, Kind::Socket]);
    let knocks = Knocks::at(world.port);
    let before = world.running();
    let raises = format!(
        "UPGRADE_TEST_STATE={} {} --exact upgrade::child_writes_a_newer_schema; exit 3",
        world.state().display(),
        std::env::current_exe().unwrap().display()
    );
    let cases = [
        ("proxy", "exit 3", "did not start as a proxy"),
        ("up", "exit 3", "it ended"),
        ("up", "exec sleep 600", "not healthy within 2s"),
        // It brings the journal up to date before it fails: the old one goes on with that.
        ("up", &raises, "it ended"),
    ];
    for (command, instead, words) in cases {
        crowd.mark();
        let program = broken(&world, command, instead).display().to_string();
        let output = world.expect(4, &["upgrade", &program, "--within", "2s"]);
        assert!(said(&output).contains(words), "{}", said(&output));
        let status = world.status().expect("the old binary answers");
        assert_eq!(status["apps"][0]["stable"], "v1");
        assert_eq!(world.running(), before, "instances are not touched");
    }
    knocks.expect_none_refused();
    // What came back is whole: the next upgrade and the next deploy work.
    world.expect(0, &["upgrade"]);
    ships(&world, "v2");
    crowd.expect_nothing_lost();
    users.expect_none_lost();
    world.expect(0, &["down"]);
    world.assert_nothing_runs();
}

/// Run again as a process of its own: does to the journal what a newer binary may do, and says so there.
#[test]
fn child_writes_a_newer_schema() {
    let Ok(state) = std::env::var("UPGRADE_TEST_STATE") else { return };
    let path = std::path::Path::new(&state).join("cutover.db");
    let database = rusqlite::Connection::open(path).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    database
        .execute_batch(
            "BEGIN;
            ALTER TABLE rollout ADD COLUMN asked_by TEXT NOT NULL DEFAULT 'nobody';
            ALTER TABLE event ADD COLUMN source TEXT NOT NULL DEFAULT '';
            INSERT INTO meta (key, value) VALUES ('least_reader_of_3', 2);
            PRAGMA user_version = 3;
            COMMIT;",
        )
        .unwrap();
}

/// It has room for a few connections alone, as under a low `ulimit -n`: whoever asks what it has, or asks it
/// once, learns nothing of that.
#[test]
fn a_new_proxy_that_fails_users_whom_the_old_one_serves_is_taken_back() {
    let _turn = turn();
    let world = live(1);
    let before = (world.running(), world.parts("proxy"));
    // The process becomes the new binary.
    let up = u32::try_from(world.status().unwrap()["pid"].as_u64().unwrap()).unwrap();
    let program = broken(&world, "proxy", "ulimit -n 90").display().to_string();
    let mut upgrade = world.command(&["upgrade", &program, "--within", "30s"]);
    let upgrade = upgrade.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let story = world.state().join("upgrade/story.ndjson");
    wait_for("it takes new connections too", 20, || {
        let told = std::fs::read_to_string(&story).unwrap_or_default();
        told.contains("takes new connections").then_some(())
    });
    // It is not found healthy before it is full, however slow this machine is.
    signal(up, Signal::STOP);
    // Both accept: until one user has met the new one when it had no room.
    let mut clients = Vec::new();
    wait_for("it is full", 20, || {
        let idle = (0..20).map(|_| TcpStream::connect(("127.0.0.1", world.port)).unwrap());
        clients.extend(idle);
        let mut answers = (0..5).map(|_| get(world.port, "x", "/version").unwrap_or_default());
        answers.any(|answer| answer.starts_with("HTTP/1.1 503")).then_some(())
    });
    signal(up, Signal::CONT);
    let output = upgrade.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let words = "a user of `demo` is answered HTTP/1.1 503";
    assert!(said(&output).contains(words), "{}", said(&output));
    drop(clients);
    wait_for("the old proxy is left", 20, || (world.parts("proxy") == before.1).then_some(()));
    assert_eq!(world.running(), before.0, "instances are not touched");
    ships(&world, "v2");
}

#[test]
fn neither_begins_beside_the_other_an_upgrade_and_a_rollout() {
    let _turn = turn();
    let world = live(1);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    deploy.reach("baking");
    let output = world.expect(2, &["upgrade"]);
    assert!(said(&output).contains("a rollout of `demo` to v2 is under way"), "{}", said(&output));
    deploy.end().expect_unharmed();
    let program = broken(&world, "upgrade-check", "sleep 3; exit 1");
    let mut upgrade = world
        .command(&["upgrade", &program.display().to_string(), "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("a deploy and another upgrade are refused", 20, || {
        let status = world.status()?;
        status["upgrading"].is_string().then_some(())
    });
    for words in [&["deploy", "demo", "v3"][..], &["upgrade"]] {
        let output = world.expect(2, words);
        assert!(said(&output).contains("an upgrade is under way"), "{}", said(&output));
    }
    assert_eq!(upgrade.wait().unwrap().code(), Some(2));
    ships(&world, "v3");
}

#[test]
fn up_killed_in_the_middle_of_an_upgrade_costs_nothing() {
    let _turn = turn();
    let mut world = live(1);
    let users = Users::of(&world, None);
    let crowd = Crowd::of(&world, &[Kind::Download, Kind::Slow]);
    let knocks = Knocks::at(world.port);
    let before = world.running();
    let new = another(&world).display().to_string();
    let steps = ["can read the state", "was tried on", "takes new connections", "goes on as"];
    for step in steps {
        crowd.mark();
        let pid = u32::try_from(world.status().unwrap()["pid"].as_u64().unwrap()).unwrap();
        let story = world.state().join("upgrade/story.ndjson");
        drop(std::fs::remove_file(&story));
        let mut upgrade = world.command(&["upgrade", &new]).stderr(Stdio::null()).spawn().unwrap();
        while !std::fs::read_to_string(&story).unwrap_or_default().contains(step) {
            assert!(upgrade.try_wait().unwrap().is_none(), "`{step}` was never said");
        }
        signal(pid, Signal::KILL);
        // Whoever asked would wait for the end of the story.
        signal(upgrade.id(), Signal::KILL);
        upgrade.wait().unwrap();
        world.bury(pid);
        // The guard brings it back if there was one already; else a supervisor does.
        if !quickly(|| world.status().filter(|status| status["pid"] != pid).map(|_| ())) {
            world.up();
        }
        assert_eq!(world.running(), before, "after `{step}`");
        assert!(get(world.port, "x", "/version").unwrap().starts_with("HTTP/1.1 200"));
        wait_for("one proxy is left", 30, || (proxies(&world).len() == 1).then_some(()));
    }
    knocks.expect_none_refused();
    crowd.expect_nothing_lost();
    users.expect_none_lost();
    ships(&world, "v2");
}

/// Whether something becomes so within a few seconds.
fn quickly(mut so: impl FnMut() -> Option<()>) -> bool {
    let deadline = Instant::now() + Duration::from_secs(4);
    while Instant::now() < deadline {
        if so().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// What is not in effect at the proxy that is being replaced is not in effect: a deploy waits for it and
/// goes back at its deadline, or that proxy's clients would be sent to an instance that has been stopped.
#[test]
fn a_deploy_waits_for_a_replaced_proxy_that_refuses_its_routes() {
    let _turn = turn();
    let world = live(1);
    let mut clients: Vec<Wire> = (0..8).map(|_| Wire::connect(world.port).unwrap()).collect();
    for client in &mut clients {
        assert_eq!(client.version().unwrap(), "v1");
    }
    // It keeps the old proxy for longer than a deploy waits.
    let mut slow = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
    write!(slow, "GET /slow?ms=45000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    wait_for("it is open", 20, || {
        (world.status()?["apps"][0]["pools"][0]["requests"] == 1).then_some(())
    });
    world.expect(0, &["upgrade", &another(&world).display().to_string()]);
    let pid = heeds_nobody(&world);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    let waits = format!("waits for the proxy that is being replaced (pid {pid})");
    wait_for("the deploy waits, or is over", 60, || {
        (world.said().contains(&waits) || deploy.over()).then_some(())
    });
    // It closes who is idle after a while; who asks before that has an answer.
    let asked: Vec<_> = clients.iter_mut().map(Wire::version).collect();
    let closed = |error: &std::io::Error| error.to_string().contains("closed before");
    let lost = asked.iter().filter(|asked| asked.as_ref().is_err_and(|error| !closed(error)));
    assert_eq!(lost.count(), 0, "{asked:?}");
    assert!(asked.iter().flatten().all(|version| version == "v1"), "{asked:?}");
    if asked.iter().all(Result::is_err) {
        aside::say("the clients of a replaced proxy were closed before they could ask");
    }
    let shipped = deploy.end();
    assert_eq!(shipped.code, Some(4), "{}", shipped.said);
    assert!(world.said().contains(&waits), "{}", world.said());
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    wait_for("the old proxy is gone", 20, || (proxies(&world).len() == 1).then_some(()));
    ships(&world, "v3");
}

/// The proxy that is being replaced has heard of a controller of another time; gives its pid.
fn heeds_nobody(world: &World) -> u32 {
    let sockets = std::fs::read_dir(world.state()).unwrap().flatten().map(|entry| entry.path());
    let is_old = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("proxy-");
    let old = sockets.into_iter().find(is_old).expect("it has clients");
    let Some(Reply::Seen(seen)) = ask(&old, &Request::Look) else { panic!("it does not answer") };
    let (epoch, expected) = (seen.epoch + 100, seen.apps[0].routes.generation);
    let routes = Routes { generation: Generation(expected.0 + 1), ..seen.apps[0].routes.clone() };
    assert_eq!(ask(&old, &Request::Publish { epoch, expected, routes }), Some(Reply::Done));
    seen.pid
}
