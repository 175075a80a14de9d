//! Apps and users for the traffic tests: small servers that say their version, and clients that ask
//! on kept, on fresh and on upgraded connections and never ask twice.
//!
//! What they must not lose is said by each test: here it is only counted.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// An app: `/healthz`, `/who` (X-Forwarded-For), `/slow?MS`, `/drop` (takes a request and hangs up), upgrades to an echo.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    /// Requests taken, health checks aside, by method.
    pub(crate) taken: Arc<Mutex<BTreeMap<String, u64>>>,
    stop: Arc<AtomicBool>,
}

/// Where an app will listen later: nobody else is given this port meanwhile, and whoever connects is refused.
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    _kept: Socket,
}

impl Place {
    pub(crate) fn new() -> Self {
        let kept = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // As listeners of the standard library do: one of them may have it, too.
        kept.set_reuse_address(true).unwrap();
        kept.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = kept.local_addr().unwrap().as_socket().unwrap();
        Self { address, _kept: kept }
    }
}

impl App {
    pub(crate) fn start(version: &'static str) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), version)
    }

    pub(crate) fn at(address: SocketAddr, version: &'static str) -> Self {
        Self::named(address, version, None)
    }

    /// One that says which instance it is.
    pub(crate) fn named(
        address: SocketAddr,
        version: &'static str,
        instance: Option<&'static str>,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let taken = Arc::default();
        let (stopped, counts) = (Arc::clone(&stop), Arc::clone(&taken));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let counts = Arc::clone(&counts);
                std::thread::spawn(move || serve(&stream, (version, instance), &counts));
            }
        });
        Self { address, taken, stop }
    }

    pub(crate) fn requests(&self) -> u64 {
        self.taken.lock().unwrap().values().sum()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _wakes_it = TcpStream::connect(self.address);
    }
}

fn serve(
    stream: &TcpStream,
    (version, instance): (&str, Option<&str>),
    taken: &Mutex<BTreeMap<String, u64>>,
) -> Option<()> {
    let named = instance.map_or(String::new(), |name| format!("X-App-Instance: {name}\r\n"));
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let head = read_head(&mut reader)?;
        let mut words = head.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        if path != "/healthz" {
            *taken.lock().unwrap().entry(method).or_default() += 1;
        }
        let odd = || taken.lock().unwrap().values().sum::<u64>() % 2 == 1;
        if path == "/moody" && odd() {
            return None;
        }
        if head.to_ascii_lowercase().contains("upgrade: echo") {
            let upgraded = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\
                 X-App: {version}\r\n\r\n"
            );
            writer.write_all(upgraded.as_bytes()).ok()?;
            let mut line = String::new();
            while reader.read_line(&mut line).ok()? > 0 {
                writer.write_all(line.as_bytes()).ok()?;
                line.clear();
            }
            return None;
        }
        if path == "/drop" {
            return None;
        }
        if let Some(ms) = path.strip_prefix("/slow?") {
            std::thread::sleep(Duration::from_millis(ms.parse().ok()?));
        }
        let body = if path == "/who" { forwarded(&head) } else { version.to_owned() };
        let n = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nX-App-Version: {version}\r\n{named}Content-Length: {n}\r\n\r\n{body}"
        );
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

/// Who asked, as the request says: every value of `X-Forwarded-For`.
fn forwarded(head: &str) -> String {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let own = fields.filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"));
    own.map(|(_, value)| value).collect::<Vec<_>>().join(", ")
}

fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A client connection.
pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(to: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(to).map_err(|error| format!("connect: {error}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        stream.set_nodelay(true).unwrap();
        Ok(Self { reader: BufReader::new(stream) })
    }

    pub(crate) fn send(&mut self, text: &str) -> Result<(), String> {
        self.reader.get_mut().write_all(text.as_bytes()).map_err(|error| format!("send: {error}"))
    }

    pub(crate) fn receive(&mut self) -> Result<Answer, String> {
        let head = read_head(&mut self.reader).ok_or("closed before an answer")?;
        let status = head.get(9..12).and_then(|s| s.parse().ok()).ok_or("no status")?;
        let mut answer = Answer { status, head, body: String::new() };
        if status != 101 {
            let length = answer.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
            let mut body = vec![0; length];
            self.reader.read_exact(&mut body).map_err(|error| format!("body: {error}"))?;
            answer.body = String::from_utf8_lossy(&body).into_owned();
        }
        Ok(answer)
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, more: &str) -> Result<Answer, String> {
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: shop.example\r\n{more}\r\n"))?;
        self.receive()
    }

    pub(crate) fn upgrade(to: SocketAddr) -> Result<(Self, Answer), String> {
        let mut connection = Self::open(to)?;
        let answer = connection.ask("GET", "/", "Connection: Upgrade\r\nUpgrade: echo\r\n")?;
        if answer.status == 101 { Ok((connection, answer)) } else { Err(answer.head) }
    }

    pub(crate) fn echo(&mut self, line: &str) -> Result<(), String> {
        self.send(&format!("{line}\n"))?;
        let mut back = String::new();
        self.reader.read_line(&mut back).map_err(|error| format!("echo: {error}"))?;
        if back.trim_end() == line { Ok(()) } else { Err(format!("{line} came back as {back:?}")) }
    }

    pub(crate) fn close(self) {
        let _already = self.reader.get_ref().shutdown(Shutdown::Both);
    }
}

/// One request on a connection of its own.
pub(crate) fn get(to: SocketAddr, path: &str) -> Result<Answer, String> {
    Connection::open(to)?.ask("GET", path, "Connection: close\r\n")
}

/// What users met.
#[derive(Debug)]
pub(crate) struct Met {
    /// Header in which whoever carries the traffic, or the app itself, says the version.
    says: &'static str,
    pub(crate) asked: AtomicU64,
    /// Versions in the order in which each first answered on a fresh connection.
    pub(crate) versions: Mutex<Vec<String>>,
    pub(crate) lost: Mutex<Vec<String>>,
}

impl Met {
    fn note(&self, lane: &str, answer: Result<Answer, String>) -> Option<Answer> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match answer {
            Ok(answer) if answer.status == 200 => {
                if answer.header(self.says) != Some(answer.body.as_str()) {
                    self.lost.lock().unwrap().push(format!("{lane}: wrong stamp {}", answer.head));
                }
                Some(answer)
            }
            Ok(answer) => {
                self.lost.lock().unwrap().push(format!("{lane}: {}", answer.head));
                None
            }
            Err(error) => {
                self.lost.lock().unwrap().push(format!("{lane}: {error}"));
                None
            }
        }
    }
}

/// Users who ask until told to stop.
pub(crate) struct Users {
    pub(crate) met: Arc<Met>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Users {
    /// `kept` kept connections with idle gaps, one fresh lane, one lane of 40 ms requests, `tunnels`
    /// upgraded connections that echo.
    pub(crate) fn start(entrance: SocketAddr, kept: u64, tunnels: u64) -> Self {
        Self::of(entrance, (kept, tunnels), "x-cutover-version")
    }

    /// The same where nobody stamps the answers of the app.
    pub(crate) fn unstamped(entrance: SocketAddr, kept: u64) -> Self {
        Self::of(entrance, (kept, 0), "x-app-version")
    }

    fn of(entrance: SocketAddr, (kept, tunnels): (u64, u64), says: &'static str) -> Self {
        let (asked, versions, lost) = (AtomicU64::new(0), Mutex::default(), Mutex::default());
        let met = Arc::new(Met { says, asked, versions, lost });
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let mut lane = |run: fn(SocketAddr, u64, &Met, &AtomicBool), n: u64| {
            let (met, stop) = (Arc::clone(&met), Arc::clone(&stop));
            threads.push(std::thread::spawn(move || run(entrance, n, &met, &stop)));
        };
        (0..kept).for_each(|n| lane(keep_alive, n));
        (0..tunnels).for_each(|n| lane(tunnel, n));
        lane(fresh, 0);
        lane(slow, 0);
        Self { met, stop, threads }
    }

    /// Ends them and returns what they met.
    pub(crate) fn stop(self) -> Arc<Met> {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.met
    }
}

/// A user whose connection is idle for a while between requests, and who goes on with a new one only
/// when told so by an answer.
fn keep_alive(to: SocketAddr, n: u64, met: &Met, stop: &AtomicBool) {
    let mut connection = None;
    let mut last = String::new();
    while !stop.load(Ordering::SeqCst) {
        let fresh = connection.is_none();
        let mut open = match connection.take().map_or_else(|| Connection::open(to), Ok) {
            Ok(open) => open,
            Err(error) => {
                met.note("keep-alive", Err(error));
                continue;
            }
        };
        if fresh {
            last.clear();
        }
        let answer = met.note("keep-alive", open.ask("GET", "/", ""));
        if let Some(answer) = answer {
            if answer.body < last {
                met.lost.lock().unwrap().push(format!("back from {last} to {}", answer.body));
            }
            last.clone_from(&answer.body);
            if answer.header("connection") != Some("close") {
                connection = Some(open);
            }
        }
        std::thread::sleep(Duration::from_millis(3 + 17 * (n % 4)));
    }
}

fn fresh(to: SocketAddr, _n: u64, met: &Met, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        if let Some(answer) = met.note("fresh", get(to, "/")) {
            let mut versions = met.versions.lock().unwrap();
            if versions.last() != Some(&answer.body) {
                versions.push(answer.body);
            }
        }
        std::thread::sleep(Duration::from_millis(4));
    }
}

fn slow(to: SocketAddr, _n: u64, met: &Met, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        met.note("slow", get(to, "/slow?40"));
    }
}

fn tunnel(to: SocketAddr, n: u64, met: &Met, stop: &AtomicBool) {
    let lost = |error: String| met.lost.lock().unwrap().push(format!("tunnel: {error}"));
    let (mut connection, _) = match Connection::upgrade(to) {
        Ok(upgraded) => upgraded,
        Err(error) => return lost(error),
    };
    let mut count = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        met.asked.fetch_add(1, Ordering::SeqCst);
        if let Err(error) = connection.echo(&format!("{n}-{count}")) {
            return lost(error);
        }
        count += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    connection.close();
}
