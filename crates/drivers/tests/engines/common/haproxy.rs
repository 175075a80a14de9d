//! A real HAProxy for a test: found in the test bed, started as master and worker on free ports of
//! loopback with the configuration that the driver writes, ended with the test.
//!
//! Apps and users are not in it, but in `load`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drivers::router::haproxy::config::{AppSetup, Discovery, Setup};
use drivers::router::haproxy::{Address, Checker, HaProxy, install};
use drivers::router::{Router, RoutesHave};
use model::{
    AppName, Generation, Instance, InstanceId, Pool, PoolState, ReleaseId, Routes, Selector,
    Version, Weight,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A version of HAProxy and the folder of the test bed it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) version: &'static str,
    pub(crate) folder: &'static str,
}

impl Wanted {
    /// Its program. Absent: said, and a failure with `TESTBED=required`. All versions are taken with
    /// `CUTOVER_FULL=1`, else one: that of the day, or `CUTOVER_HAPROXY=3.0`.
    pub(crate) fn program(self) -> Option<PathBuf> {
        let required = std::env::var("TESTBED").as_deref() == Ok("required");
        let turn = turn();
        if std::env::var_os("CUTOVER_FULL").is_none() && turn != self.version {
            aside::say(format_args!(
                "skipped: HAProxy {}, today is {turn}'s turn (CUTOVER_FULL=1)",
                self.version
            ));
            return None;
        }
        if let Some(program) = self.there() {
            return Some(program);
        }
        let words = format!("no HAProxy {} (cargo xtask testbed)", self.version);
        assert!(!required, "{words}");
        aside::say(format_args!("skipped: {words}"));
        None
    }

    pub(crate) fn there(self) -> Option<PathBuf> {
        let bed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/testbed");
        bed.join(self.folder).join("usr/sbin/haproxy").canonicalize().ok()
    }
}

/// The versions of the test bed.
pub(crate) const BED: [Wanted; 3] = [
    Wanted { version: "2.6", folder: "haproxy-bookworm" },
    Wanted { version: "3.0", folder: "haproxy-trixie" },
    Wanted { version: "3.2", folder: "haproxy-sid" },
];

/// The version whose turn it is: the one that is asked for, or one of those that are there.
fn turn() -> String {
    if let Ok(asked) = std::env::var("CUTOVER_HAPROXY") {
        return asked;
    }
    let there: Vec<_> = BED.into_iter().filter(|wanted| wanted.there().is_some()).collect();
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let day = usize::try_from(since.as_secs() / 86_400).unwrap_or_default();
    let chosen = there.get(day % there.len().max(1)).unwrap_or(&BED[0]);
    chosen.version.to_owned()
}

/// Runs async functions on every HAProxy of the test bed, each as a test of its own.
macro_rules! on_each_haproxy {
    ($($name:ident),* $(,)?) => { $(mod $name {
        use super::haproxy::{BED, Wanted};
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn on_2_6() { run(BED[0]).await; }
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn on_3_0() { run(BED[1]).await; }
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn on_3_2() { run(BED[2]).await; }
        async fn run(wanted: Wanted) {
            if let Some(program) = wanted.program() { super::$name(program).await; }
        }
    })* };
}
pub(crate) use on_each_haproxy;

/// A running HAProxy.
pub(crate) struct Bed {
    folder: tempfile::TempDir,
    program: PathBuf,
    pub(crate) entrance: SocketAddr,
    discovery: Option<Discovery>,
    master: Option<Child>,
}

impl Bed {
    pub(crate) async fn start(program: &Path) -> Self {
        Self::following(program, None).await
    }

    /// One that finds its servers by itself.
    pub(crate) async fn following(program: &Path, discovery: Option<Discovery>) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let (entrance, folder) = (free.local_addr().unwrap(), tempfile::tempdir().unwrap());
        drop(free);
        let program = program.to_owned();
        let mut bed = Self { folder, program, entrance, discovery, master: None };
        install(&bed.setup(), None, false).await.unwrap();
        // Tests have no time.
        let text = std::fs::read_to_string(bed.path("00-cutover.cfg")).unwrap();
        let text =
            text.replace(" 200ms", " 30ms").replace("hold obsolete 10s", "hold obsolete 150ms");
        std::fs::write(bed.path("00-cutover.cfg"), text).unwrap();
        let foreign = "backend theirs from cutover_defaults\n    server s1 127.0.0.1:1 weight 7\n";
        std::fs::write(bed.path("zz-foreign.cfg"), foreign).unwrap();
        bed.launch();
        bed
    }

    pub(crate) fn setup(&self) -> Setup {
        let app = |name: &str| AppSetup {
            name: AppName::new(name).unwrap(),
            check_path: Some("/healthz".into()),
            check_ms: 40,
            looks_at: looks_at(),
        };
        Setup {
            directory: self.folder.path().to_owned(),
            socket: self.path("admin.sock"),
            master: Address::Unix(self.path("master.sock")),
            entrances: vec![self.entrance],
            apps: vec![app("demo"), app("demo-1")],
            discovery: self.discovery.clone(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it and waits until it answers.
    pub(crate) fn launch(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("-W").arg("-S").arg(self.path("master.sock")).arg("-f").arg(self.folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        self.master = Some(command.spawn().unwrap());
        let up = || {
            let master = ask(&self.path("master.sock"), "show proc");
            let listens = TcpStream::connect(self.entrance).is_ok() && self.worker().is_some();
            listens && master.is_ok_and(|said| said.contains("worker"))
        };
        let log = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
        wait(up, || format!("HAProxy did not start:\n{}", log()));
    }

    /// Kills it with everything it started, as a crash of the machine's HAProxy would.
    pub(crate) fn crash(&mut self) {
        let Some(mut master) = self.master.take() else { return };
        let group = rustix::process::Pid::from_child(&master);
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        master.wait().unwrap();
        wait(|| TcpStream::connect(self.entrance).is_err(), || "it still listens".into());
    }

    /// Tells it to end when nobody has anything open (`SIGUSR1`), and waits until nobody listens.
    pub(crate) fn stop_softly(&self) {
        let pid = rustix::process::Pid::from_child(self.master.as_ref().unwrap());
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
        wait(|| TcpStream::connect(self.entrance).is_err(), || "it still listens".into());
    }

    /// Reloads it as an administrator would, and waits for the new worker.
    pub(crate) fn reload(&self) {
        // A master that is still busy with the reload before takes no notice of the next one.
        let idle = || {
            let listed = ask(&self.path("master.sock"), "show proc").unwrap_or_default();
            self.worker().is_some_and(|pid| listed.contains(&format!("{pid} ")))
        };
        wait(idle, || "the master does not know its worker".into());
        let before = self.worker();
        let pid = rustix::process::Pid::from_child(self.master.as_ref().unwrap());
        rustix::process::kill_process(pid, rustix::process::Signal::USR2).unwrap();
        let log = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let new = || self.worker().is_some_and(|pid| Some(pid) != before);
        wait(new, || format!("no new worker:\n{}", log()));
    }

    /// Pid of the worker that answers on its own socket.
    pub(crate) fn worker(&self) -> Option<u32> {
        let info = ask(&self.path("admin.sock"), "show info").ok()?;
        info.lines().find_map(|line| line.strip_prefix("Pid: "))?.parse().ok()
    }

    /// A driver on the socket of the master, which checks every file it writes.
    pub(crate) fn driver(&self) -> HaProxy {
        let checker = Checker { program: self.program.clone(), before: vec![] };
        HaProxy::new(Address::Unix(self.path("master.sock"))).checked_by(checker)
    }

    /// A driver on the socket of the worker.
    pub(crate) fn plain_driver(&self) -> HaProxy {
        HaProxy::new(Address::Unix(self.path("admin.sock")))
    }

    pub(crate) fn tell(&self, command: &str) -> String {
        ask(&self.path("admin.sock"), command).unwrap()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.crash();
    }
}

pub(crate) fn ask(socket: &Path, command: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{command}\n").as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Waits for a condition that only time brings.
pub(crate) fn wait(mut condition: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{}", otherwise());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the configuration looks at.
pub(crate) fn looks_at() -> Vec<Selector> {
    vec![Selector::Header("x-canary".into()), Selector::Cookie("canary".into())]
}

pub(crate) fn app() -> AppName {
    AppName::new("demo").unwrap()
}

pub(crate) fn pool(release: u32, weight: u16, state: PoolState, at: &[SocketAddr]) -> Pool {
    let instances = at.iter().enumerate().map(|(n, address)| Instance {
        id: InstanceId(format!("demo-{release}-{n}")),
        address: *address,
    });
    Pool {
        release: ReleaseId(release),
        version: Version::new(format!("v{release}")).unwrap(),
        weight: Weight::new(weight).unwrap(),
        state,
        instances: instances.collect(),
    }
}

pub(crate) fn routes(pools: Vec<Pool>) -> Routes {
    let generation = Generation(0);
    Routes {
        app: app(),
        generation,
        hosts: vec![],
        path_prefix: "/".into(),
        pools,
        rules: vec![],
        hold: None,
        hand_over: None,
        spread: model::Spread::default(),
    }
}

/// Rounds of look, plan, act until nothing is left to do or to wait for; `between` runs after each
/// change.
pub(crate) async fn settle_with(
    router: &dyn Router,
    want: &Routes,
    epoch: u64,
    mut between: impl FnMut(&str),
) -> RoutesHave {
    let mut last = String::new();
    let rounds = async {
        loop {
            let have = router.look(&want.app).await.unwrap();
            let plan = router.plan(Some(want), &have);
            if plan.settled() {
                return have;
            }
            last = format!("{plan:#?}");
            for change in &plan.changes {
                if let Err(fault) = router.act(change, epoch).await {
                    // What a reload in the middle does to a change; the next look sees.
                    println!("act: {fault:?}");
                    break;
                }
                between(&change.words);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let settled = tokio::time::timeout(2 * PATIENCE, rounds).await;
    settled.unwrap_or_else(|_| panic!("it did not settle; last: {last}"))
}

pub(crate) async fn settle(router: &dyn Router, want: &Routes) -> RoutesHave {
    settle_with(router, want, 1, |_| {}).await
}
