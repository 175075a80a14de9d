//! A real nginx of the test bed in front of a world of its own.
//!
//! The newest by default; older ones, whose reloads cut users, with `CUTOVER_FULL=1`. One that is not on
//! the test bed is said to be skipped, and fails with `TESTBED=required`.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::far::Far;
use crate::sample::whole;
use crate::world::{World, free_port, signal, wait_for};
use rustix::process::{Pid, Signal, kill_process_group};

const NEWEST: (&str, &str) = ("1.30", "nginx-sid");
/// Those in which no worker that ends waits for requests on kept connections.
const OLDER: [(&str, &str); 2] = [("1.22", "nginx-bookworm"), ("1.26", "nginx-trixie")];

/// The newest, whose reloads cut nobody.
pub(crate) fn nginx() -> Option<PathBuf> {
    program(NEWEST)
}

/// What it is called in tables.
pub(crate) fn name() -> String {
    format!("nginx {}", NEWEST.0)
}

/// Versions whose reloads cut users, with their programs.
pub(crate) fn older() -> Vec<(&'static str, PathBuf)> {
    if !whole() {
        aside::say("skipped: older versions of nginx, only with CUTOVER_FULL=1");
        return Vec::new();
    }
    OLDER.into_iter().filter_map(|one| Some((one.0, program(one)?))).collect()
}

fn program((version, folder): (&str, &str)) -> Option<PathBuf> {
    let bed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/testbed");
    let there = bed.join(folder).join("usr/sbin/nginx").canonicalize().ok();
    if there.is_none() {
        let words = format!("no nginx {version} (cargo xtask testbed)");
        assert_ne!(std::env::var("TESTBED").as_deref(), Ok("required"), "{words}");
        aside::say(format_args!("skipped: {words}"));
    }
    there
}

/// A world whose traffic an nginx carries.
pub(crate) struct Real {
    pub(crate) world: World,
    program: PathBuf,
    master: Option<Child>,
}

impl Real {
    /// That configuration with an nginx in the place of the proxy; its files are written, and it does
    /// not run yet.
    pub(crate) fn of(program: &Path, config: &str) -> Self {
        let proxy = "[proxy]\nlisten = [\"127.0.0.1:PORT\"]\ndrain_timeout = \"5s\"\n";
        let router = format!(
            "[router]\nkind = \"nginx\"\ndirectory = \"nginx/cutover\"\nconfig = \
             \"nginx/nginx.conf\"\npid = \"nginx/nginx.pid\"\nprefix = \"nginx\"\ncontrol = \
             \"127.0.0.1:{}\"\nlisten = [\"127.0.0.1:PORT\"]\nprogram = \"{}\"\n",
            free_port(),
            program.display()
        );
        assert!(config.contains(proxy), "{config}");
        let world = World::new(&config.replace(proxy, &router));
        world.expect(0, &["nginx", "install"]);
        let real = Self { world, program: program.to_owned(), master: None };
        let here = real.file("").display().to_string();
        let temps = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temps = temps.map(|name| format!("    {name}_temp_path {here};\n"));
        let http = format!("http {{\n{}", temps.concat());
        real.edit("http {\n", &http);
        real.edit("worker_processes auto;", "worker_processes 2;\nerror_log error.log notice;");
        // Long enough for what is on its way, and soon over.
        real.edit("keepalive_min_timeout 5s;", "keepalive_min_timeout 1s;");
        real
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.world.path().join("nginx").join(name)
    }

    /// Changes its own configuration.
    pub(crate) fn edit(&self, there: &str, instead: &str) {
        let text = std::fs::read_to_string(self.file("nginx.conf")).unwrap();
        assert!(text.contains(there), "{text}");
        std::fs::write(self.file("nginx.conf"), text.replace(there, instead)).unwrap();
    }

    /// Puts users far away: what they and nginx say to each other is under way so long.
    pub(crate) fn far(&self, way: Duration) -> Far {
        let (outside, inside) = (self.world.port, free_port());
        self.edit(&format!("listen 127.0.0.1:{outside}"), &format!("listen 127.0.0.1:{inside}"));
        Far::between(outside, inside, way)
    }

    /// Starts it, and waits until it takes requests and its pid file names it.
    pub(crate) fn start(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("-p").arg(self.file("")).arg("-c").arg(self.file("nginx.conf"));
        command.arg("-e").arg(self.file("error.log")).args(["-g", "daemon off;"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let master = command.spawn().unwrap();
        let (pid, port) = (master.id().to_string(), self.world.port);
        self.master = Some(master);
        wait_for("nginx listens", 10, || {
            let named = std::fs::read_to_string(self.file("nginx.pid")).unwrap_or_default();
            let listens = TcpStream::connect(("127.0.0.1", port)).is_ok();
            (listens && named.trim() == pid).then_some(())
        });
    }

    /// A world in which v1 is live.
    pub(crate) fn live(program: &Path, config: &str) -> Self {
        let mut real = Self::of(program, config);
        real.start();
        real.world.up();
        real.world.expect(0, &["deploy", "demo", "v1"]);
        real
    }

    /// Writes in `cutover.toml` that users may be cut.
    pub(crate) fn agree(&self) {
        self.settle("kind =", "accept_reload_cuts = true\nkind =");
    }

    /// Changes `cutover.toml`.
    pub(crate) fn settle(&self, there: &str, instead: &str) {
        let path = self.world.path().join("cutover.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(there), "{text}");
        std::fs::write(&path, text.replace(there, instead)).unwrap();
    }

    /// Reloads it as an administrator would.
    pub(crate) fn reload(&self) {
        signal(self.master.as_ref().expect("it runs").id(), Signal::HUP);
    }

    fn kill(&mut self) {
        let Some(mut master) = self.master.take() else { return };
        let _gone = kill_process_group(Pid::from_child(&master), Signal::KILL);
        master.wait().unwrap();
    }

    /// Ends it with its workers, at once.
    pub(crate) fn crash(&mut self) {
        self.kill();
        // Workers are nobody's children then; their sockets go with them.
        let port = self.world.port;
        wait_for("its workers are gone", 10, || TcpListener::bind(("127.0.0.1", port)).ok());
    }

    /// Ends it as `systemctl stop` does, and waits until it has.
    pub(crate) fn end(&mut self) {
        let mut master = self.master.take().expect("it runs");
        signal(master.id(), Signal::TERM);
        wait_for("nginx ends", 20, || master.try_wait().unwrap());
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.file("error.log")).unwrap_or_default());
        }
        self.kill();
    }
}
