//! A real HAProxy of the test bed in front of a world of its own.
//!
//! One version by default, that of the day or `CUTOVER_HAPROXY=3.0`; all with `CUTOVER_FULL=1`. One that is
//! not on the test bed is said to be skipped, and fails with `TESTBED=required`.

use std::fs::File;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::world::{World, sample_config, signal, wait_for};
use rustix::process::{Pid, Signal, kill_process_group};

/// Versions and the folders of the test bed they are in.
const BED: [(&str, &str); 3] =
    [("2.6", "haproxy-bookworm"), ("3.0", "haproxy-trixie"), ("3.2", "haproxy-sid")];

/// What a program of the test bed is called.
pub(crate) fn name_of(program: &Path) -> String {
    let of = |folder: &str| program.components().any(|part| part.as_os_str() == folder);
    let version = BED.iter().find(|(_, folder)| of(folder)).map_or("?", |(version, _)| version);
    format!("HAProxy {version}")
}

/// The programs to test with.
pub(crate) fn programs() -> Vec<PathBuf> {
    let bed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/testbed");
    let there = |folder: &str| bed.join(folder).join("usr/sbin/haproxy").canonicalize().ok();
    let required = std::env::var("TESTBED").as_deref() == Ok("required");
    let all = std::env::var_os("CUTOVER_FULL").is_some();
    let asked = std::env::var("CUTOVER_HAPROXY").ok();
    let mut programs = Vec::new();
    for (version, folder) in BED {
        match there(folder) {
            _ if asked.as_ref().is_some_and(|asked| !all && asked != version) => {}
            Some(program) => programs.push(program),
            None => {
                let words = format!("no HAProxy {version} (cargo xtask testbed)");
                assert!(!required, "{words}");
                aside::say(format_args!("skipped: {words}"));
            }
        }
    }
    if !all && programs.len() > 1 {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap();
        let day = usize::try_from(since.as_secs() / 86_400).unwrap();
        programs = vec![programs.swap_remove(day % programs.len())];
    }
    programs
}

/// A world whose traffic a HAProxy carries.
pub(crate) struct Real {
    pub(crate) world: World,
    program: PathBuf,
    master: Option<Child>,
}

impl Real {
    /// The sample app with two instances and a configuration for HAProxy, which does not run yet.
    pub(crate) fn new(program: &Path) -> Self {
        Self::of(program, &sample_config(2))
    }

    pub(crate) fn of(program: &Path, config: &str) -> Self {
        Self::with(program, config, "kind = \"haproxy\"\n")
    }

    /// With another kind of router, whose keys these are.
    pub(crate) fn with(program: &Path, config: &str, kind: &str) -> Self {
        let proxy = "[proxy]\nlisten = [\"127.0.0.1:PORT\"]\ndrain_timeout = \"5s\"\n";
        let router = format!(
            "[router]\n{kind}socket = \"haproxy/master.sock\"\ndirectory = \
             \"haproxy\"\nlisten = [\"127.0.0.1:PORT\"]\nprogram = \"{}\"\n",
            program.display()
        );
        assert!(config.contains(proxy), "{config}");
        let world = World::new(&config.replace(proxy, &router));
        Self { world, program: program.to_owned(), master: None }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.world.path().join("haproxy").join(name)
    }

    /// Starts it as `cutover haproxy install` says, and waits until it listens.
    pub(crate) fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.world.path().join("h.log"));
        let log = log.unwrap();
        let mut command = Command::new(&self.program);
        command.arg("-W").arg("-S").arg(self.file("master.sock")).arg("-f").arg(self.file(""));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        self.master = Some(command.spawn().unwrap());
        let port = self.world.port;
        wait_for("HAProxy listens", 10, || TcpStream::connect(("127.0.0.1", port)).ok());
    }

    /// Reloads it as an administrator would.
    pub(crate) fn reload(&self) {
        signal(self.master.as_ref().expect("it runs").id(), Signal::USR2);
    }

    /// Ends it with everything it started, at once.
    pub(crate) fn crash(&mut self) {
        let Some(mut master) = self.master.take() else { return };
        let _gone = kill_process_group(Pid::from_child(&master), Signal::KILL);
        master.wait().unwrap();
    }

    /// Ends it as `systemctl stop` does, and waits until it has.
    pub(crate) fn end(&mut self) {
        let mut master = self.master.take().expect("it runs");
        signal(master.id(), Signal::TERM);
        wait_for("HAProxy ends", 20, || master.try_wait().unwrap());
    }

    /// The master and its workers live.
    pub(crate) fn lives(&mut self) -> bool {
        self.master.as_mut().is_some_and(|master| master.try_wait().unwrap().is_none())
    }

    /// Brings v1 live.
    pub(crate) fn begin(&mut self) {
        self.world.expect(0, &["haproxy", "install"]);
        self.start();
        self.world.up();
        self.world.expect(0, &["deploy", "demo", "v1"]);
    }

    /// A world in which v1 is live.
    pub(crate) fn live(program: &Path, config: &str) -> Self {
        let mut real = Self::of(program, config);
        real.begin();
        real
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.crash();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.world.path().join("h.log")).unwrap());
        }
    }
}
