//! Users who come once: a connection each, as many as there is room for, and never a second try.
//!
//! They end with a reset once they have the whole answer, so that neither side waits for a port. Most ask for
//! what the proxy answers itself: how many new connections it can take is the question here, not how many an
//! app can. What they lose is collected and judged at the end.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// Threads that knock.
const THREADS: u8 = 8;
/// An answer that takes longer is a lost one.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of so many one asks the app.
const APP_EVERY: u32 = 4;
/// What is asked, and how the answer begins: of the app, and of the proxy alone, which carries no CONNECT.
const APP: (&str, &str) =
    ("GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200");
const PROXY: (&str, &str) =
    ("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\nConnection: close\r\n\r\n", "HTTP/1.1 405");

/// New connections that come without a pause.
pub(crate) struct Knocks {
    over: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    began: Instant,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Knocks {
    /// At that port.
    pub(crate) fn at(port: u16) -> Self {
        let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let knock = |_: u8| {
            let (over, served) = (Arc::clone(&over), Arc::clone(&served));
            std::thread::spawn(move || {
                let mut lost = Vec::new();
                for number in 0_u32.. {
                    if over.load(Ordering::Relaxed) || lost.len() > 20 {
                        break;
                    }
                    match once(port, if number.is_multiple_of(APP_EVERY) { APP } else { PROXY }) {
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

    /// How many were served so far.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Ends them; nobody was refused or lost. Answers how many were served a second.
    pub(crate) fn expect_none_refused(mut self) -> f64 {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.threads.drain(..).map(|thread| thread.join().expect("a thread ends"));
        let lost: Vec<String> = ended.flatten().collect();
        let served = self.served.load(Ordering::Relaxed);
        let (took, count) = (self.began.elapsed(), u32::try_from(served).unwrap_or(u32::MAX));
        let rate = f64::from(count) / took.as_secs_f64();
        println!("{served} new connections in {took:?}, {rate:.0} a second");
        assert!(lost.is_empty(), "of {served} and more: {lost:#?}");
        rate
    }
}

impl Drop for Knocks {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn once(port: u16, (request, wanted): (&str, &str)) -> std::io::Result<()> {
    let mut socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::with_capacity(1024);
    socket.read_to_end(&mut answer)?;
    if answer.starts_with(wanted.as_bytes()) {
        return Ok(());
    }
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    Err(std::io::Error::other(format!("`{line}`")))
}
