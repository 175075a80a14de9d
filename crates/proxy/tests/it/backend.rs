//! A scripted instance: each request is handed to a closure that says, byte by byte, what happens.
//!
//! It understands no HTTP beyond where a head ends and how long a body says it is.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// One connection from the proxy.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// What becomes of the connection after a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    Close,
}

impl Peer {
    pub(crate) fn say(&mut self, text: &str) {
        // The proxy may be gone by intent of the test.
        let _ = self.stream.write_all(text.as_bytes());
    }

    /// A complete answer with this body.
    pub(crate) fn ok(&mut self, body: &str) -> Then {
        self.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        Then::Keep
    }

    /// Reads until there are `bytes` bytes, and takes them.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        while self.read.len() < bytes {
            self.more()?;
        }
        let rest = self.read.split_off(bytes);
        Some(std::mem::replace(&mut self.read, rest))
    }

    /// Reads up to and including `mark`.
    pub(crate) fn until(&mut self, mark: &str) -> Option<String> {
        let mark = mark.as_bytes();
        loop {
            if let Some(at) = self.read.windows(mark.len()).position(|window| window == mark) {
                let taken = self.take(at + mark.len())?;
                return Some(String::from_utf8_lossy(&taken).into_owned());
            }
            self.more()?;
        }
    }

    /// The body that a head announces, chunks as they came.
    pub(crate) fn body(&mut self, head: &str) -> Option<String> {
        let head = head.to_lowercase();
        if head.contains("transfer-encoding: chunked") {
            let mut body = String::new();
            while !(body.ends_with("\r\n\r\n")
                && (body.contains("\r\n0\r\n") || body.starts_with('0')))
            {
                body.push_str(&self.until("\r\n")?);
            }
            return Some(body);
        }
        let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        Some(String::from_utf8_lossy(&self.take(length)?).into_owned())
    }

    fn more(&mut self) -> Option<()> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.read.extend_from_slice(&bytes[..count]);
                Some(())
            }
        }
    }
}

/// A listening instance; dropping it kills it.
pub(crate) struct Backend {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// Heads of all requests that arrived.
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    /// Those that are open, by their number.
    open: Arc<Mutex<BTreeMap<usize, TcpStream>>>,
    dead: Arc<AtomicBool>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Backend {
    /// An instance that answers everything with its name.
    pub(crate) fn named(name: &str) -> Self {
        let body = name.to_owned();
        Self::scripted(name, move |peer, head| {
            if head.to_lowercase().contains("content-length: ") {
                peer.body(head);
            }
            peer.ok(&body)
        })
    }

    /// An instance that answers how long bodies are, and tells when one broke off.
    pub(crate) fn reading(name: &str) -> (Self, Receiver<()>) {
        let (tell, told) = channel();
        let tell = Mutex::new(tell);
        let backend = Self::scripted(name, move |peer, head| {
            if let Some(body) = peer.body(head) {
                return peer.ok(&body.len().to_string());
            }
            // Who does not want to know has let go of it.
            let _ = tell.lock().unwrap().send(());
            Then::Close
        });
        (backend, told)
    }

    /// Two instances, and the bodies that they were sent: the first dies of each request, the other one answers
    /// `stored`.
    pub(crate) fn dying_and_living() -> ([Self; 2], Arc<Mutex<Vec<String>>>) {
        let bodies = Arc::<Mutex<Vec<String>>>::default();
        let both = ["dying", "living"].map(|name| {
            let (bodies, answers) = (Arc::clone(&bodies), name == "living");
            Self::scripted(name, move |peer, head| {
                bodies.lock().unwrap().push(peer.body(head).unwrap());
                if answers { peer.ok("stored") } else { Then::Close }
            })
        });
        (both, bodies)
    }

    pub(crate) fn scripted(
        name: &str,
        script: impl Fn(&mut Peer, &str) -> Then + Send + Sync + 'static,
    ) -> Self {
        Self::with_idle(name, Duration::from_secs(20), script)
    }

    /// An instance that closes idle connections after `idle`.
    pub(crate) fn with_idle(
        name: &str,
        idle: Duration,
        script: impl Fn(&mut Peer, &str) -> Then + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let backend = Self {
            name: name.to_owned(),
            address: listener.local_addr().unwrap(),
            heads: Arc::default(),
            connections: Arc::default(),
            open: Arc::default(),
            dead: Arc::default(),
            accepting: Mutex::default(),
        };
        let script = Arc::new(script);
        let (heads, connections) = (Arc::clone(&backend.heads), Arc::clone(&backend.connections));
        let (open, dead) = (Arc::clone(&backend.open), Arc::clone(&backend.dead));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if dead.load(Ordering::SeqCst) {
                    return;
                }
                let number = connections.fetch_add(1, Ordering::SeqCst);
                stream.set_read_timeout(Some(idle)).unwrap();
                stream.set_nodelay(true).unwrap();
                open.lock().unwrap().insert(number, stream.try_clone().unwrap());
                let others = Arc::clone(&open);
                let (script, heads) = (Arc::clone(&script), Arc::clone(&heads));
                std::thread::spawn(move || {
                    let mut peer = Peer { stream, read: Vec::new() };
                    while let Some(head) = peer.until("\r\n\r\n") {
                        heads.lock().unwrap().push(head.clone());
                        if script(&mut peer, &head) == Then::Close {
                            break;
                        }
                    }
                    let _ = peer.stream.shutdown(Shutdown::Both);
                    others.lock().unwrap().remove(&number);
                });
            }
        });
        *backend.accepting.lock().unwrap() = Some(accepting);
        backend
    }

    pub(crate) fn hits(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    /// Refuses connections; those that are open go on.
    pub(crate) fn stop_accepting(&self) {
        if !self.dead.swap(true, Ordering::SeqCst) {
            let _ = TcpStream::connect(self.address);
            if let Some(accepting) = self.accepting.lock().unwrap().take() {
                accepting.join().unwrap();
            }
        }
    }

    /// Refuses connections and drops those that are open.
    pub(crate) fn kill(&self) {
        self.stop_accepting();
        for stream in std::mem::take(&mut *self.open.lock().unwrap()).into_values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}
