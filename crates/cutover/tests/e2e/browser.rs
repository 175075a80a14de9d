//! The page of the sample app in a real browser: a headless Chromium, asked over its own protocol what the
//! page shows.
//!
//! Where there is no Chromium, that is said and nothing of this is done.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::WebSocket;
use tokio_tungstenite::tungstenite::{Message, client};

use crate::world::wait_for;

/// No answer of the browser takes as long.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the page shows.
const SEEN: &str = r#"(() => {
    const of = (id) => document.getElementById(id)?.textContent ?? "";
    const ids = ["version", "state", "echoes", "reconnects", "failed", "log"];
    return JSON.stringify(Object.fromEntries(ids.map((id) => [id, of(id)])));
})()"#;

/// A browser with one page, in a process group of its own.
pub(crate) struct Browser {
    process: Child,
    wire: Option<WebSocket<TcpStream>>,
    /// Its profile.
    folder: tempfile::TempDir,
}

impl Browser {
    /// Opens a page and waits until its socket is open.
    pub(crate) fn open(url: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let profile = format!("--user-data-dir={}", folder.path().display());
        let mut command = Command::new("chromium");
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update"]);
        command.args(["--disable-sync", "--disable-dev-shm-usage", "--disable-quic"]);
        command.args(["--remote-debugging-port=0", &profile, url]).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(process) = command.spawn() else {
            println!("skipped: no Chromium, so nobody looks at the page");
            return None;
        };
        let mut browser = Self { process, wire: None, folder };
        let file = browser.folder.path().join("DevToolsActivePort");
        let port: u16 = wait_for("the browser listens", 60, || {
            let text = std::fs::read_to_string(&file).ok()?;
            text.lines().next()?.parse().ok()
        });
        let at = wait_for("the page is there", 60, || {
            let list = pages(port).ok()?;
            let mut pages = list.as_array()?.iter().filter(|one| one["type"] == "page");
            pages.next()?["webSocketDebuggerUrl"].as_str().map(str::to_owned)
        });
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        browser.wire = Some(client(at, stream).unwrap().0);
        wait_for("the page's socket is open", 60, || {
            (browser.seen()["state"] == "open").then_some(())
        });
        Some(browser)
    }

    /// What the page shows.
    fn seen(&mut self) -> Value {
        let wire = self.wire.as_mut().unwrap();
        let params = json!({ "expression": SEEN, "returnByValue": true });
        let ask = json!({ "id": 1, "method": "Runtime.evaluate", "params": params });
        wire.send(Message::text(ask.to_string())).unwrap();
        loop {
            let Message::Text(text) = wire.read().unwrap() else { continue };
            let answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == 1 {
                let shown = answer["result"]["result"]["value"].as_str().unwrap_or("{}");
                return serde_json::from_str(shown).unwrap();
            }
        }
    }

    /// Waits until it shows that version and a socket that was opened again; what it shows then.
    pub(crate) fn settled_on(&mut self, version: &str) -> Value {
        wait_for("the page has moved", 30, || {
            let seen = self.seen();
            let moved = seen["version"] == version && seen["reconnects"] != "0";
            (moved && seen["state"] == "open").then_some(seen)
        })
    }
}

/// What the browser has open. It does not close the connection, whatever it is told.
fn pages(port: u16) -> std::io::Result<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /json/list HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n")?;
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _gone = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _waited = self.process.wait();
    }
}
