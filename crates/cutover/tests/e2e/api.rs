//! The API as its document describes it: real answers of a running server fit the schemas, each operation
//! is asked, and over TCP nobody is served without TLS and the token.
//!
//! What an order comes to is tried by the commands that give it, not here.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};

use crate::tls_client::Identity;
use crate::world::{World, beside, free_port, patient_config, said, wait_for};

pub(crate) const TOKEN: &str = "a-token-of-the-tests-0123456789-abcdef";
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What no test can ask for without ending the server that it asks, with the reason.
const UNASKED: [&str; 1] = ["post /v1/upgrade 202"];

/// The document, and what was asked of it.
pub(crate) struct Document {
    pub(crate) whole: Value,
    asked: BTreeSet<String>,
}

impl Document {
    pub(crate) fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let mut whole: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        close(&mut whole["components"]["schemas"]);
        Self { whole, asked: BTreeSet::new() }
    }

    /// The answer must be one that the document has, and fit its schema.
    fn check(&mut self, (method, path): (&str, &str), answer: &Answer) {
        let operation = &self.whole["paths"][path][method];
        let said = &answer.body;
        assert!(operation.is_object(), "{method} {path} is not in the document");
        let status = answer.status.to_string();
        let response = self.resolved(&operation["responses"][&status]);
        assert!(response.is_object(), "{method} {path} answers {status}, undocumented: {said}");
        let kind = answer.kind.split(';').next().unwrap();
        let schema = response["content"][kind]["schema"].clone();
        assert!(schema.is_object(), "{method} {path} answers {kind}, undocumented");
        if kind == "application/json" {
            self.fits(&schema, &serde_json::from_str(said).unwrap(), path);
        }
        self.asked.insert(format!("{method} {path} {status}"));
    }

    /// Each piece of data of an event stream must fit.
    fn check_event(&mut self, path: &str, data: &str) -> Value {
        let response = &self.whole["paths"][path]["get"]["responses"]["200"];
        let schema = response["content"]["text/event-stream"]["schema"].clone();
        let value = serde_json::from_str(data).unwrap();
        self.fits(&schema, &value, path);
        self.asked.insert(format!("get {path} 200"));
        value
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let reference = value["$ref"].as_str();
        reference.map_or(value, |reference| self.whole.pointer(&reference[1..]).unwrap())
    }

    pub(crate) fn fits(&self, schema: &Value, value: &Value, path: &str) {
        let mut root = schema.clone();
        root["components"] = self.whole["components"].clone();
        let validator = jsonschema::validator_for(&root).unwrap();
        let found: Vec<_> = validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(found.is_empty(), "{path}: {found:?}\n{value:#}");
    }

    /// Every operation was answered as it should be.
    fn all_asked(&self) {
        for (path, item) in self.whole["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap();
                let good = responses.keys().find(|status| status.starts_with('2')).unwrap();
                let one = format!("{method} {path} {good}");
                let asked = self.asked.contains(&one) || UNASKED.contains(&one.as_str());
                assert!(asked, "no test has seen `{one}`: ask for it in tests/e2e/api.rs");
            }
        }
    }
}

/// Fields that the document does not name are none that the server may answer.
fn close(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            if object.contains_key("properties") {
                object.insert("additionalProperties".into(), false.into());
            }
        }
        Value::Array(array) => array.iter_mut().for_each(close),
        _ => {}
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) body: String,
}

/// Writes a request for one answer.
fn ask(stream: &mut impl Write, what: (&str, &str), body: Option<&Value>, more: &str) {
    let (method, path) = (what.0.to_uppercase(), what.1);
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}");
    let rest = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(format!("{head}{rest}").as_bytes()).unwrap();
}

/// Reads the head: status and type.
fn head(reader: &mut impl std::io::BufRead) -> (u16, String) {
    let (mut status, mut kind) = (0, String::new());
    for line in reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().unwrap();
        }
        if let Some(rest) = line.to_ascii_lowercase().strip_prefix("content-type: ") {
            rest.clone_into(&mut kind);
        }
    }
    (status, kind)
}

/// Asks at the socket of a world.
fn at_socket(world: &World, what: (&str, &str), body: Option<&Value>) -> Answer {
    let mut stream = UnixStream::connect(world.state().join("api.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    ask(&mut stream, what, body, "");
    let mut reader = BufReader::new(stream);
    let (status, kind) = head(&mut reader);
    let mut body = String::new();
    reader.read_to_string(&mut body).unwrap();
    Answer { status, kind, body }
}

/// The data of an event stream, one after the other.
fn events(world: &World, path: &str) -> impl Iterator<Item = String> + use<> {
    let mut stream = UnixStream::connect(world.state().join("api.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    ask(&mut stream, ("get", path), None, "");
    let mut reader = BufReader::new(stream);
    assert_eq!(head(&mut reader), (200, "text/event-stream".to_owned()));
    let lines = reader.lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix("data: ").map(str::to_owned))
}

/// Follows an app until a run reaches a phase or ends.
fn until(world: &World, document: &mut Document, (run, what): (&str, &str)) {
    let mut present = false;
    for data in events(world, "/v1/apps/demo/events") {
        let notice = document.check_event("/v1/apps/{app}/events", &data);
        let ended = notice["notice"] == "ended" && notice["run"] == run;
        if notice["notice"] == "began" {
            present = notice["run"] == run;
        }
        if ended || present && notice["phase"] == what {
            return;
        }
    }
    panic!("{run} was not seen to be {what}");
}

/// Asks, and holds the answer against the document.
fn call(
    world: &World,
    document: &mut Document,
    what: (&str, &str),
    path: &str,
    body: Value,
) -> Answer {
    let body = (what.0 == "post").then_some(body);
    let answer = at_socket(world, (what.0, path), body.as_ref());
    document.check(what, &answer);
    answer
}

/// What an operator can do to a rollout, with the third version.
fn operate(world: &World, document: &mut Document) {
    let status = ("get", "/v1/status");
    let (deploy, abort) = (("post", "/v1/apps/{app}/deploy"), ("post", "/v1/apps/{app}/abort"));
    let third = json!({ "version": "v3", "run": "runofthev3" });
    call(world, document, deploy, "/v1/apps/demo/deploy", third);
    until(world, document, ("runofthev3", "baking"));
    for (verb, body) in [
        ("pause", json!({ "reason": "a test" })),
        ("weight", json!({ "weight": 1000 })),
        ("resume", json!({})),
        ("promote", json!({ "full": true })),
    ] {
        let path = format!("/v1/apps/{{app}}/{verb}");
        call(world, document, ("post", &path), &path.replace("{app}", "demo"), body);
        call(world, document, status, "/v1/status", json!({}));
    }
    until(world, document, ("runofthev3", "ended"));
    let rollback = ("post", "/v1/apps/{app}/rollback");
    let retry = ("post", "/v1/apps/{app}/retry");
    let run = |id: &str| json!({ "run": id });
    call(world, document, rollback, "/v1/apps/demo/rollback", run("runofthewayback"));
    let others = json!({ "reason": "a test", "run": "runofthev3" });
    let answer = call(world, document, abort, "/v1/apps/demo/abort", others);
    assert!(answer.body.contains("run runofthev3 is not under way"), "{}", answer.body);
    let its = json!({ "reason": "a test", "run": "runofthewayback" });
    call(world, document, abort, "/v1/apps/demo/abort", its);
    until(world, document, ("runofthewayback", "ended"));
    call(world, document, retry, "/v1/apps/demo/retry", run("runoftheretry"));
}

/// Both apps in one rollout, there, back and once more.
fn together(world: &World, document: &mut Document) {
    let idle = || {
        wait_for("no rollout is under way", 30, || {
            let apps = world.status()?["apps"].as_array()?.clone();
            apps.iter().all(|app| app["rollout"].is_null()).then_some(())
        });
    };
    for (verb, body, aborts) in [
        ("deploy", json!({ "version": "v4", "run": "runoftheboth" }), false),
        ("deploy", json!({ "version": "v5", "run": "runofbothnext" }), true),
        ("retry", json!({ "run": "runofbothagain" }), false),
        ("rollback", json!({ "run": "runofbothback" }), true),
    ] {
        let path = format!("/v1/together/{{name}}/{verb}");
        call(world, document, ("post", &path), &path.replace("{name}", "both"), body);
        call(world, document, ("get", "/v1/status"), "/v1/status", json!({}));
        if aborts {
            let abort = ("post", "/v1/apps/{app}/abort");
            call(world, document, abort, "/v1/apps/demo/abort", json!({ "reason": "a test" }));
        }
        idle();
    }
    call(world, document, ("get", "/v1/history"), "/v1/history", json!({}));
}

/// What was told of changes and hooks.
#[derive(Default)]
struct Acts {
    /// Those that began and have not ended, by app.
    under_way: Vec<(String, String)>,
    done: Vec<String>,
}

impl Acts {
    fn take(&mut self, happening: &Value) {
        let happened = &happening["happened"];
        if !["change", "hook"].contains(&happened["notice"].as_str().unwrap()) {
            return;
        }
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (app, act) = (text(&happening["app"]), text(&happened["text"]));
        if happened["stage"] == "begins" {
            return self.under_way.push((app, act));
        }
        assert_eq!(happened["stage"], "done", "{happening}");
        // How a hook ended is told behind what it is.
        let same = |(of, begun): &(String, String)| *of == app && act.starts_with(begun.as_str());
        let at = self.under_way.iter().position(same);
        self.under_way.remove(at.unwrap_or_else(|| panic!("{act} never began")));
        self.done.push(act);
    }

    /// All that began has ended, and something that begins with each of these words was done.
    fn expect(&self, words: &[&str]) {
        assert_eq!(self.under_way, []);
        for word in words {
            let told = self.done.iter().any(|act| act.starts_with(word));
            assert!(told, "{word} was not told: {:#?}", self.done);
        }
    }
}

#[test]
fn real_answers_fit_the_document_and_every_operation_is_asked() {
    let _turn = beside();
    let canary = "strategy = \"canary\"\nsteps = [\"50%\"]\nstep_bake = \"1s\"\nbake = \"300ms\"";
    let config = patient_config(1).replace("bake = \"1500ms\"", canary);
    let (_, app) = config.split_once("[app.demo]").unwrap();
    let other = app.replace("app.demo", "app.other");
    let other = format!("[app.other]\nhosts = [\"other.test\"]{other}");
    let both = "[together.both]\napps = [\"demo\", \"other\"]\n";
    let hook = "[[app.demo.hooks]]\nname = \"gate\"\nbefore = \"switch\"\ncommand = [\"true\"]\n";
    let mut world = World::new(&format!("{config}\n{other}\n{both}\n{hook}"));
    world.up();
    let mut document = Document::read();
    let (status, plan) = (("get", "/v1/status"), ("post", "/v1/apps/{app}/plan"));
    let deploy = ("post", "/v1/apps/{app}/deploy");
    let answer = call(&world, &mut document, ("get", "/openapi.json"), "/openapi.json", json!({}));
    let served: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(served["paths"], document.whole["paths"], "what is served is what is committed");
    call(&world, &mut document, status, "/v1/status", json!({}));
    call(&world, &mut document, plan, "/v1/apps/demo/plan", json!({ "version": "v1" }));
    let all = events(&world, "/v1/events");
    for version in ["v1", "v2"] {
        let begun = json!({ "version": version, "run": format!("runofthe{version}") });
        call(&world, &mut document, deploy, "/v1/apps/demo/deploy", begun);
        call(&world, &mut document, status, "/v1/status", json!({}));
        until(&world, &mut document, (&format!("runofthe{version}"), "ended"));
    }
    let (mut seen, mut acts) = (BTreeSet::new(), Acts::default());
    for data in all {
        let happening = document.check_event("/v1/events", &data);
        let happened = &happening["happened"];
        seen.insert(happened["notice"].as_str().unwrap().to_owned());
        acts.take(&happening);
        if happened["notice"] == "ended" && happened["run"] == "runofthev2" {
            break;
        }
    }
    for notice in ["began", "phase", "live", "status", "change", "hook", "ended"] {
        assert!(seen.contains(notice), "{notice} did not happen: {seen:?}");
    }
    acts.expect(&["start demo-2-", "route demo (", "tell demo-1-", "call the hook gate"]);
    call(&world, &mut document, plan, "/v1/apps/demo/plan", json!({ "version": "v3" }));
    call(&world, &mut document, ("get", "/v1/history"), "/v1/history?app=demo&limit=9", json!({}));
    for file in ["report.json", "report.html"] {
        let path = format!("/v1/runs/runofthev2/{file}");
        call(&world, &mut document, ("get", "/v1/runs/{run}/{file}"), &path, json!({}));
    }
    let reload = ("post", "/v1/reload");
    call(&world, &mut document, reload, "/v1/reload", json!({ "apply": false }));
    // Refusals are faults.
    call(&world, &mut document, plan, "/v1/apps/nobody/plan", json!({ "version": "v1" }));
    call(&world, &mut document, deploy, "/v1/apps/demo/deploy", json!({ "version": "../x" }));
    call(
        &world,
        &mut document,
        ("get", "/v1/runs/{run}/{file}"),
        "/v1/runs/none/report.json",
        json!({}),
    );
    let nothing = json!({ "program": "/nowhere/cutover", "within_ms": 1000 });
    call(&world, &mut document, ("post", "/v1/upgrade"), "/v1/upgrade", nothing);
    together(&world, &mut document);
    operate(&world, &mut document);
    call(&world, &mut document, ("post", "/v1/stop"), "/v1/stop", json!({ "now": true }));
    document.all_asked();
    assert_eq!(world.ended_up(), Some(0));
    world.assert_nothing_runs();
}

/// The configuration of a world whose API listens on TCP.
pub(crate) fn remote(world: &World, port: u16, token: &str) {
    let path = world.path().join("cutover.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let api = format!(
        "[api]\nlisten = \"127.0.0.1:{port}\"\nchain = \"api.crt\"\nkey = \"api.key\"\ntoken = {token}\n"
    );
    std::fs::write(path, api + &text).unwrap();
}

/// Asks over TLS.
pub(crate) fn over_tls(port: u16, identity: &Identity, what: (&str, &str), more: &str) -> Answer {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(identity.remembers(), name).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    let body = (what.0 == "post").then(|| json!({ "program": "/bin/true", "within_ms": 1000 }));
    ask(&mut stream, what, body.as_ref(), more);
    let mut reader = BufReader::new(stream);
    let (status, kind) = head(&mut reader);
    let mut body = String::new();
    // How the session ends does not matter: the answer has a length.
    let _ended = reader.read_to_string(&mut body);
    Answer { status, kind, body }
}

#[test]
fn over_tcp_nobody_is_served_without_tls_and_the_token() {
    let _turn = beside();
    let (port, mut world) = (free_port(), World::patient(1));
    let identity = Identity::write(world.path(), "api", "localhost");
    remote(&world, port, "{ from = \"API_TOKEN\" }");
    let output = world.expect(2, &["up"]);
    assert!(said(&output).contains("the variable API_TOKEN"), "{}", said(&output));
    let file = world.path().join("api.token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let path = world.path().join("cutover.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("{ from = \"API_TOKEN\" }", "{ file = \"api.token\" }"))
        .unwrap();
    let pid = world.up();
    let mut document = Document::read();
    let status = ("get", "/v1/status");
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    let answer = wait_for("the API listens", 10, || {
        TcpStream::connect(("127.0.0.1", port)).ok()?;
        Some(over_tls(port, &identity, status, &right))
    });
    document.check(status, &answer);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, &told["pid"]), (200, &pid.into()));
    let shorter = &TOKEN[1..];
    for wrong in
        [String::new(), format!("Bearer {shorter}"), format!("Basic {TOKEN}"), TOKEN.into()]
    {
        let wrong = if wrong.is_empty() { wrong } else { format!("Authorization: {wrong}\r\n") };
        let answer = over_tls(port, &identity, status, &wrong);
        document.check(status, &answer);
        assert_eq!(answer.status, 401, "{wrong}: {}", answer.body);
    }
    let upgrade = ("post", "/v1/upgrade");
    let answer = over_tls(port, &identity, upgrade, &right);
    document.check(upgrade, &answer);
    assert_eq!(answer.status, 403);
    // In the clear there is no answer at all.
    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    ask(&mut plain, status, None, &right);
    let mut got = Vec::new();
    let _reset = plain.read_to_end(&mut got);
    assert!(!String::from_utf8_lossy(&got).contains("HTTP/"), "{got:?}");
    assert!(!world.said().contains(TOKEN), "the token was logged");
    world.expect(0, &["down", "--now"]);
    assert_eq!(world.ended_up(), Some(0));
    // A certificate that went bad is no reason to serve no user.
    std::fs::write(world.path().join("api.key"), "").unwrap();
    world.up();
    assert!(world.said().contains("api.key cannot be read"), "{}", world.said());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "without TLS nobody listens");
}
