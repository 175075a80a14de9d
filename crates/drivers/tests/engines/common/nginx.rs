//! A real nginx for a test: found in the test bed, started as master and workers on free ports of
//! loopback with the configuration that the driver offers, ended with the test.
//!
//! Apps and users are not in it, but in `load`; what goes for routers of every kind is in `haproxy`.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drivers::router::nginx::{AppSetup, Nginx, Program, Setup, install};
use model::AppName;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A version of nginx and the folder of the test bed it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) version: &'static str,
    pub(crate) folder: &'static str,
    /// It can wait for kept connections.
    pub(crate) waits: bool,
}

impl Wanted {
    /// Its program. Absent: said, and a failure with `TESTBED=required`. All versions are taken with
    /// `CUTOVER_FULL=1`, else the newest.
    pub(crate) fn program(self) -> Option<PathBuf> {
        let full = std::env::var_os("CUTOVER_FULL").is_some();
        if !full && self.version != NEWEST {
            aside::say(format_args!("skipped: nginx {}, only with CUTOVER_FULL=1", self.version));
            return None;
        }
        let bed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/testbed");
        if let Ok(program) = bed.join(self.folder).join("usr/sbin/nginx").canonicalize() {
            return Some(program);
        }
        let required = std::env::var("TESTBED").as_deref() == Ok("required");
        let words = format!("no nginx {} (cargo xtask testbed)", self.version);
        assert!(!required || self.version != NEWEST, "{words}");
        aside::say(format_args!("skipped: {words}"));
        None
    }
}

const NEWEST: &str = "1.30";

/// The versions of the test bed.
pub(crate) const BED: [Wanted; 3] = [
    Wanted { version: "1.22", folder: "nginx-bookworm", waits: false },
    Wanted { version: "1.26", folder: "nginx-trixie", waits: false },
    Wanted { version: NEWEST, folder: "nginx-sid", waits: true },
];

/// Runs async functions on every nginx of the test bed, each as a test of its own.
macro_rules! on_each_nginx {
    ($($name:ident),* $(,)?) => { $(mod $name {
        use super::nginx::{BED, Bed, Wanted};
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn on_1_22() { run(BED[0]).await; }
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn on_1_26() { run(BED[1]).await; }
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn on_1_30() { run(BED[2]).await; }
        async fn run(wanted: Wanted) {
            let Some(program) = wanted.program() else { return };
            super::$name(Bed::start(program, wanted.waits)).await;
        }
    })* };
}
pub(crate) use on_each_nginx;

/// A running nginx.
pub(crate) struct Bed {
    folder: tempfile::TempDir,
    pub(crate) setup: Setup,
    pub(crate) waits: bool,
    master: Option<Child>,
}

impl Bed {
    pub(crate) fn start(program: PathBuf, waits: bool) -> Self {
        let mut bed = Self::installed(program, waits);
        bed.launch();
        bed
    }

    /// With its files, and not started.
    pub(crate) fn installed(program: PathBuf, waits: bool) -> Self {
        Self::of((program, waits), "cutover", &["demo", "demo-1"])
    }

    /// The same of these apps, with the files of Cutover in such a directory; the first app gets `/`.
    pub(crate) fn of((program, waits): (PathBuf, bool), directory: &str, apps: &[&str]) -> Self {
        let free = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [entrance, control] = free.each_ref().map(|free| free.local_addr().unwrap());
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let app = |name: &str| AppSetup {
            name: AppName::new(name).unwrap(),
            hosts: vec![],
            path_prefix: if name == apps[0] { "/".into() } else { format!("/{name}/") },
            check_path: Some("/healthz".into()),
            longest_request: Duration::from_secs(10),
            tunnels: Duration::from_mins(1),
        };
        let (config, prefix) = (path.join("nginx.conf"), Some(path.clone()));
        let setup = Setup {
            directory: path.join(directory),
            pid: path.join(directory).join("nginx.pid"),
            control,
            entrances: vec![entrance],
            program: Program { path: program, config, prefix },
            apps: apps.iter().copied().map(app).collect(),
        };
        install(&setup).unwrap();
        let bed = Self { folder, setup, waits, master: None };
        let temps = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temps = temps.map(|name| format!("{name}_temp_path {};\n", bed.path(name).display()));
        let text = bed
            .config()
            .replace("access_log off;", &format!("access_log off;\n{}", temps.concat()));
        let text = text
            .replace("worker_processes auto;", "worker_processes 2;\nerror_log error.log notice;");
        let kept = if waits { "keepalive_min_timeout 1s;" } else { "" };
        bed.configure(&text.replace("keepalive_min_timeout 5s;", kept));
        bed
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// Its main configuration.
    pub(crate) fn config(&self) -> String {
        std::fs::read_to_string(&self.setup.program.config).unwrap()
    }

    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(&self.setup.program.config, text).unwrap();
    }

    pub(crate) fn entrance(&self) -> SocketAddr {
        self.setup.entrances[0]
    }

    pub(crate) fn driver(&self) -> Nginx {
        Nginx::new(self.setup.clone())
    }

    /// Starts it and waits until it answers.
    pub(crate) fn launch(&mut self) {
        let mut command = Command::new(&self.setup.program.path);
        command.arg("-c").arg(&self.setup.program.config).arg("-p").arg(self.folder.path());
        command.arg("-e").arg(self.path("error.log")).arg("-g").arg("daemon off;");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let master = command.spawn().unwrap();
        let pid = master.id().to_string();
        self.master = Some(master);
        let up = || {
            let named = std::fs::read_to_string(&self.setup.pid).unwrap_or_default();
            // It calls itself a master a moment after it has written its pid.
            let title = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let master = named.trim() == pid && title.starts_with("nginx: master");
            master && TcpStream::connect(self.setup.control).is_ok()
        };
        wait(up, || std::fs::read_to_string(self.path("error.log")).unwrap_or_default());
    }

    /// The processes that it has started.
    pub(crate) fn workers(&self) -> Vec<String> {
        let master = std::fs::read_to_string(&self.setup.pid).unwrap();
        let master = master.trim();
        let children = format!("/proc/{master}/task/{master}/children");
        std::fs::read_to_string(children).unwrap().split_whitespace().map(str::to_owned).collect()
    }

    /// Reloads it as an administrator would.
    pub(crate) fn reload(&self) {
        kill_process(Pid::from_child(self.master.as_ref().unwrap()), Signal::HUP).unwrap();
    }

    /// Ends it with its workers, at once.
    pub(crate) fn crash(&mut self) {
        let Some(mut master) = self.master.take() else { return };
        let _gone = kill_process_group(Pid::from_child(&master), Signal::KILL);
        master.wait().unwrap();
        // Workers are nobody's children then; their sockets go with them.
        let deadline = Instant::now() + PATIENCE;
        while TcpListener::bind(self.entrance()).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.path("error.log")).unwrap_or_default());
        }
        self.crash();
    }
}

/// Waits for a condition that only time brings.
pub(crate) fn wait(mut condition: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{}", otherwise());
        std::thread::sleep(Duration::from_millis(5));
    }
}
