//! A real Consul for a test: found in the test bed, one server on free ports of loopback that keeps what
//! it knows, ended with the test.
//!
//! What it cannot be brought to do is told by `fake_dns`; instances are registered by the test, not here.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drivers::router::consul::{AppSetup, Consul, Owner, Setup, Token};
use drivers::router::haproxy::config::Discovery;
use model::{AppName, Secure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::authority::Authority;

const PATIENCE: Duration = Duration::from_secs(20);
/// May everything, where tokens are asked for.
pub(crate) const MASTER: &str = "b1gs33cr3t-0000-0000-0000-000000000000";

/// Its program. Absent: said, and a failure with `TESTBED=required`.
pub(crate) fn program() -> Option<PathBuf> {
    let bed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/testbed");
    let there = bed.join("consul-bullseye/usr/bin/consul").canonicalize().ok();
    if there.is_none() {
        let words = "no Consul (cargo xtask testbed)";
        assert_ne!(std::env::var("TESTBED").as_deref(), Ok("required"), "{words}");
        aside::say(format_args!("skipped: {words}"));
    }
    there
}

/// A running Consul.
pub(crate) struct Bed {
    folder: tempfile::TempDir,
    program: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) dns: SocketAddr,
    asks_for_tokens: bool,
    /// Where its API is over TLS, and who has signed its certificate.
    pub(crate) tls: Option<(SocketAddr, Box<Authority>)>,
    config: Value,
    process: Option<Child>,
}

impl Bed {
    pub(crate) fn start(program: &Path, asks_for_tokens: bool) -> Self {
        let mut bed = Self::new(program, asks_for_tokens, None);
        bed.launch();
        bed
    }

    /// One that is to be asked over TLS: its certificate is for its address and `server.dc1.consul`.
    pub(crate) fn secure(program: &Path, asks_for_tokens: bool) -> Self {
        let mut bed = Self::new(program, asks_for_tokens, Some(Box::new(Authority::new())));
        bed.certify(4000, false);
        bed.launch();
        bed
    }

    fn new(program: &Path, asks_for_tokens: bool, authority: Option<Box<Authority>>) -> Self {
        let free = [0; 5].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = free.each_ref().map(|free| free.local_addr().unwrap());
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let mut config = json!({
            "ports": { "http": ports[0].port(), "dns": ports[1].port(), "serf_lan": ports[2].port(),
                       "server": ports[3].port(), "https": -1, "grpc": -1, "serf_wan": -1 },
            "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "node_name": "here",
            "server": true, "bootstrap_expect": 1, "data_dir": folder.path().join("data"),
            "performance": { "raft_multiplier": 1 }, "disable_update_check": true,
            "dns_config": { "service_ttl": { "*": "0s" }, "node_ttl": "0s", "udp_answer_limit": 100 },
        });
        if asks_for_tokens {
            config["acl"] = json!({ "enabled": true, "default_policy": "deny",
                                    "tokens": { "master": MASTER, "agent": MASTER } });
        }
        std::fs::write(folder.path().join("agent.json"), config.to_string()).unwrap();
        let (program, [http, dns, .., https]) = (program.to_owned(), ports);
        let tls = authority.map(|authority| (https, authority));
        Self { folder, program, http, dns, asks_for_tokens, tls, config, process: None }
    }

    /// Gives it a certificate that is good until that year, and tells it if it runs. It may want one of
    /// whoever asks.
    pub(crate) fn certify(&mut self, until: i32, of_both_sides: bool) {
        let (https, authority) = self.tls.as_ref().unwrap();
        let pair = authority.certify("agent", &["127.0.0.1", "server.dc1.consul"], until);
        self.config["ports"]["https"] = json!(https.port());
        self.config["ca_file"] = json!(authority.ca);
        (self.config["cert_file"], self.config["key_file"]) = (json!(pair.chain), json!(pair.key));
        self.config["verify_incoming_https"] = json!(of_both_sides);
        let file = self.folder.path().join("agent.json");
        std::fs::write(file, self.config.to_string()).unwrap();
        if let Some(process) = &self.process {
            let pid = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
            kill_process(pid, Signal::HUP).unwrap();
        }
    }

    /// Where its API is, and how it is spoken to over TLS, if it is.
    pub(crate) fn api(&self) -> (SocketAddr, Option<Secure>) {
        match &self.tls {
            Some((https, authority)) => {
                let ca = Some(authority.ca.clone());
                (*https, Some(Secure { ca, ..Secure::default() }))
            }
            None => (self.http, None),
        }
    }

    /// A token that may do what a policy of these rules lets it: its name, and itself.
    pub(crate) fn grant(&self, name: &str, rules: &str) -> (String, String) {
        let body = json!({ "Name": name, "Rules": rules });
        self.tell("PUT", "/v1/acl/policy", MASTER, &body).unwrap();
        let body = json!({ "Policies": [{ "Name": name }] });
        let made = self.tell("PUT", "/v1/acl/token", MASTER, &body).unwrap();
        let made: Value = serde_json::from_str(&made).unwrap();
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        (text("AccessorID"), text("SecretID"))
    }

    /// Starts it, and waits until it has a leader that may be asked.
    pub(crate) fn launch(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("agent").arg("-config-file").arg(self.folder.path().join("agent.json"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        let key = "/v1/kv/there";
        while self.tell("PUT", key, MASTER, &Value::Null).is_none_or(|said| said.trim() != "true") {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap();
            assert!(Instant::now() < deadline, "Consul does not start:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        if self.asks_for_tokens {
            self.let_dns_read();
        }
    }

    /// DNS shows no token: what it may tell is what may be read without one.
    fn let_dns_read(&self) {
        let rules =
            "service_prefix \"\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" }";
        self.let_dns("dns", rules);
    }

    /// As far as these rules go, and no further.
    pub(crate) fn let_dns(&self, name: &str, rules: &str) {
        let body = json!({ "Name": name, "Rules": rules });
        // It may be there already.
        let _made = self.tell("PUT", "/v1/acl/policy", MASTER, &body);
        let body = json!({ "Policies": [{ "Name": name }] });
        let anonymous = "/v1/acl/token/00000000-0000-0000-0000-000000000002";
        self.tell("PUT", anonymous, MASTER, &body).unwrap();
    }

    /// Takes that back.
    pub(crate) fn let_dns_read_nothing(&self) {
        let anonymous = "/v1/acl/token/00000000-0000-0000-0000-000000000002";
        self.tell("PUT", anonymous, MASTER, &json!({ "Policies": [] })).unwrap();
    }

    /// Kills it.
    pub(crate) fn crash(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Has it read its files again.
    pub(crate) fn reload(&self) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Waits for its end, which somebody told it.
    pub(crate) fn ended(&mut self) {
        let mut process = self.process.take().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while process.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "Consul does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it answers; `None` when it does not.
    pub(crate) fn tell(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> Option<String> {
        let mut stream = TcpStream::connect(self.http).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let token = if self.asks_for_tokens {
            format!("X-Consul-Token: {token}\r\n")
        } else {
            String::new()
        };
        let head =
            format!("{method} {path} HTTP/1.0\r\n{token}Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    /// As JSON.
    pub(crate) fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.tell("GET", path, MASTER, &Value::Null).unwrap()).unwrap()
    }

    /// The keys of a `[router]` that follows it.
    pub(crate) fn keys(&self) -> String {
        let agent = self.agent_keys().replace(", ", "\n");
        format!("kind = \"consul\"\n{agent}\ndns = \"{}\"\n", self.dns)
    }

    /// Where it is, as keys of the file on one line.
    pub(crate) fn agent_keys(&self) -> String {
        match &self.tls {
            Some((https, authority)) => {
                format!("agent = \"https://{https}\", ca = \"{}\"", authority.ca.display())
            }
            None => format!("agent = \"{}\"", self.http),
        }
    }

    /// A driver's part, under that name.
    pub(crate) fn consul(&self, owner: &str, token: Option<&str>) -> Consul {
        let (agent, secure) = self.api();
        Self::consul_by((agent, secure), owner, token)
    }

    /// The same, by another way to its API.
    pub(crate) fn consul_by(
        (agent, secure): (SocketAddr, Option<Secure>),
        owner: &str,
        token: Option<&str>,
    ) -> Consul {
        let app = |name: &str| AppSetup {
            name: AppName::new(name).unwrap(),
            check_path: Some("/healthz".into()),
            check_ms: 40,
            tags: vec!["urlprefix-/".into()],
            meta: BTreeMap::new(),
        };
        Consul::new(Setup {
            agent,
            secure,
            token: token.map(Token::new),
            owner: Owner { id: owner.into(), host: "this host".into() },
            apps: vec![app("demo"), app("demo-1")],
            followed_within: Duration::from_millis(150),
        })
    }

    /// Ends every session, as if nobody had renewed it for long.
    pub(crate) fn end_sessions(&self) {
        for session in self.get("/v1/session/list").as_array().unwrap() {
            let path = format!("/v1/session/destroy/{}", session["ID"].as_str().unwrap());
            self.tell("PUT", &path, MASTER, &Value::Null).unwrap();
        }
    }

    /// What a HAProxy needs to follow it.
    pub(crate) fn discovery(&self) -> Discovery {
        Discovery { dns: self.dns, domain: "consul".into(), places: 4 }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.crash();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("Consul, last lines first:\n{}", tail.join("\n"));
        }
    }
}
