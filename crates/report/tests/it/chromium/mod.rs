//! A headless Chromium with one page, driven over its own protocol.
//!
//! It knows no reports. What it answers late, or not at all, ends the test.

pub(crate) mod png;

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::WebSocket;
use tokio_tungstenite::tungstenite::{Message, client};

/// No answer of the browser takes as long, whatever else the machine does.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where a browser may be found, beside the one that `CHROME` names.
const NAMES: [&str; 4] =
    ["chromium", "chromium-headless-shell", "google-chrome", "google-chrome-stable"];

/// A browser, in a process group of its own.
pub(crate) struct Browser {
    process: Child,
    wire: WebSocket<TcpStream>,
    asked: u64,
    /// What the page complained of since it was opened.
    pub(crate) complaints: Vec<String>,
    /// Its profile.
    _folder: tempfile::TempDir,
}

/// The program: named by `CHROME`, in the path, or on the test bed.
pub(crate) fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROME") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/testbed/chromium/usr/bin");
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain([bed]).collect();
    let mut all = NAMES.iter().flat_map(|name| folders.iter().map(move |at| at.join(name)));
    all.find(|program| program.is_file())
}

impl Browser {
    /// Starts it with an empty page.
    pub(crate) fn start(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update"]);
        command.args(["--disable-sync", "--disable-dev-shm-usage", "--disable-quic"]);
        command.args(["--hide-scrollbars", "--remote-debugging-port=0"]);
        command.arg(format!("--user-data-dir={}", folder.path().display())).arg("about:blank");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let process = command.spawn().unwrap();
        let file = folder.path().join("DevToolsActivePort");
        let port: u16 = wait_for("a port of the browser", || {
            std::fs::read_to_string(&file).ok()?.lines().next()?.parse().ok()
        });
        let at = wait_for("a page of the browser", || {
            let list = pages(port).ok()?;
            let mut pages = list.as_array()?.iter().filter(|one| one["type"] == "page");
            pages.next()?["webSocketDebuggerUrl"].as_str().map(str::to_owned)
        });
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let wire = client(at, stream).unwrap().0;
        let complaints = Vec::new();
        let mut browser = Self { process, wire, asked: 0, complaints, _folder: folder };
        for domain in ["Page", "Runtime", "Log"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Asks for something and waits for the answer; events meanwhile are looked at.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let asked = json!({ "id": self.asked, "method": method, "params": params });
        self.wire.send(Message::text(asked.to_string())).unwrap();
        loop {
            let said = self.hear();
            if said["id"] == self.asked {
                assert!(said["error"].is_null(), "{method}: {}", said["error"]);
                return said["result"].clone();
            }
        }
    }

    /// Opens a page and waits until it has been loaded.
    pub(crate) fn open(&mut self, url: &str) {
        self.complaints.clear();
        let went = self.ask("Page.navigate", &json!({ "url": url }));
        assert!(went["errorText"].is_null(), "{url}: {went}");
        while self.evaluate("document.readyState === 'complete' && location.href") != url {}
    }

    /// What an expression is, once it has been promised.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        self.ask("Runtime.evaluate", &params)["result"]["value"].clone()
    }

    /// The page as a PNG: what fits the window, or all of it.
    pub(crate) fn screenshot(&mut self, all: bool) -> Vec<u8> {
        let params = json!({ "format": "png", "captureBeyondViewport": all });
        let shot = self.ask("Page.captureScreenshot", &params);
        from_base64(shot["data"].as_str().unwrap())
    }

    /// The page on paper, as a PDF.
    pub(crate) fn pdf(&mut self) -> Vec<u8> {
        let params = json!({ "printBackground": true, "preferCSSPageSize": true });
        let printed = self.ask("Page.printToPDF", &params);
        from_base64(printed["data"].as_str().unwrap())
    }

    /// The next answer or event.
    fn hear(&mut self) -> Value {
        loop {
            let Message::Text(text) = self.wire.read().unwrap() else { continue };
            let said: Value = serde_json::from_str(&text).unwrap();
            let complaint = match said["method"].as_str() {
                Some("Runtime.exceptionThrown") => true,
                Some("Runtime.consoleAPICalled") => {
                    matches!(said["params"]["type"].as_str(), Some("error" | "warning" | "assert"))
                }
                Some("Log.entryAdded") => said["params"]["entry"]["level"] == "error",
                _ => false,
            };
            if complaint {
                self.complaints.push(said["params"].to_string());
            }
            return said;
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have gone by itself.
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
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

fn from_base64(text: &str) -> Vec<u8> {
    let value = |digit: u8| match digit {
        b'A'..=b'Z' => u32::from(digit - b'A'),
        b'a'..=b'z' => u32::from(digit - b'a') + 26,
        b'0'..=b'9' => u32::from(digit - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let word = four.iter().fold(0, |word, digit| word << 6 | value(*digit));
        let word = word << (6 * (4 - four.len()));
        bytes.extend_from_slice(&word.to_be_bytes()[1..four.len()]);
    }
    bytes
}
