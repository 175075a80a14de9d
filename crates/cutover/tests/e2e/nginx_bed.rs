//! A real nginx 1.30 of the test bed in front of a world of its own.
//!
//! One that is not on the test bed is said to be skipped, and fails with `TESTBED=required`.

use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::world::{World, free_port, wait_for};
use rustix::process::{Pid, Signal, kill_process_group};

/// The program to test with.
pub(crate) fn nginx() -> Option<PathBuf> {
    let bed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/testbed");
    let there = bed.join("nginx-sid/usr/sbin/nginx").canonicalize().ok();
    if there.is_none() {
        let words = "no nginx 1.30 (cargo xtask testbed)";
        assert_ne!(std::env::var("TESTBED").as_deref(), Ok("required"), "{words}");
        println!("skipped: {words}");
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

    /// Starts it, and waits until it listens.
    pub(crate) fn start(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("-p").arg(self.file("")).arg("-c").arg(self.file("nginx.conf"));
        command.arg("-e").arg(self.file("error.log")).args(["-g", "daemon off;"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        self.master = Some(command.spawn().unwrap());
        let port = self.world.port;
        wait_for("nginx listens", 10, || TcpStream::connect(("127.0.0.1", port)).ok());
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if let Some(mut master) = self.master.take() {
            let _gone = kill_process_group(Pid::from_child(&master), Signal::KILL);
            master.wait().unwrap();
        }
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.file("error.log")).unwrap_or_default());
        }
    }
}
