//! Users who come once: a connection each, as many as there is room for, and never a second try.
//!
//! They come from many addresses of loopback, so that a port is never waited for. What they lose is
//! collected and judged at the end.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// Threads that knock.
const THREADS: u8 = 4;
/// An answer that takes longer is a lost one.
const PATIENCE: Duration = Duration::from_secs(20);

/// New connections that come without a pause.
pub(crate) struct Knocks {
    over: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    began: Instant,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Knocks {
    /// At that port, with requests for `/version`.
    pub(crate) fn at(port: u16) -> Self {
        let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let knock = |thread: u8| {
            let (over, served) = (Arc::clone(&over), Arc::clone(&served));
            std::thread::spawn(move || {
                let mut lost = Vec::new();
                for number in 0_u32.. {
                    if over.load(Ordering::Relaxed) || lost.len() > 20 {
                        break;
                    }
                    let host = u8::try_from(number / 64 % 250).unwrap_or_default();
                    match once(port, Ipv4Addr::new(127, 0, 2 + thread, 1 + host)) {
                        Ok(()) => {
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => lost.push(format!("connection {number}: {error}")),
                    }
                }
                lost
            })
        };
        let threads = (0..THREADS).map(knock).collect();
        Self { over, served, began: Instant::now(), threads }
    }

    /// Ends them; nobody was refused or lost. Answers how many were served.
    pub(crate) fn expect_none_refused(mut self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.threads.drain(..).map(|thread| thread.join().expect("a thread ends"));
        let lost: Vec<String> = ended.flatten().collect();
        let served = self.served.load(Ordering::Relaxed);
        println!("{served} new connections in {:?}", self.began.elapsed());
        assert!(lost.is_empty(), "of {served} and more: {lost:#?}");
        served
    }
}

impl Drop for Knocks {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn once(port: u16, from: Ipv4Addr) -> std::io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") {
        return Ok(());
    }
    Err(std::io::Error::other(format!("`{}`", answer.lines().next().unwrap_or_default())))
}
