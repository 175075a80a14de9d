//! The Autobahn suite for WebSocket, through the proxy: what is behind a tunnel must look as
//! strict as if it were asked directly. `cargo xtask testbed` brings it; without it this says that it was skipped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
        println!("skipped: {words}");
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

/// Sections 1 to 5, 7 and 10 by default; those on UTF-8 and the long ones with `CUTOVER_FULL=1`.
#[test]
fn the_suite_sees_no_difference_through_the_proxy() {
    let Some(wstest) = wstest() else { return };
    let full = std::env::var("CUTOVER_FULL").as_deref() == Ok("1");
    let (_runtime, address) = echo();
    let mut stage = Stage::bare();
    let instance = Instance { id: InstanceId("echo".into()), address };
    stage.publish(vec![Pool { instances: vec![instance], ..pool(1, 10_000, &[]) }]);

    let directory = tempfile::tempdir().unwrap();
    let cases: &[&str] = if full {
        &["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
    } else {
        &["1.*", "2.*", "3.*", "4.*", "5.*", "7.*", "10.*"]
    };
    let spec = json!({
        "outdir": directory.path(),
        "servers": [{ "agent": "proxy", "url": format!("ws://{}", stage.address) }],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    let path = directory.path().join("spec.json");
    std::fs::write(&path, spec.to_string()).unwrap();
    let mut command = Command::new(&wstest);
    command.args(["-m", "fuzzingclient", "-s"]).arg(&path).stdin(Stdio::null());
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    let text = std::fs::read_to_string(directory.path().join("index.json")).unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    let cases = found["proxy"].as_object().unwrap();
    let least = if full { 300 } else { 95 };
    assert!(cases.len() >= least, "{} cases", cases.len());
    // What is not strict is so in the library behind the proxy: it tells late of broken UTF-8.
    let fine = ["OK", "NON-STRICT", "INFORMATIONAL"];
    let fails = |case: &Value, part: &str| !fine.contains(&case[part].as_str().unwrap());
    let failed: Vec<_> = cases
        .iter()
        .filter(|(_, case)| fails(case, "behavior") || fails(case, "behaviorClose"))
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(stage.admin.release(1).tunnels >= cases.len() as u64);
}
