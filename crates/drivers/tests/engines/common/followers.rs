//! FAKES of two programs that follow Consul, and an nginx for one of them. They are written from what the
//! originals document, and are none of their code:
//!
//! - consul-template: `service "NAME"` of a template is a blocking query of `/v1/health/service/NAME?passing`
//!   with the index of the answer before; a change is rendered when nothing more came for the shortest of its
//!   `wait`, or after the longest; then its command runs, such as `nginx -s reload`.
//! - Fabio: a blocking query of `/v1/health/state/any`; instances with a tag `urlprefix-` whose checks pass
//!   and that are not in maintenance are its table, read from `/v1/catalog/service/NAME`; each request goes to
//!   any of them; without one it answers 404.
//!
//! The originals take their place where `CONSUL_TEMPLATE` and `FABIO` name their programs.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);
/// consul-template's `wait`.
const QUIET: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));
/// Who is named where there is nobody.
const NOBODY: &str = "127.0.0.1:65535";

/// One that follows, until it is dropped.
pub(crate) struct Follower {
    stop: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
    original: Option<Child>,
}

impl Follower {
    /// Writes the servers of a service into a file of nginx's and has nginx read it.
    pub(crate) fn consul_template(consul: SocketAddr, service: &str, nginx: &Nginx) -> Self {
        let (file, master) = (nginx.servers(), nginx.pid());
        if let Some(program) = std::env::var_os("CONSUL_TEMPLATE") {
            let template = file.with_extension("ctmpl");
            let text = format!(
                "{{{{range service \"{service}\"}}}}server {{{{.Address}}}}:{{{{.Port}}}};\n\
                 {{{{else}}}}server {NOBODY};{{{{end}}}}"
            );
            std::fs::write(&template, text).unwrap();
            let mut command = Command::new(program);
            command.arg("-consul-addr").arg(consul.to_string()).arg("-wait").arg("100ms:500ms");
            let (from, to) = (template.display(), file.display());
            command.arg("-template").arg(format!("{from}:{to}:kill -HUP {master}"));
            return Self::original(command);
        }
        let path = format!("/v1/health/service/{service}?passing");
        Self::fake(move |following| {
            let mut index = 0;
            while let Some(mut answer) = following.changed(consul, &path, &mut index) {
                let begun = Instant::now();
                while begun.elapsed() < QUIET.1 {
                    let Some(more) = following.ask(consul, &path, &mut index, QUIET.0) else {
                        break;
                    };
                    answer = more;
                }
                std::fs::write(&file, rendered(&answer)).unwrap();
                signal(master, Signal::HUP);
            }
        })
    }

    /// Carries requests to instances with a tag `urlprefix-`.
    pub(crate) fn fabio(consul: SocketAddr, entrance: SocketAddr) -> Self {
        if let Some(program) = std::env::var_os("FABIO") {
            let mut command = Command::new(program);
            command.arg("-proxy.addr").arg(entrance.to_string());
            command.arg("-registry.consul.addr").arg(consul.to_string());
            command.args(["-registry.consul.register.enabled=false", "-ui.addr", "127.0.0.1:0"]);
            let follower = Self::original(command);
            wait("Fabio listens", || TcpStream::connect(entrance).is_ok());
            return follower;
        }
        let table: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let listener = TcpListener::bind(entrance).unwrap();
        let carried = Arc::clone(&table);
        std::thread::spawn(move || {
            let turn = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming().flatten() {
                let (table, turn) = (Arc::clone(&carried), Arc::clone(&turn));
                std::thread::spawn(move || carry(stream, &table, &turn));
            }
        });
        Self::fake(move |following| {
            let mut index = 0;
            while let Some(checks) = following.changed(consul, "/v1/health/state/any", &mut index) {
                *table.lock().unwrap() = routed(consul, &checks);
            }
        })
    }

    fn fake(run: impl FnOnce(Following) + Send + 'static) -> Self {
        let (stop, held) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let following = Following { stop: Arc::clone(&stop), held: Arc::clone(&held) };
        std::thread::spawn(move || run(following));
        Self { stop, held, original: None }
    }

    fn original(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let original = Some(command.spawn().unwrap());
        Self { stop: Arc::default(), held: Arc::default(), original }
    }

    /// Stops it in its tracks, as SIGSTOP does, or lets it go on.
    pub(crate) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
        if let Some(original) = &self.original {
            signal(original.id(), if held { Signal::STOP } else { Signal::CONT });
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(original) = &mut self.original {
            let _gone = original.kill();
            let _waited = original.wait();
        }
    }
}

/// What a fake does with Consul.
struct Following {
    stop: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
}

impl Following {
    /// The next answer that is another one; `None` at the end.
    fn changed(&self, consul: SocketAddr, path: &str, index: &mut u64) -> Option<Value> {
        while !self.stop.load(Ordering::SeqCst) {
            if let Some(answer) = self.ask(consul, path, index, Duration::from_secs(1)) {
                return Some(answer);
            }
        }
        None
    }

    /// What is there when the index has changed, within that time.
    fn ask(
        &self,
        consul: SocketAddr,
        path: &str,
        index: &mut u64,
        within: Duration,
    ) -> Option<Value> {
        let and = if path.contains('?') { '&' } else { '?' };
        let within = within.as_millis();
        let asked = get(consul, &format!("{path}{and}index={index}&wait={within}ms"));
        while self.held.load(Ordering::SeqCst) && !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let Some((now, answer)) = asked else {
            std::thread::sleep(Duration::from_millis(50));
            return None;
        };
        let before = std::mem::replace(index, now);
        (before != now).then_some(answer)
    }
}

/// Index and body of an answer.
fn get(consul: SocketAddr, path: &str) -> Option<(u64, Value)> {
    let mut stream = TcpStream::connect(consul).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let line = head.lines().find_map(|line| line.strip_prefix("X-Consul-Index: "));
    Some((line.and_then(|index| index.parse().ok()).unwrap_or(0), serde_json::from_str(body).ok()?))
}

fn rendered(answer: &Value) -> String {
    let one = |entry: &Value| {
        let service = &entry["Service"];
        format!("server {}:{};\n", service["Address"].as_str().unwrap(), service["Port"])
    };
    let all: String = answer.as_array().unwrap().iter().map(one).collect();
    if all.is_empty() { format!("server {NOBODY};\n") } else { all }
}

/// Where requests may go, by all checks of all services.
fn routed(consul: SocketAddr, checks: &Value) -> Vec<SocketAddr> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = checks.as_array().unwrap();
    let bad = |one: &&Value| one["Status"] != "passing";
    let bad: BTreeSet<String> =
        checks.iter().filter(bad).map(|one| text(&one["ServiceID"])).collect();
    let names: BTreeSet<String> = checks.iter().map(|one| text(&one["ServiceName"])).collect();
    let mut all = Vec::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        let Some((_, services)) = get(consul, &format!("/v1/catalog/service/{name}")) else {
            continue;
        };
        for one in services.as_array().unwrap() {
            let tags = one["ServiceTags"].as_array().unwrap();
            let tagged = tags.iter().any(|tag| text(tag).starts_with("urlprefix-"));
            if tagged && !bad.contains(&text(&one["ServiceID"])) {
                let address = format!("{}:{}", text(&one["ServiceAddress"]), one["ServicePort"]);
                all.push(address.parse().unwrap());
            }
        }
    }
    all
}

/// One client: each of its requests goes to the next instance, on a connection of its own.
fn carry(stream: TcpStream, table: &Mutex<Vec<SocketAddr>>, turn: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut client = stream;
    loop {
        let head = head(&mut reader)?;
        let all = table.lock().unwrap().clone();
        let n = turn.fetch_add(1, Ordering::SeqCst);
        let answer = match all.get(n % all.len().max(1)) {
            None => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
            Some(to) => exchange(*to, &head).unwrap_or_else(|| {
                b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_vec()
            }),
        };
        client.write_all(&answer).ok()?;
        if head.to_ascii_lowercase().contains("connection: close") {
            return None;
        }
    }
}

fn exchange(to: SocketAddr, request: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(to).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    let head = head(&mut reader)?;
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some([head.into_bytes(), body].concat())
}

fn head(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// A real nginx whose upstream is what somebody else writes.
pub(crate) struct Nginx {
    folder: tempfile::TempDir,
    pub(crate) entrance: SocketAddr,
    master: Child,
}

impl Nginx {
    /// Starts it at that entrance; `waits` says that it can wait for kept connections, and for how long.
    pub(crate) fn start(program: &Path, entrance: SocketAddr, waits: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display().to_string();
        let temps = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temps = temps.map(|name| format!("{name}_temp_path {here};\n")).concat();
        let kept = waits.map_or(String::new(), |time| format!("keepalive_min_timeout {time};\n"));
        let text = format!(
            "worker_processes 2;\npid {here}/pid;\nerror_log {here}/log notice;\nevents {{}}\n\
             http {{\n{temps}access_log off;\n{kept}map $http_upgrade $upgrades {{ default upgrade; '' ''; }}\n\
             upstream app {{ include {here}/servers; }}\n\
             server {{\nlisten {entrance};\nlocation / {{\nproxy_pass http://app;\n\
             proxy_http_version 1.1;\nproxy_set_header Connection $upgrades;\n\
             proxy_set_header Upgrade $http_upgrade;\n\
             proxy_set_header Host $host;\n}}\n}}\n}}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), text).unwrap();
        std::fs::write(folder.path().join("servers"), format!("server {NOBODY};")).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
        command.arg("-e").arg(folder.path().join("log")).args(["-g", "daemon off;"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let master = command.spawn().unwrap();
        let nginx = Self { folder, entrance, master };
        wait("nginx listens", || TcpStream::connect(entrance).is_ok());
        nginx
    }

    fn servers(&self) -> PathBuf {
        self.folder.path().join("servers")
    }

    fn pid(&self) -> u32 {
        self.master.id()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("{log}");
        }
        let _gone = kill_process_group(Pid::from_child(&self.master), Signal::KILL);
        let _waited = self.master.wait();
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may have ended by itself meanwhile.
    let _sent = kill_process(pid, signal);
}

fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
