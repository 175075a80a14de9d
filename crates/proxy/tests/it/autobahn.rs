//! The Autobahn suite for WebSocket, through the proxy: what is behind a tunnel must look as
//! strict as if it were asked directly. `cargo xtask testbed` brings it; without it this says that it was skipped.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use futures_util::{SinkExt as _, StreamExt as _};
use model::{Instance, InstanceId, Pool};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::stage::{Stage, pool};

/// The program, or a reason to skip that is seen.
fn wstest() -> Option<PathBuf> {
    let bed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/testbed");
    let found = bed.join("autobahn/wstest").canonicalize().ok();
    if found.is_none() {
        let words = "no Autobahn (cargo xtask testbed)";
        // Never required: it needs a Python that hardly any machine has any more.
        aside::say(format_args!("skipped: {words}"));
    }
    found
}

/// Sends every message back, until its runtime is dropped.
fn echo() -> (Runtime, SocketAddr) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if (message.is_text() || message.is_binary())
                        && socket.send(message).await.is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    (runtime, address)
}

/// Autobahn's own server, which agrees on compression (RFC 7692), as `tungstenite` does not.
struct Compressing {
    process: Child,
    address: SocketAddr,
}

/// It wants to be asked at the port that it believes to have, which is the proxy's; it says where it listens.
const SERVER: &str = "import site, sys
site.addsitedir(sys.argv[1])
from autobahntestsuite.testee import TesteeServerFactory
from twisted.internet import reactor
port = reactor.listenTCP(0, TesteeServerFactory(sys.argv[2]), interface='127.0.0.1')
print(port.getHost().port)
sys.stdout.flush()
reactor.run()
";

impl Compressing {
    fn start(wstest: &Path, front: SocketAddr) -> Self {
        // The program is two lines that name the Python and what it runs.
        let program = std::fs::read_to_string(wstest).unwrap();
        let python = program.split('"').nth(1).unwrap();
        let site = wstest.with_file_name("site");
        let mut command = Command::new(python);
        command.args(["-c", SERVER]).arg(site).arg(format!("ws://{front}"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = ([127, 0, 0, 1], line.trim().parse().expect("a port")).into();
        Self { process, address }
    }
}

impl Drop for Compressing {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Cases of compression, those that are always run first.
const SAMPLE: &[&str] = &[
    "12.1.1", "13.4.1", "13.7.1", "13.1.1", "13.2.1", "13.3.1", "13.5.1", "13.6.1", "12.2.5",
    "12.3.7", "12.4.9", "12.5.10", "12.5.18",
];

/// True when everything is to be run, however long it takes.
fn full() -> bool {
    std::env::var("CUTOVER_FULL").as_deref() == Ok("1")
}

/// The proxy carries to such a server.
fn carry(stage: &mut Stage, address: SocketAddr) {
    let instance = Instance { id: InstanceId("echo".into()), address };
    stage.publish(vec![Pool { instances: vec![instance], ..pool(1, 10_000, &[]) }]);
}

/// Runs these cases through the proxy: none may be worse than it would be without; how many there were.
fn run(wstest: &Path, stage: &mut Stage, cases: &[&str]) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let spec = json!({
        "outdir": directory.path(),
        "servers": [{ "agent": "proxy", "url": format!("ws://{}", stage.address) }],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    let path = directory.path().join("spec.json");
    std::fs::write(&path, spec.to_string()).unwrap();
    let mut command = Command::new(wstest);
    command.args(["-m", "fuzzingclient", "-s"]).arg(&path).stdin(Stdio::null());
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    let text = std::fs::read_to_string(directory.path().join("index.json")).unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    let cases = found["proxy"].as_object().unwrap();
    // What is not strict is so in the library behind the proxy: it tells late of broken UTF-8.
    let fine = ["OK", "NON-STRICT", "INFORMATIONAL"];
    let fails = |case: &Value, part: &str| !fine.contains(&case[part].as_str().unwrap());
    let failed: Vec<_> = cases
        .iter()
        .filter(|(_, case)| fails(case, "behavior") || fails(case, "behaviorClose"))
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(stage.admin.release(1).tunnels >= cases.len() as u64);
    cases.len()
}

/// Sections 1 to 5, 7 and 10 by default; those on UTF-8 and the long ones with `CUTOVER_FULL=1`.
#[test]
fn the_suite_sees_no_difference_through_the_proxy() {
    let Some(wstest) = wstest() else { return };
    let (_runtime, address) = echo();
    let cases: (&[&str], usize) = if full() {
        (&["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"], 300)
    } else {
        (&["1.*", "2.*", "3.*", "4.*", "5.*", "7.*", "10.*"], 95)
    };
    let mut stage = Stage::bare();
    carry(&mut stage, address);
    let ran = run(&wstest, &mut stage, cases.0);
    assert!(ran >= cases.1, "{ran} cases");
}

/// Sections 12 and 13: a few cases by default, with `CUTOVER_FULL=1` one of each way to agree and those of all
/// sizes; `CUTOVER_AUTOBAHN="12.* 13.*"` runs these, which takes long. A case in which nobody agreed on compression
/// would be `UNIMPLEMENTED`, and fail.
#[test]
fn compressed_messages_pass_as_they_are() {
    let Some(wstest) = wstest() else { return };
    let mut stage = Stage::bare();
    let server = Compressing::start(&wstest, stage.address);
    carry(&mut stage, server.address);
    let asked = std::env::var("CUTOVER_AUTOBAHN").unwrap_or_default();
    let mut cases: Vec<&str> = asked.split_whitespace().collect();
    if cases.is_empty() {
        cases.extend(if full() { SAMPLE } else { &SAMPLE[..3] });
    }
    let ran = run(&wstest, &mut stage, &cases);
    println!("{ran} cases");
    assert!(ran >= cases.len());
}
