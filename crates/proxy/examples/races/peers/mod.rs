//! Those who are compared, each with the configuration that its documentation shows for two apps by
//! host, and changed by its own usual means: routes for Cutover, a new file and a reload for the others.
//!
//! What a peer loses is not counted here.

mod admin;
mod caddy;
pub(crate) mod cutover;
mod haproxy;
mod leaving;
mod nginx;
mod whole;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::identity::Identity;
use crate::users::answers;

/// Everybody, in the order of the table.
pub(crate) const NAMES: [&str; 8] = [
    "cutover",
    "haproxy-bookworm",
    "haproxy-trixie",
    "haproxy-sid",
    "nginx-bookworm",
    "nginx-trixie",
    "nginx-sid",
    "caddy-bookworm",
];

/// Instances of the two apps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Apps {
    /// Of `a.test`.
    pub(crate) a: Vec<SocketAddr>,
    /// Of `b.test`.
    pub(crate) b: Vec<SocketAddr>,
    /// Those of `a.test` by name. Whoever is told of addresses, too, keeps to those, but for the whole of Cutover.
    pub(crate) named: Option<Named>,
    /// Who asks instances for their health only when told to is told to.
    pub(crate) checked: bool,
}

/// Instances by name.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    /// The DNS that knows it.
    pub(crate) server: SocketAddr,
}

impl Apps {
    /// The name to keep to, if any.
    fn by_name(&self) -> Option<&Named> {
        self.named.as_ref().filter(|_| self.a.is_empty())
    }
}

/// Where one listens.
struct Places {
    address: SocketAddr,
    /// Over TLS.
    secure: SocketAddr,
    /// For whoever operates it, if it needs a place for that.
    control: SocketAddr,
}

/// A running proxy.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The same over TLS.
    pub(crate) secure: SocketAddr,
    /// What it shows there.
    pub(crate) identity: Identity,
    name: String,
    folder: tempfile::TempDir,
    child: Child,
    control: SocketAddr,
    own: Option<cutover::Own>,
}

impl Peer {
    /// What it says of itself; an error when it is not there.
    pub(crate) fn version(name: &str, testbed: &Path) -> Result<String, String> {
        if name == "cutover" {
            return Ok(format!("this one, {}", env!("CARGO_PKG_VERSION")));
        }
        let argument = if name.starts_with("caddy") { "version" } else { "-v" };
        let ran = Command::new(program(name, testbed)).arg(argument).output();
        let output = ran.map_err(|error| error.to_string())?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        Ok(said.lines().next().unwrap_or_default().to_owned())
    }

    /// Starts one that carries to these, and waits until it does: those of `a` are called `v1`.
    pub(crate) fn start(name: &str, testbed: &Path, apps: &Apps) -> Self {
        let peer = Self::begin(name, testbed, apps);
        assert!(answers(peer.address, "a.test", "v1"), "{name}: {}", peer.said());
        peer
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Starts one and waits until it takes connections.
    pub(crate) fn begin(name: &str, testbed: &Path, apps: &Apps) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::of(folder.path());
        let places = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr());
        let [address, secure, control] = places.map(Result::unwrap);
        if let ("cutover", Some(named)) = (name, &apps.named) {
            let child = whole::start(folder.path(), address, named);
            let name = name.to_owned();
            return Self { address, secure, identity, name, folder, child, control, own: None };
        }
        if name == "cutover" {
            let (own, child) = cutover::Own::start(folder.path(), apps, &identity);
            let (address, secure, control) = (own.address, own.secure, own.address);
            let (name, own) = (name.to_owned(), Some(own));
            return Self { address, secure, identity, name, folder, child, control, own };
        }
        let places = Places { address, secure, control };
        write(name, folder.path(), (&places, &identity), apps);
        let mut command = Command::new(program(name, testbed));
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        match name.split('-').next() {
            Some("haproxy") => command.args(["-W", "-f"]).arg(folder.path().join("conf")),
            Some("nginx") => nginx_arguments(&mut command, folder.path()),
            _ => {
                command.env("HOME", folder.path());
                command.args(["run", "--adapter", "caddyfile", "--config"]);
                command.arg(folder.path().join("conf"))
            }
        };
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let name = name.to_owned();
        let peer = Self { address, secure, identity, name, folder, child, control, own: None };
        let deadline = Instant::now() + Duration::from_secs(8);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "{}: {}", peer.name, peer.said());
            std::thread::sleep(Duration::from_millis(5));
        }
        peer
    }

    /// Carries to these from now on.
    pub(crate) fn carry(&mut self, apps: &Apps) {
        if let Some(own) = &mut self.own {
            return own.publish(apps);
        }
        self.write(apps);
        self.reload();
    }

    fn write(&self, apps: &Apps) {
        let Self { address, secure, control, .. } = *self;
        let places = Places { address, secure, control };
        write(&self.name, self.folder.path(), (&places, &self.identity), apps);
    }

    /// Puts a new process, or new workers, in the place of those that run; they carry to these.
    pub(crate) fn renew(&mut self, apps: &Apps) {
        if let Some(own) = &mut self.own {
            return own.renew(&mut self.child, self.folder.path(), (apps, &self.identity));
        }
        self.write(apps);
        self.reload();
    }

    /// Waits until nothing is open on an instance that left, where the proxy can tell; the others
    /// cannot, and whoever operates them goes on.
    pub(crate) fn drained(&mut self, address: SocketAddr) {
        if let Some(own) = &mut self.own {
            own.drained(address);
        }
    }

    /// True for those who ask instances for their health.
    pub(crate) fn checks(&self) -> bool {
        self.kind() != "nginx"
    }

    fn kind(&self) -> &str {
        self.name.split('-').next().unwrap_or_default()
    }

    /// True for those whose controller waits until an instance is ready.
    pub(crate) fn has_gate(&self) -> bool {
        self.own.is_some()
    }

    fn reload(&self) {
        match self.kind() {
            "haproxy" => signal(&self.child, Signal::USR2),
            "nginx" => signal(&self.child, Signal::HUP),
            _ => caddy::load(self.control, &self.folder.path().join("conf")),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        signal(&self.child, Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // What it started ends with it or by itself.
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended already.
        let _ = kill_process(pid, signal);
    }
}

fn program(name: &str, testbed: &Path) -> PathBuf {
    let path = match name.split('-').next() {
        Some("caddy") => "usr/bin/caddy",
        Some("nginx") => "usr/sbin/nginx",
        _ => "usr/sbin/haproxy",
    };
    testbed.join(name).join(path)
}

fn nginx_arguments<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command.arg("-p").arg(folder).arg("-e").arg(folder.join("log"));
    command.arg("-c").arg(folder.join("conf"))
}

/// Writes its configuration.
fn write(name: &str, folder: &Path, at: (&Places, &Identity), apps: &Apps) {
    let text = match name.split('-').next() {
        Some("haproxy") => haproxy::text(at, folder, apps),
        Some("nginx") => nginx::text(at, (name, folder), apps),
        _ => caddy::text(at, apps),
    };
    std::fs::write(folder.join("conf"), text).unwrap();
}
