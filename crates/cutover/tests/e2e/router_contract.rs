//! The contract of routers (`drivers`, `tests/contract`), kept by our own proxy: the real process and its
//! real admin socket. It stands here because `drivers` does not know the proxy.
//!
//! Only nonsense is somebody else's: a [`Relay`] in front of the socket says it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use drivers::router::Router;
use drivers::router::proxy::Proxy;
use model::admin::{Reply, Request};
use model::{AppName, Generation, Routes};

use crate::world::{CUTOVER, beside, wait_for};

#[path = "../../../drivers/tests/engines/contract/mod.rs"]
#[allow(dead_code, reason = "its other half is about platforms")]
mod contract;

use contract::router::{RouterBed, router_keeps_contract};

/// A `cutover proxy` that ends with the test.
struct OwnProxy {
    folder: tempfile::TempDir,
    process: Mutex<Option<Child>>,
    relay: Relay,
    driver: Proxy,
    foreign: Routes,
}

impl OwnProxy {
    fn start(foreign: Routes) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let relay = Relay::start(&folder.path().join("relay"), &folder.path().join("admin"));
        let driver = Proxy::new(&folder.path().join("relay"));
        let bed = Self { folder, process: Mutex::default(), relay, driver, foreign };
        bed.launch();
        bed
    }

    fn admin(&self) -> PathBuf {
        self.folder.path().join("admin")
    }

    /// Starts it and waits until it answers; the other app's controller publishes its routes.
    fn launch(&self) {
        let mut command = Command::new(CUTOVER);
        command.arg("proxy").arg("--admin").arg(self.admin()).args(["--threads", "1"]);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        *self.process.lock().unwrap() = Some(quiet.spawn().unwrap());
        wait_for("the proxy answers", 10, || ask(&self.admin(), &Request::Look));
        let routes = Routes { generation: Generation(1), ..self.foreign.clone() };
        let publish = Request::Publish { epoch: 0, expected: Generation(0), routes };
        assert_eq!(ask(&self.admin(), &publish), Some(Reply::Done));
    }

    fn crash(&self) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for OwnProxy {
    fn drop(&mut self) {
        self.crash();
    }
}

impl RouterBed for OwnProxy {
    fn router(&self) -> &dyn Router {
        &self.driver
    }

    fn foreign(&self, app: &AppName) -> String {
        let Some(Reply::Seen(seen)) = ask(&self.admin(), &Request::Look) else {
            panic!("it does not answer");
        };
        let others = seen.apps.iter().filter(|seen| seen.routes.app != *app);
        format!("{:?}", others.collect::<Vec<_>>())
    }

    fn restart(&self) {
        self.crash();
        self.launch();
    }

    fn answer(&self, nonsense: Option<&[u8]>) {
        *self.relay.nonsense.lock().unwrap() = nonsense.map(<[u8]>::to_vec);
    }
}

/// Asks the proxy itself; nothing while nobody answers.
pub(crate) fn ask(socket: &Path, request: &Request) -> Option<Reply> {
    let stream = UnixStream::connect(socket).ok()?;
    let answer = exchange(&mut BufReader::new(stream), &serde_json::to_vec(request).unwrap())?;
    Some(serde_json::from_slice(&answer).unwrap())
}

/// Sends a line; the line that comes back.
fn exchange(server: &mut BufReader<UnixStream>, line: &[u8]) -> Option<Vec<u8>> {
    server.get_mut().write_all(line).ok()?;
    server.get_mut().write_all(b"\n").ok()?;
    let mut answer = Vec::new();
    server.read_until(b'\n', &mut answer).ok().filter(|read| *read > 0)?;
    Some(answer)
}

/// A socket in front of the proxy's, which on demand answers nonsense itself and hangs up. It carries no
/// descriptors. It ends with the test's process.
struct Relay {
    nonsense: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Relay {
    fn start(at: &Path, behind: &Path) -> Self {
        let listener = UnixListener::bind(at).unwrap();
        let nonsense: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        let (shared, behind) = (Arc::clone(&nonsense), behind.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (says, behind) = (Arc::clone(&shared), behind.clone());
                std::thread::spawn(move || carry(client, &behind, &says));
            }
        });
        Self { nonsense }
    }
}

/// Until either side hangs up.
fn carry(client: UnixStream, behind: &Path, says: &Mutex<Option<Vec<u8>>>) -> Option<()> {
    let mut server = None;
    let mut client = BufReader::new(client);
    loop {
        let mut line = Vec::new();
        client.read_until(b'\n', &mut line).ok().filter(|read| *read > 0)?;
        let nonsense = says.lock().unwrap().clone();
        if let Some(nonsense) = nonsense {
            return client.get_mut().write_all(&nonsense).ok();
        }
        let mut open = match server.take() {
            Some(open) => open,
            None => BufReader::new(UnixStream::connect(behind).ok()?),
        };
        let answer = exchange(&mut open, line.strip_suffix(b"\n").unwrap_or(&line))?;
        client.get_mut().write_all(&answer).ok()?;
        server = Some(open);
    }
}

#[test]
fn own_proxy() {
    let _turn = beside();
    let foreign = Routes {
        spread: model::Spread::default(),
        app: AppName::new("demo-1").unwrap(),
        generation: Generation(0),
        hosts: vec![],
        path_prefix: "/other".into(),
        pools: vec![],
        rules: vec![],
        hold: None,
        hand_over: None,
    };
    let bed = OwnProxy::start(foreign);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(router_keeps_contract(&bed, &AppName::new("demo").unwrap()));
}
