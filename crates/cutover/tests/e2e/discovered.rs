//! Instances that somebody else starts, here the test, and that the proxy finds in a real Consul: a version
//! is shipped, instances come and go, and the Consul dies, with users all the while.
//!
//! How a source is read, and what a bad one does, is tried in the drivers' `tests/engines`, not here.

use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::consul_bed::{Bed, MASTER, program};
use crate::haproxy_bed::{Real, programs};
use crate::load::Load;
use crate::sample::whole;
use crate::traffic::Deploy;
use crate::world::{CUTOVER, World, free_port, patient_config, said, signal, turn, wait_for};

/// An instance of the sample app that no Cutover started, registered as its owner would.
struct Theirs<'a> {
    consul: &'a str,
    id: String,
    port: u16,
    process: Child,
}

impl<'a> Theirs<'a> {
    fn start(consul: &'a str, version: &str, number: u16) -> Self {
        let port = free_port();
        let mut command = Command::new(CUTOVER);
        command.args(["app", "--version", version, "--port", &port.to_string()]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let one = Self { consul, id: format!("{version}-{number}"), port, process };
        let body = json!({
            "ID": one.id, "Name": "demo", "Address": "127.0.0.1", "Port": port, "Tags": [version],
        });
        tell(consul, "/v1/agent/service/register", &body);
        one
    }

    fn deregister(&self) {
        tell(self.consul, &format!("/v1/agent/service/deregister/{}", self.id), &Value::Null);
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its owner ends it.
    fn end(mut self) {
        signal(self.process.id(), Signal::TERM);
        wait_for("an instance ends", 10, || self.process.try_wait().unwrap());
    }

    fn lives(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Theirs<'_> {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.process.kill();
        let _waited = self.process.wait();
    }
}

fn tell(agent: &str, path: &str, body: &Value) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(agent).unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let token = format!("X-Consul-Token: {MASTER}");
    let head = format!("PUT {path} HTTP/1.0\r\n{token}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
}

/// The app of [`patient_config`], found at the agent of these keys; WebSockets are told to leave by the proxy.
fn config(agent: &str) -> String {
    let found = format!(
        "instances = {{ consul = \"demo\", tag = \"{{version}}\", {agent}, at_least = 2 }}"
    );
    let all = patient_config(2);
    let kept: Vec<_> = all.lines().filter(|line| !line.starts_with("command = ")).collect();
    let text = kept.join("\n").replace("instances = 2", &found);
    let text = text.replace("deadline = \"25s\"", "deadline = \"2s\"");
    text.replace(
        "[app.demo.rollout]",
        "[app.demo.rollout]\nhandover = { frame = '{\"message\":\"reconnect\"}' }",
    )
}

/// Addresses of the app's instances, with their conditions, and its notes and trouble.
fn seen(world: &World) -> (Vec<(String, String)>, String, String) {
    let status = world.status().unwrap();
    let app = &status["apps"][0];
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |one: &Value| (text_of(&one["address"]), text_of(&one["condition"]));
    let instances = app["instances"].as_array().unwrap().iter().map(one).collect();
    (instances, app["notes"].to_string(), text_of(&app["trouble"]))
}

/// Starts a server that is shown a token with too few rights, which is refused; then one that is enough.
fn shown_a_token(consul: &Bed, world: &mut World) -> String {
    let file = world.path().join("token");
    let grant = |name: &str, rules: &str| {
        let (_, token) = consul.grant(name, rules);
        std::fs::write(&file, &token).unwrap();
        token
    };
    let token = grant("less", "service \"demo\" { policy = \"read\" }");
    world.up();
    for arguments in [["plan", "demo", "v1"], ["deploy", "demo", "v1"]] {
        let text = said(&world.expect(2, &arguments));
        assert!(
            text.contains("(`node:read`) at Consul https://") && !text.contains(&token),
            "{text}"
        );
    }
    let reads = "service \"demo\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" }";
    grant("enough", reads)
}

#[test]
fn instances_of_others_are_found_shipped_and_left_to_them_and_nothing_is_lost() {
    let _turn = turn();
    let Some(program) = program() else { return };
    let mut consul = Bed::secure(&program, true);
    consul.let_dns_read_nothing();
    let agent = consul.http.to_string();
    let mut old = [1, 2].map(|number| Theirs::start(&agent, "v1", number));
    let shown = format!("{}, token = {{ file = \"token\" }}", consul.agent_keys());
    let mut world = World::new(&config(&shown));
    let token = shown_a_token(&consul, &mut world);
    let text = said(&world.expect(0, &["plan", "demo", "v1"]));
    assert!(text.contains("follow the instances of v1") && text.contains("names 2 now"), "{text}");
    world.expect(0, &["deploy", "demo", "v1"]);
    let text = said(&world.expect(2, &["deploy", "demo", "v1"]));
    assert!(text.contains("are those that users of demo are on"), "{text}");
    let load = Load::start(world.port, 6, 3_000);
    // Nobody of this version is there.
    let text = said(&world.expect(4, &["deploy", "demo", "v9"]));
    assert!(text.contains("names no instance that passes"), "{text}");
    let first = Theirs::start(&agent, "v2", 1);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    deploy.reach("starting");
    let mut second = Theirs::start(&agent, "v2", 2);
    deploy.end().expect_unharmed();
    // Users have left those of before, and nobody ended them.
    assert!(old.iter_mut().all(Theirs::lives));
    let (instances, notes, _) = seen(&world);
    assert!(notes.contains("v1 is drained; safe to stop"), "{notes}");
    for one in &old {
        assert!(instances.contains(&(one.address(), "drained".to_owned())), "{instances:?}");
    }
    for one in old {
        one.deregister();
        one.end();
    }
    wait_for("nobody of v1 is shown", 10, || seen(&world).1.eq("null").then_some(()));
    // One more comes, one goes, in the midst of all.
    let third = Theirs::start(&agent, "v2", 3);
    let is = |one: &Theirs<'_>, condition: &str| {
        seen(&world).0.contains(&(one.address(), condition.to_owned()))
    };
    wait_for("the third gets requests", 10, || is(&third, "ready").then_some(()));
    first.deregister();
    wait_for("the first is left", 10, || (!is(&first, "ready")).then_some(()));
    first.end();
    // Nobody says any more where they are, also to a controller that comes anew.
    consul.crash();
    world.kill_up();
    world.up();
    wait_for("the trouble is told", 10, || {
        seen(&world).2.contains("cannot be asked").then_some(())
    });
    wait_for("who was known is well", 10, || {
        let known = seen(&world).0;
        (known.len() == 2 && known.iter().all(|(_, how)| how == "ready")).then_some(())
    });
    for arguments in [["plan", "demo", "v3"], ["deploy", "demo", "v3"]] {
        let text = said(&world.expect(2, &arguments));
        assert!(text.contains("cannot be asked"), "{text}");
    }
    let answered = load.answered();
    wait_for("users go on", 10, || (load.answered() > answered + 200).then_some(()));
    let held = load.end();
    assert!(held.lost.is_empty() && held.answers.iter().all(|n| *n > 0), "{held:?}");
    world.expect(0, &["down"]);
    assert!(second.lives(), "it was ended by somebody who had not started it");
    assert!(!world.said().contains(&token), "the token is in the log");
}

/// A second Cutover is a follower of Consul like any other: its own proxy takes its instances from where the
/// first one registers them. A hook of the first moves its users, before anything of the old version leaves.
#[test]
fn a_second_cutover_follows_what_the_first_one_registers_and_its_users_lose_nothing() {
    if !whole() {
        return;
    }
    let _turn = turn();
    let (Some(program), Some(haproxy)) = (program(), programs().into_iter().next_back()) else {
        return;
    };
    let consul = Bed::start(&program, false);
    // The crowd judges it; two probers at once would starve each other.
    let alone = config(&consul.agent_keys()).replace("rate = 100", "rate = 100\nenabled = false");
    let mut second = World::new(&alone);
    let file = second.path().join("cutover.toml");
    let hook = format!(
        "\n[[app.demo.hooks]]\nname = \"second\"\nbefore = \"drain\"\ntimeout = \"60s\"\n\
         command = [\"{CUTOVER}\", \"deploy\", \"demo\", \"{{version}}\", \"--config\", \"{}\"]\n",
        file.display()
    );
    // A first deploy drains nobody, so it is not called then.
    let mut first = Real::with(&haproxy, &(patient_config(2) + &hook), &consul.keys());
    first.begin();
    second.up();
    second.expect(0, &["deploy", "demo", "v1"]);
    let load = Load::start(second.port, 4, 500);
    Deploy::start(&first.world, "demo", "v2").end().expect_unharmed();
    assert_eq!(second.status().unwrap()["apps"][0]["stable"], "v2");
    wait_for("nobody of v1 is shown", 10, || seen(&second).1.eq("null").then_some(()));
    let held = load.end();
    assert!(held.lost.is_empty() && held.answers.iter().all(|n| *n > 0), "{held:?}");
    second.expect(0, &["down"]);
}

#[test]
fn doctor_does_not_try_what_it_cannot_start() {
    let world = World::new(&config("agent = \"127.0.0.1:1\""));
    let text = said(&world.expect(2, &["doctor", "demo", "v1"]));
    assert!(
        text.contains("are started by somebody else and found at Consul at 127.0.0.1:1"),
        "{text}"
    );
}
