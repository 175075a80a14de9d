//! Tests of the sample app over real sockets, in this process or in a child of it.
//!
//! This file holds what they share: an app on a free port, a client that sees bytes and not an
//! abstraction of them, and a child process that can be sent signals.

mod faults;
mod http;
mod sockets;
mod stop;

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::options::Options;
use super::server::{Ended, Server};
use super::state::State;

/// Longest wait for anything that must happen.
const SOON: Duration = Duration::from_secs(10);

#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Line {
    #[command(subcommand)]
    word: Word,
}

#[derive(clap::Subcommand)]
enum Word {
    App(Options),
}

fn options(args: &str) -> Result<Options, clap::Error> {
    let fixed = ["cutover", "app", "--port=0", "--version=v7", "--instance=shop-0"];
    let given = args.split_whitespace();
    let Line { word: Word::App(options) } = Line::try_parse_from(fixed.into_iter().chain(given))?;
    Ok(options)
}

/// An app in this process.
struct App {
    address: SocketAddr,
    state: Arc<State>,
    running: JoinHandle<Ended>,
}

impl App {
    async fn start(args: &str) -> Self {
        let server = Server::bind(options(args).unwrap()).await.unwrap();
        let (address, state) = (server.address(), server.state());
        Self { address, state, running: tokio::spawn(server.run()) }
    }

    async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    async fn get(&self, target: &str) -> Answer {
        self.client().await.get(target).await
    }

    async fn ended(self) -> Ended {
        timeout(SOON, self.running).await.expect("the app did not end").unwrap()
    }

    /// Waits until this many requests are open.
    async fn open_requests(&self, count: u64) {
        let mut load = self.state.watch_load();
        let _ = timeout(SOON, load.wait_for(|l| l.requests == count)).await.expect("in vain");
    }
}

/// One connection.
struct Client(BufReader<TcpStream>);

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    async fn send(&mut self, method: &str, target: &str, body: &[u8]) {
        let length = body.len();
        let head =
            format!("{method} {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        self.0.write_all(head.as_bytes()).await.unwrap();
        self.0.write_all(body).await.unwrap();
    }

    async fn head(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = timeout(SOON, self.0.read_line(&mut head)).await.expect("no head").unwrap();
            assert!(read > 0, "the connection ended in the head: {head:?}");
        }
        Answer { status: head[9..12].parse().unwrap(), head, body: Vec::new() }
    }

    async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        let length = answer.header("content-length").expect("no length").parse().unwrap();
        answer.body.resize(length, 0);
        let body = self.0.read_exact(&mut answer.body);
        timeout(SOON, body).await.expect("no body").unwrap();
        answer
    }

    async fn get(&mut self, target: &str) -> Answer {
        self.send("GET", target, b"").await;
        self.answer().await
    }

    /// The next line that begins like this.
    async fn line_like(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            let read = timeout(SOON, self.0.read_line(&mut line)).await.expect(start).unwrap();
            assert!(read > 0, "it ended without {start:?}");
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// What comes until the connection ends; a reset is an error.
    async fn rest(&mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        timeout(SOON, self.0.read_to_end(&mut rest)).await.expect("it never ended").map(|_| rest)
    }
}

/// The environment variable that makes [`child`] an app.
const CHILD: &str = "CUTOVER_TEST_APP";

/// Not a test: what [`Process`] runs. Without the variable it has nothing to do.
#[test]
fn child() {
    if let Ok(args) = std::env::var(CHILD) {
        super::run(options(&args).unwrap()).unwrap();
    }
}

/// An app in a process of its own; killed when dropped.
struct Process {
    address: SocketAddr,
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn spawn(args: &str) -> (Child, BufReader<ChildStdout>) {
        let path = module_path!().split_once("::").unwrap().1;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{path}::child"), "--nocapture"])
            .env(CHILD, args)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        (child, output)
    }

    async fn start(args: &str) -> Self {
        let (child, mut output) = Self::spawn(args);
        let line = line_with(&mut output, "listening on http://").await;
        let address = line.split("http://").nth(1).unwrap().split(' ').next().unwrap();
        Self { address: address.parse().unwrap(), child, output }
    }

    fn terminate(&self) {
        terminate(&self.child);
    }

    async fn says(&mut self, text: &str) {
        line_with(&mut self.output, text).await;
    }

    async fn exit(mut self) -> ExitStatus {
        timeout(SOON, self.child.wait()).await.expect("it did not exit").unwrap()
    }
}

fn terminate(child: &Child) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
}

async fn line_with(output: &mut BufReader<ChildStdout>, text: &str) -> String {
    loop {
        let mut line = String::new();
        let read = timeout(SOON, output.read_line(&mut line)).await.expect(text).unwrap();
        assert!(read > 0, "it ended without saying {text:?}");
        if line.contains(text) {
            return line;
        }
    }
}
