//! Load over raw sockets, to measure a proxy by hand: an instance, a client, and the two figures
//! that count (CPU per request, memory per idle connection), read from the kernel's accounting.
//!
//! Not a judge: it prints figures and compares nothing. It speaks to any proxy; `equip` is for ours.

use std::fs;
use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Instant;

use model::admin::{Reply, Request};
use model::{
    AppName, Generation, Instance, InstanceId, Pool, PoolState, ReleaseId, Routes, Version, Weight,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const USAGE: &str = "\
Usage:
  load serve ADDRESS                         an instance that answers small JSON
  load proxy SOCKET                          Cutover's proxy, one thread
  load equip SOCKET ADDRESS INSTANCE         gives Cutover's proxy a listener and routes
  load ask ADDRESS PID CONNECTIONS REQUESTS  keep-alive requests; CPU of PID per request
  load streams ADDRESS PID CONNECTIONS REQUESTS
                                             the same over HTTP/2 (prior knowledge), 16 at a time
  load idle ADDRESS PID CONNECTIONS          idle keep-alive connections; memory of PID for each
";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    Content-Length: 27\r\n\r\n{\"id\":1,\"name\":\"something\"}";
const QUESTION: &[u8] = b"GET /api/items/1 HTTP/1.1\r\nHost: shop.test\r\n\
    User-Agent: load/1\r\nAccept: application/json\r\nCookie: session=0123456789abcdef\r\n\r\n";

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            print!("{USAGE}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Outcome<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match words {
        ["serve", address] => runtime.block_on(serve(address.parse()?))?,
        ["proxy", socket] => {
            let admin_socket = socket.into();
            let options = proxy::Options { admin_socket, threads: 1, allow_faults: false };
            proxy::serve(options).map_err(|fault| fault.what)?;
        }
        ["equip", socket, address, instance] => {
            equip(socket, address.parse()?, instance.parse()?)?;
        }
        ["ask", address, pid, connections, requests] => {
            let (connections, requests) = (connections.parse()?, requests.parse()?);
            runtime.block_on(ask(address.parse()?, pid, (connections, requests), false))?;
        }
        ["streams", address, pid, connections, requests] => {
            let (connections, requests) = (connections.parse()?, requests.parse()?);
            runtime.block_on(ask(address.parse()?, pid, (connections, requests), true))?;
        }
        ["idle", address, pid, connections] => {
            runtime.block_on(idle(address.parse()?, pid, connections.parse()?))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// An instance: every head, whatever it says, gets the same answer.
async fn serve(address: SocketAddr) -> Outcome<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            let mut length = 0;
            while let Ok(bytes @ 1..) = stream.read(&mut buffer[length..]).await {
                length += bytes;
                if buffer[..length].ends_with(b"\r\n\r\n") {
                    length = 0;
                    if stream.write_all(ANSWER).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// Publishes one app with one instance, then hands the listening socket over. The socket stays with
/// the proxy when this process ends.
fn equip(socket: &str, address: SocketAddr, instance: SocketAddr) -> Outcome<()> {
    let mut stream = BufReader::new(UnixStream::connect(socket)?);
    let instance = Instance { id: InstanceId("load-1-1".into()), address: instance };
    let pool = Pool {
        release: ReleaseId(1),
        version: Version::new("v1")?,
        weight: Weight::ALL,
        state: PoolState::Serving,
        instances: vec![instance],
    };
    let routes = Routes {
        app: AppName::new("load")?,
        generation: Generation(1),
        hosts: Vec::new(),
        path_prefix: "/".into(),
        pools: vec![pool],
        rules: Vec::new(),
        hold: None,
    };
    let publish = Request::Publish { epoch: 1, expected: Generation(0), routes };
    stream.get_mut().write_all(&line(&publish)?)?;
    expect_done(&mut stream)?;
    let listener = StdListener::bind(address)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [listener.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let listen = line(&Request::Listen { address })?;
    let parts = [IoSlice::new(&listen)];
    rustix::net::sendmsg(stream.get_ref(), &parts, &mut control, SendFlags::empty())?;
    expect_done(&mut stream)
}

fn line(request: &Request) -> Outcome<Vec<u8>> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    Ok(line)
}

fn expect_done(stream: &mut BufReader<UnixStream>) -> Outcome<()> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    match serde_json::from_str(&line)? {
        Reply::Done => Ok(()),
        other => Err(format!("the proxy said {other:?}").into()),
    }
}

/// Sends requests one after the other on each of several connections, or 16 at a time as streams.
async fn ask(
    address: SocketAddr,
    pid: &str,
    (connections, requests): (u64, u64),
    streams: bool,
) -> Outcome<()> {
    let each = requests / connections.max(1);
    // Connections and pools are warm before anything counts.
    burst(address, (connections, each / 10), streams).await?;
    let (began, before) = (Instant::now(), cpu(pid)?);
    let done = burst(address, (connections, each), streams).await?;
    let (took, used) = (began.elapsed(), cpu(pid)? - before);
    println!(
        "{done} requests, {:.0} per second, {:.2} µs of CPU each",
        done as f64 / took.as_secs_f64(),
        used / done as f64
    );
    Ok(())
}

async fn burst(
    address: SocketAddr,
    (connections, each): (u64, u64),
    streams: bool,
) -> Outcome<u64> {
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            if streams {
                return by_streams(stream, each).await.map_err(io::Error::other);
            }
            for _ in 0..each {
                question(&mut stream).await?;
            }
            io::Result::Ok(each)
        });
    }
    let mut done = 0;
    while let Some(one) = tasks.join_next().await {
        done += one??;
    }
    Ok(done)
}

/// Requests over one connection, 16 at a time.
async fn by_streams(stream: TcpStream, requests: u64) -> Result<u64, h2::Error> {
    let (sender, connection) = h2::client::handshake(stream).await?;
    let driver = tokio::spawn(connection);
    let mut lanes = JoinSet::new();
    for lane in 0..16 {
        let sender = sender.clone();
        lanes.spawn(async move {
            let mut done = 0;
            while done * 16 + lane < requests {
                let request = http::Request::get("http://shop.test/api/items/1")
                    .header("user-agent", "load/1")
                    .header("accept", "application/json")
                    .header("cookie", "session=0123456789abcdef")
                    .body(())
                    .unwrap_or_default();
                let (answer, _) = sender.clone().ready().await?.send_request(request, true)?;
                let mut body = answer.await?.into_body();
                while let Some(content) = body.data().await {
                    body.flow_control().release_capacity(content?.len())?;
                }
                done += 1;
            }
            Ok::<u64, h2::Error>(done)
        });
    }
    drop(sender);
    let mut done = 0;
    while let Some(lane) = lanes.join_next().await {
        done += lane.unwrap_or(Ok(0))?;
    }
    driver.abort();
    Ok(done)
}

/// One request and its whole answer.
async fn question(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(QUESTION).await?;
    let mut buffer = [0; 4096];
    let mut length = 0;
    // Answers end with what the instance's body ends with; a longer or shorter one never does.
    while !buffer[..length].ends_with(b"\"something\"}") {
        match stream.read(&mut buffer[length..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => length += bytes,
        }
    }
    if buffer.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&buffer[..length]).into_owned()))
}

/// Opens connections, uses each once and looks at the memory before and after.
async fn idle(address: SocketAddr, pid: &str, connections: u64) -> Outcome<()> {
    // What the proxy keeps for good is there before anything counts.
    burst(address, (32, 1_000), false).await?;
    let before = memory(pid)?;
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut stream = TcpStream::connect(address).await?;
        question(&mut stream).await?;
        open.push(stream);
    }
    let grown = memory(pid)?.saturating_sub(before);
    println!(
        "{} idle connections, {grown} KB more, {:.2} KB each",
        open.len(),
        grown as f64 / open.len() as f64
    );
    Ok(())
}

/// One tick of `/proc/PID/stat`, µs: USER_HZ is 100 on every system we build for.
const TICK: f64 = 10_000.0;

/// CPU time of a process so far, µs (user and system).
fn cpu(pid: &str) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(')').ok_or("no `)` in stat")?.1;
    let mut fields = after.split_whitespace().skip(11);
    let mut ticks = || -> Outcome<u64> { Ok(fields.next().ok_or("stat is short")?.parse()?) };
    let ticks = ticks()? + ticks()?;
    Ok(ticks as f64 * TICK)
}

/// Resident memory of a process, KB.
fn memory(pid: &str) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
