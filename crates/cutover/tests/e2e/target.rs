//! A canary with a target: users who carry the header see the new version whatever its share, also when it
//! has none, and are back on the old one as soon as it is given up. None of them gets an error.

use std::io::{Read as _, Result, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::haproxy_bed::{Real, programs};
use crate::scene::Scene;
use crate::strategies::{perfect, tell};
use crate::traffic::{Deploy, Users};
use crate::world::{World, beside, patient_config, said, turn, wait_for};

const TARGET: &str = "target = { header = \"X-Canary\", value = \"new\" }";
const MARK: &str = "x-canary: new\r\n";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Status and version of the answer to one request on a connection of its own.
fn ask(port: u16, path: &str, lines: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // In one piece: the second of two would wait for the first to be acknowledged.
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = String::new();
    let mut byte = [0];
    while !head.ends_with("\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(char::from(byte[0]));
    }
    let head = head.to_ascii_lowercase();
    let version = head.split("x-cutover-version: ").nth(1).and_then(|rest| rest.lines().next());
    Ok((head[9..12].to_owned(), version.unwrap_or_default().to_owned()))
}

fn marked(port: u16) -> String {
    let (status, version) =
        ask(port, "/datetime", &format!("{MARK}Connection: close\r\n")).unwrap();
    assert_eq!(status, "200");
    version
}

/// A user who carries the mark and asks all the time; answers the versions seen, in their order.
struct Marked(Arc<AtomicBool>, JoinHandle<Vec<String>>);

impl Marked {
    fn of(port: u16) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let leave = Arc::clone(&over);
        let user = std::thread::spawn(move || {
            let mut versions: Vec<String> = Vec::new();
            for _ in 0..100_000 {
                if leave.load(Ordering::SeqCst) {
                    break;
                }
                let version = marked(port);
                if versions.last() != Some(&version) {
                    versions.push(version);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            versions
        });
        Self(over, user)
    }

    fn end(self) -> Vec<String> {
        self.0.store(true, Ordering::SeqCst);
        self.1.join().expect("a user met an error")
    }
}

/// Users with the mark saw these versions in this order. Where a change is there sooner for one connection
/// than for another, both may have answered for a moment, in any order.
fn saw(scene: &Scene, versions: &[String], wanted: &[&str]) {
    let name = scene.name();
    println!("{name}: {versions:?}");
    if scene.at_once() {
        return assert_eq!(versions, wanted, "{name}");
    }
    let ends = |all: &[String]| (all.first().cloned(), all.last().cloned());
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    assert_eq!(ends(versions), ends(&wanted), "{name}: {versions:?}");
    assert!(wanted.iter().all(|one| versions.contains(one)), "{name}: {versions:?}");
}

/// Of a quarter, three of four users without the mark stay where they are.
fn scenes(steps: &str, step_bake: &str) -> Vec<Box<dyn FnOnce() -> Scene>> {
    let steps = format!("steps = [{steps}]\nstep_bake = \"{step_bake}\"\nbake = \"1s\"");
    Scene::all(2, &format!("strategy = \"canary\"\n{steps}\n{TARGET}"))
}

#[test]
fn a_target_sees_every_request_answered_by_the_candidate() {
    let _turn = turn();
    for scene in scenes("\"25%\"", "4s") {
        let scene = scene();
        let port = scene.world().port;
        assert_eq!(marked(port), "v1", "{}", scene.name());
        let user = Marked::of(port);
        let mut deploy = Deploy::start(scene.world(), "demo", "v2");
        deploy.reach("baking");
        for _ in 0..200 {
            assert_eq!(marked(port), "v2", "{}", scene.name());
        }
        let (status, version) = ask(port, "/ws", &format!("{MARK}{UPGRADE}")).unwrap();
        assert_eq!((status.as_str(), version.as_str()), ("101", "v2"), "{}", scene.name());
        let plain = |_| ask(port, "/datetime", "Connection: close\r\n").unwrap().1;
        let old = (0..100).map(plain).filter(|version| version == "v1").count();
        assert!((50..100).contains(&old), "{old} of 100 without the mark: {}", scene.name());
        let shipped = deploy.end();
        perfect(&scene, &shipped);
        tell(&scene, "header-targeted, then 25 %", &shipped);
        saw(&scene, &user.end(), &["v1", "v2"]);
    }
}

#[test]
fn a_target_goes_back_with_everybody_when_the_candidate_is_given_up() {
    let _turn = turn();
    for scene in scenes("\"0%\", \"pause\", \"25%\"", "30s") {
        let scene = scene();
        let port = scene.world().port;
        let user = Marked::of(port);
        let mut deploy = Deploy::start(scene.world(), "demo", "v2");
        deploy.reach("baking");
        for _ in 0..50 {
            assert_eq!(marked(port), "v2", "{}", scene.name());
            let (_, version) = ask(port, "/datetime", "Connection: close\r\n").unwrap();
            assert_eq!(version, "v1", "it has no share: {}", scene.name());
        }
        scene.world().expect(0, &["abort", "demo"]);
        deploy.reach("draining-candidate");
        for _ in 0..50 {
            assert_eq!(marked(port), "v1", "{}", scene.name());
        }
        deploy.end().expect(4, "PASS");
        saw(&scene, &user.end(), &["v1", "v2", "v1"]);
    }
}

/// Blue-green with a preview: those who are named see the new version alone, until a person lets it go on.
#[test]
fn a_preview_is_seen_by_a_target_alone_until_a_person_lets_everybody_in() {
    let _turn = beside();
    let preview = format!("preview = \"pause\"\nbake = \"1s\"\n{TARGET}");
    let config = patient_config(2).replace("bake = \"1500ms\"", &preview);
    let mut world = World::new(&config);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let plan = said(&world.expect(0, &["plan", "demo", "v2"]));
    assert!(
        plan.contains("blue-green, seen by whom a target names until a person goes on first"),
        "{plan}"
    );
    let (user, users) = (Marked::of(world.port), Users::of(&world, None));
    let mut deploy = Deploy::start(&world, "demo", "v2");
    wait_for("a pause", 30, || (world.status()?["apps"][0]["coarse"] == "Paused").then_some(()));
    for _ in 0..50 {
        assert_eq!(marked(world.port), "v2");
        let (_, version) = ask(world.port, "/datetime", "Connection: close\r\n").unwrap();
        assert_eq!(version, "v1", "nobody else sees it");
    }
    assert_eq!(world.status().unwrap()["apps"][0]["progress"]["strategy"], "blue-green");
    assert!(!deploy.over(), "it waits");
    world.expect(0, &["resume", "demo"]);
    deploy.end().expect_unharmed();
    users.expect_none_lost();
    assert_eq!(user.end(), ["v1", "v2"]);
    assert_eq!(marked(world.port), "v2");
}

/// A rule on another name needs a reload, so it is refused before anything relies on it.
#[test]
fn a_target_that_haproxy_does_not_look_at_is_refused_until_it_does() {
    let _turn = turn();
    for program in programs() {
        let canary = format!("bake = \"1s\"\nstrategy = \"canary\"\n{TARGET}");
        let plain = patient_config(2).replace("bake = \"1500ms\"", "bake = \"1s\"");
        let mut real = Real::of(&program, &plain);
        real.world.expect(0, &["haproxy", "install"]);
        real.start();
        let file = real.world.path().join("cutover.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("bake = \"1s\"", &canary)).unwrap();
        for command in [&["up"][..], &["haproxy", "check"]] {
            let words = said(&real.world.expect(2, command));
            assert!(words.contains("does not look at the header x-canary"), "{words}");
            assert!(words.contains("cutover haproxy install"), "{words}");
        }
        real.world.assert_nothing_runs();
        real.world.expect(0, &["haproxy", "install"]);
        real.reload();
        wait_for("HAProxy looks at it", 10, || {
            real.world.run(&["haproxy", "check"]).status.success().then_some(())
        });
        real.world.up();
        real.world.expect(0, &["deploy", "demo", "v1"]);
    }
}
