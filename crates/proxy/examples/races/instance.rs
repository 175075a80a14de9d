//! A toy instance with switches: its paths say how it behaves.
//!
//! `/health` fails once when it was told to; `/slow` takes 50 ms, `/longest` 3 s, `/long` is a download of a second, `/early` answers an upload before it has
//! come, `/dies` takes a request and ends the connection without a word, `/ws` echoes lines.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::inbox::Inbox;

/// Pieces of a long download, their length and the pause between them.
const LONG: (usize, usize, Duration) = (20, 1000, Duration::from_millis(50));

/// Bytes of a long download.
pub(crate) const LONG_BYTES: usize = LONG.0 * LONG.1;

/// A listening instance; it is killed when dropped.
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    idle: Duration,
    /// Requests for `/dies` that were taken.
    taken: AtomicUsize,
    /// Its next health check fails.
    sick: AtomicBool,
    /// Health checks that were answered.
    checked: AtomicUsize,
    dead: AtomicBool,
    open: Mutex<BTreeMap<usize, TcpStream>>,
}

impl Instance {
    pub(crate) fn named(name: &str) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), name, Duration::from_mins(1))
    }

    /// One that closes idle connections after `idle`.
    pub(crate) fn idle(name: &str, idle: Duration) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), name, idle)
    }

    pub(crate) fn on(listener: TcpListener, name: &str, idle: Duration) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            idle,
            taken: AtomicUsize::new(0),
            sick: AtomicBool::new(false),
            checked: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &serving));
        Self { address, shared }
    }

    pub(crate) fn taken(&self) -> usize {
        self.shared.taken.load(Ordering::SeqCst)
    }

    pub(crate) fn checked(&self) -> usize {
        self.shared.checked.load(Ordering::SeqCst)
    }

    /// Fails the next health check, and no other.
    pub(crate) fn fail_one_check(&self) {
        self.shared.sick.store(true, Ordering::SeqCst);
    }

    /// Refuses connections and drops those that are open.
    pub(crate) fn kill(&self) {
        if !self.shared.dead.swap(true, Ordering::SeqCst) {
            // Wakes the thread that accepts.
            let _ = TcpStream::connect(self.address);
        }
        for stream in std::mem::take(&mut *self.shared.open.lock().unwrap()).into_values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (number, stream) in listener.incoming().flatten().enumerate() {
        if shared.dead.load(Ordering::SeqCst) {
            return;
        }
        let (Ok(()), Ok(twin)) = (stream.set_nodelay(true), stream.try_clone()) else { continue };
        shared.open.lock().unwrap().insert(number, twin);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let mut peer = Peer { stream, inbox: Inbox::default() };
            // An error is the end of the connection, as is the idle limit.
            let _ = peer.serve(&shared);
            let _ = peer.stream.shutdown(Shutdown::Both);
            shared.open.lock().unwrap().remove(&number);
        });
    }
}

/// One connection from the proxy.
struct Peer {
    stream: TcpStream,
    inbox: Inbox,
}

impl Peer {
    fn serve(&mut self, shared: &Shared) -> std::io::Result<()> {
        self.stream.set_read_timeout(Some(shared.idle))?;
        while let Some(head) = self.inbox.until(&mut self.stream, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let path = head.split(' ').nth(1).unwrap_or_default();
            if path == "/early" {
                return self.answer("413 Content Too Large", b"too large");
            }
            let length = head.split("\r\ncontent-length: ").nth(1);
            let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
            self.inbox.take(&mut self.stream, length.unwrap_or(0));
            match path {
                "/slow" => std::thread::sleep(Duration::from_millis(50)),
                "/longest" => std::thread::sleep(Duration::from_secs(3)),
                "/dies" => {
                    shared.taken.fetch_add(1, Ordering::SeqCst);
                    return Ok(());
                }
                "/health" => {
                    let sick = shared.sick.swap(false, Ordering::SeqCst);
                    let status = if sick { "503 Service Unavailable" } else { "200 OK" };
                    self.answer(status, b"")?;
                    shared.checked.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                "/ws" => return self.echo(),
                "/long" => {
                    self.long()?;
                    continue;
                }
                _ => {}
            }
            self.answer("200 OK", shared.name.as_bytes())?;
        }
        Ok(())
    }

    fn answer(&mut self, status: &str, body: &[u8]) -> std::io::Result<()> {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        self.stream.write_all(&[head.as_bytes(), body].concat())
    }

    fn long(&mut self) -> std::io::Result<()> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG_BYTES}\r\n\r\n");
        self.stream.write_all(head.as_bytes())?;
        for _ in 0..LONG.0 {
            std::thread::sleep(LONG.2);
            self.stream.write_all(&vec![b'x'; LONG.1])?;
        }
        Ok(())
    }

    fn echo(&mut self) -> std::io::Result<()> {
        self.stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )?;
        while let Some(line) = self.inbox.until(&mut self.stream, b"\n") {
            self.stream.write_all(&line)?;
        }
        Ok(())
    }
}
