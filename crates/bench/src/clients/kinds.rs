//! The clients: what each is called, how it is started, what it says of its version.
//!
//! Each asks every 100 ms and says a line for every answer. Those that are not here are left out.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};

use super::routers::Traffic;
use crate::Outcome;
use crate::peers::says;

/// A kind of client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// In tables.
    pub(crate) name: &'static str,
    program: &'static str,
    /// Words before the method, or none for programs of their own way.
    words: &'static [&'static str],
    speaks: Speaks,
}

/// What a client speaks when the other side can do both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Http1,
    /// HTTP/2, where there is TLS to agree on it.
    Both,
    Http2,
    /// What stays open; the word says what.
    Open(&'static str),
}

/// What a client is to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asks<'a> {
    pub(crate) method: &'a str,
    /// Ends with `/`.
    pub(crate) url: &'a str,
    pub(crate) path: &'a str,
    /// Length of what a POST sends: the file `body` beside the client, or as much of anything.
    pub(crate) body: usize,
}

/// Sources of the clients, in this repository.
const SOURCES: [(&str, &str); 3] = [
    ("client.py", include_str!("../../clients/client.py")),
    ("client.mjs", include_str!("../../clients/client.mjs")),
    ("client.go", include_str!("../../clients/client.go")),
];

const fn kind(
    name: &'static str,
    program: &'static str,
    words: &'static [&'static str],
    speaks: Speaks,
) -> Kind {
    Kind { name, program, words, speaks }
}

/// All of them.
pub(crate) const ALL: [Kind; 16] = [
    kind("curl, one call with many URLs", "curl", &[], Speaks::Both),
    kind("Go, net/http", "go", &[], Speaks::Both),
    kind("Node, http.Agent with keepAlive", "node", &["client.mjs", "agent"], Speaks::Http1),
    kind("Node, fetch", "node", &["client.mjs", "fetch"], Speaks::Http1),
    kind("Node, http2", "node", &["client.mjs", "http2"], Speaks::Http2),
    kind("Python, http.client, connection kept", "python3", &["client.py", "kept"], Speaks::Http1),
    kind("Python, requests.Session", "python3", &["client.py", "session"], Speaks::Http1),
    kind("Python, urllib.request", "python3", &["client.py", "fresh"], Speaks::Http1),
    kind("Python, httpx", "python3", &["client.py", "httpx"], Speaks::Http2),
    kind("Chromium, fetch in a page", "chromium", &[], Speaks::Both),
    kind("Chromium, WebSocket in a page", "chromium", &[], Speaks::Open("socket")),
    kind(
        "Node, WebSocket",
        "node",
        &["--experimental-websocket", "client.mjs", "socket"],
        Speaks::Open("socket"),
    ),
    kind("Python, websockets", "python3", &["client.py", "socket"], Speaks::Open("socket")),
    kind("Chromium, EventSource in a page", "chromium", &[], Speaks::Open("events")),
    kind(
        "Node, EventSource",
        "node",
        &["--experimental-eventsource", "client.mjs", "events"],
        Speaks::Open("events"),
    ),
    kind("Python, requests, events", "python3", &["client.py", "events"], Speaks::Open("events")),
];

/// Writes the clients' sources into a folder.
pub(crate) fn unpack(folder: &Path) -> Outcome<()> {
    for (name, text) in SOURCES {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}

impl Kind {
    /// Its version; an error when it is not here.
    pub(crate) fn version(&self, folder: &Path, testbed: &Path) -> Outcome<String> {
        match self.program {
            "curl" | "chromium" => says(Path::new(self.program), "--version")
                .map(|line| line.split(" built on").next().unwrap_or(&line).to_owned())
                .map(|line| line.split(" (").next().unwrap_or_default().to_owned()),
            "go" => {
                build_go(folder, testbed)?;
                says(&folder.join("go-client"), "version")
            }
            program => {
                let mut command = Command::new(program);
                let output =
                    command.current_dir(folder).args(self.words).args(["version"]).output()?;
                let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                if !output.status.success() || said.is_empty() {
                    let why = String::from_utf8_lossy(&output.stderr).into_owned();
                    return Err(why.lines().next_back().unwrap_or("it says nothing").into());
                }
                Ok(said)
            }
        }
    }

    /// True when it takes part in such traffic.
    pub(crate) const fn takes_part(&self, traffic: Traffic) -> bool {
        match traffic {
            Traffic::Http1 | Traffic::Slow => matches!(self.speaks, Speaks::Http1 | Speaks::Both),
            Traffic::Http2 => matches!(self.speaks, Speaks::Http2 | Speaks::Both),
            Traffic::Open => matches!(self.speaks, Speaks::Open(_)),
        }
    }

    /// Starts one that asks so.
    pub(crate) fn start(&self, folder: &Path, asks: &Asks<'_>) -> Outcome<Client> {
        let Asks { method, url, path, body } = *asks;
        let mut command = Command::new(self.program);
        match self.program {
            "curl" => {
                command.args(["-s", "-o", "/dev/null", "--rate", "10/s", "-X", method]);
                if method == "POST" {
                    command.args(["--data-binary", "@body"]);
                }
                // Standard output would wait for a full buffer.
                let says =
                    "%{stderr}said:%header{x-app-version}\\n%{onerror}said:error %{errormsg}\\n";
                command.args(["-w", says]);
                command.arg(format!("{url}{path}?[1-1000]"));
            }
            "go" => {
                command = Command::new(folder.join("go-client"));
                command.arg(method).arg(format!("{url}{path}"));
            }
            "chromium" => {
                let profile = tempfile::tempdir_in(folder)?.keep();
                command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
                command.args(["--disable-background-networking", "--disable-component-update"]);
                command.args(["--disable-sync", "--disable-dev-shm-usage", "--disable-quic"]);
                command.args(["--enable-logging=stderr", "--remote-debugging-port=0"]);
                // Its own resolver reads the file of names once; the system's is what others use.
                command.args(["--disable-features=AsyncDns", "--ignore-certificate-errors"]);
                command.arg(format!("--user-data-dir={}", profile.display()));
                let what = match self.speaks {
                    Speaks::Open(what) => what,
                    Speaks::Http1 | Speaks::Both | Speaks::Http2 => method,
                };
                command.arg(format!("{url}page#{what},{path},{body}"));
            }
            _ => {
                command.args(self.words).arg(method).arg(format!("{url}{path}"));
            }
        }
        // Where each looks for somebody to trust.
        let chain = folder.join("chain.pem");
        for name in ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] {
            command.env(name, &chain);
        }
        Client::start(command.current_dir(folder))
    }
}

/// Builds the client in Go with the compiler in the path or on the test bed.
fn build_go(folder: &Path, testbed: &Path) -> Outcome<()> {
    let root = testbed.join("golang-bookworm/usr/lib/go-1.19");
    let bed = root.join("bin/go");
    let mut command = if bed.is_file() {
        let mut command = Command::new(&bed);
        command.env("GOROOT", &root);
        command
    } else {
        Command::new("go")
    };
    command.args(["build", "-o", "go-client", "client.go"]).current_dir(folder);
    command.env("GOCACHE", folder.join("go-cache")).env("GOPATH", folder.join("go-path"));
    command.env("CGO_ENABLED", "0").env("GO111MODULE", "off").env("GOFLAGS", "");
    let output = command.output().map_err(|error| format!("no Go here: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

type Said = Arc<Mutex<Vec<(Instant, String)>>>;

/// A running client, in a process group of its own.
#[derive(Debug)]
pub(crate) struct Client {
    process: Child,
    said: Said,
}

impl Client {
    fn start(command: &mut Command) -> Outcome<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.process_group(0).spawn()?;
        let said = Said::default();
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            process.stdout.take().map(|stream| Box::new(stream) as Box<_>),
            process.stderr.take().map(|stream| Box::new(stream) as Box<_>),
        ];
        for stream in streams.into_iter().flatten() {
            let said = Arc::clone(&said);
            std::thread::spawn(move || listen(stream, &said));
        }
        Ok(Self { process, said })
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> Vec<(Instant, String)> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have gone by itself.
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
    }
}

fn listen(stream: impl Read, said: &Said) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let now = Instant::now();
        let Some(word) = answer(&line) else { continue };
        said.lock().unwrap_or_else(PoisonError::into_inner).push((now, word));
    }
}

/// The version or the error that a line tells; `None` for the noise of a browser.
fn answer(line: &str) -> Option<String> {
    let word = match line.split_once("said:") {
        // A browser adds from where.
        Some((_, word)) => word.split("\", source:").next()?,
        None if line.starts_with("v1") || line.starts_with("v2") => line,
        None if line.starts_with("error") || line.starts_with("note") => line,
        None => return None,
    };
    Some(word.trim().to_owned()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn answers_are_found_in_what_programs_say() {
        for (line, word) in [
            ("v1", Some("v1")),
            ("said:v2", Some("v2")),
            ("said:error Empty reply from server", Some("error Empty reply from server")),
            ("[1:2:INFO:CONSOLE:12] \"said:v2\", source: http://x/page (12)", Some("v2")),
            ("error ECONNRESET", Some("error ECONNRESET")),
            ("note closed with 1012", Some("note closed with 1012")),
            ("[ERROR:dbus] Failed to connect", None),
        ] {
            assert_eq!(answer(line).as_deref(), word, "{line}");
        }
    }
}
