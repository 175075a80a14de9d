//! Cutover's proxy, in a process of its own, steered as `cutover up` steers it.
//!
//! No controller decides: routes change as a race says.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::admin::{KeyPair, Request};
use model::{
    AppName, Generation, Instance, InstanceId, Pool, PoolState, ReleaseId, Routes, Version, Weight,
};

use super::{Apps, admin::Admin};
use crate::identity::Identity;

/// Is the proxy; called again by this very program.
pub(crate) fn serve(admin_socket: PathBuf) {
    let options = proxy::Options { admin_socket, threads: 2, allow_faults: false };
    proxy::serve(options).unwrap();
}

/// What steers it.
pub(crate) struct Own {
    pub(crate) address: SocketAddr,
    /// Over TLS.
    pub(crate) secure: SocketAddr,
    /// The listening sockets of both.
    listeners: [TcpListener; 2],
    admin: Admin,
    /// Proxies so far, for their sockets' names.
    started: u32,
    generation: u64,
    /// Number of the present release of `a`.
    release: u32,
    /// Those before the present instances of `a`.
    before: Vec<SocketAddr>,
    present: Vec<SocketAddr>,
    ended: Vec<Child>,
}

impl Own {
    /// Starts one.
    pub(super) fn start(folder: &Path, apps: &Apps, identity: &Identity) -> (Self, Child) {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, secure] = listeners.each_ref().map(|one| one.local_addr().unwrap());
        let (child, admin) = spawn(folder, 0);
        let mut own = Self {
            address,
            secure,
            listeners,
            admin,
            started: 1,
            generation: 0,
            release: 0,
            before: Vec::new(),
            present: Vec::new(),
            ended: Vec::new(),
        };
        own.publish(apps);
        own.listen(identity);
        (own, child)
    }

    fn listen(&mut self, identity: &Identity) {
        let pair = KeyPair { chain: identity.chain.clone(), key: identity.key.clone() };
        self.admin.done(&Request::Certify { pairs: vec![pair], forgiving: false });
        let (address, secure) = (self.address, self.secure);
        self.admin.listen(&Request::Listen { address }, &self.listeners[0]);
        self.admin.listen(&Request::ListenTls { address: secure }, &self.listeners[1]);
    }

    /// Publishes routes to these; those before them retire.
    pub(super) fn publish(&mut self, apps: &Apps) {
        if self.present != apps.a {
            self.before = std::mem::replace(&mut self.present, apps.a.clone());
            self.release += 1;
        }
        self.generation += 1;
        self.send();
        self.app("b", vec![pool(1, &apps.b)]);
    }

    fn send(&mut self) {
        let mut pools = vec![pool(self.release, &self.present)];
        if !self.before.is_empty() {
            let mut old = pool(self.release - 1, &self.before);
            old.instances.retain(|one| !self.present.contains(&one.address));
            (old.weight, old.state) = (Weight::NONE, PoolState::Retiring);
            pools.push(old);
        }
        self.app("a", pools);
    }

    fn app(&mut self, name: &str, pools: Vec<Pool>) {
        let routes = Routes {
            app: AppName::new(name).unwrap(),
            generation: Generation(self.generation),
            hosts: vec![format!("{name}.test")],
            path_prefix: "/".into(),
            pools,
            rules: Vec::new(),
            spread: model::Spread::default(),
            hold: None,
            hand_over: None,
        };
        let expected = Generation(self.generation - 1);
        self.admin.done(&Request::Publish { epoch: 1, expected, routes });
    }

    /// Starts a successor on the same listening sockets, with the keys of its tickets, and has the present one
    /// drain.
    pub(super) fn renew(
        &mut self,
        child: &mut Child,
        folder: &Path,
        (apps, identity): (&Apps, &Identity),
    ) {
        let (next, admin) = spawn(folder, self.started);
        self.started += 1;
        self.generation = 0;
        let mut old = std::mem::replace(&mut self.admin, admin);
        self.publish(apps);
        self.admin.done(&Request::AdoptTicketKeys { keys: old.ticket_keys() });
        self.listen(identity);
        old.done(&Request::stop(5_000));
        self.ended.push(std::mem::replace(child, next));
    }

    /// Waits until nothing is open there; false when it takes too long.
    pub(super) fn drained(&mut self, address: SocketAddr) -> bool {
        let id = format!("one-{}", address.port());
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            let apps = self.admin.look().apps;
            let mut instances = apps.iter().flat_map(|app| &app.instances);
            if !instances.any(|one| one.id.0 == id && one.requests > 0) {
                return true;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        false
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for child in &mut self.ended {
            // They were told to stop long ago.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(folder: &Path, number: u32) -> (Child, Admin) {
    let socket = folder.join(format!("admin-{number}"));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("proxy").arg(&socket).stdin(Stdio::null()).stdout(Stdio::null());
    let log = std::fs::File::create(folder.join(format!("log-{number}"))).unwrap();
    let child = command.stderr(log).spawn().unwrap();
    (child, Admin::to(&socket))
}

fn pool(release: u32, instances: &[SocketAddr]) -> Pool {
    let instance = |address: &SocketAddr| Instance {
        id: InstanceId(format!("one-{}", address.port())),
        address: *address,
    };
    Pool {
        release: ReleaseId(release),
        version: Version::new(format!("v{release}")).unwrap(),
        weight: Weight::ALL,
        state: PoolState::Serving,
        instances: instances.iter().map(instance).collect(),
    }
}
