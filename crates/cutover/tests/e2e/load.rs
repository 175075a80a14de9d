//! Many users at once, each asking again as soon as it is answered, on one connection it keeps: the load
//! of `hey -n N -c C`, but with every answer read to its end and checked, and nothing ever sent twice.
//!
//! A closed loop measures no latency honestly and none is judged; that is the prober's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// An answer that takes longer is a lost one.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connections that ask.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<Vec<User>>,
}

/// What a load came to.
#[derive(Debug)]
pub(crate) struct Held {
    /// Requests that were answered whole and right, by version.
    pub(crate) answers: [u64; 2],
    /// Connections that the other side closed and said so before; the next request took another.
    pub(crate) told_to_close: u64,
    /// What went wrong, in words.
    pub(crate) lost: Vec<String>,
    /// How long it lasted.
    pub(crate) took: Duration,
}

struct Shared {
    port: u16,
    began: Instant,
    /// Requests that are still to be sent; when there are none, users go on until `enough`.
    left: AtomicU64,
    answered: AtomicU64,
    enough: AtomicBool,
}

#[derive(Default)]
struct User {
    answers: [u64; 2],
    told_to_close: u64,
    lost: Option<String>,
}

impl Load {
    /// `connections` users who ask at `port` for `requests` answers together at least.
    pub(crate) fn start(port: u16, connections: usize, requests: u64) -> Self {
        let shared = Arc::new(Shared {
            port,
            began: Instant::now(),
            left: AtomicU64::new(requests),
            answered: AtomicU64::new(0),
            enough: AtomicBool::new(false),
        });
        let its = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut users = JoinSet::new();
                for _ in 0..connections {
                    users.spawn(user(Arc::clone(&its)));
                }
                users.join_all().await
            })
        });
        Self { shared, thread }
    }

    /// Answers so far.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Lets users send what is left to be sent, and tells what came of it all.
    pub(crate) fn end(self) -> Held {
        self.shared.enough.store(true, Ordering::Relaxed);
        let users = self.thread.join().expect("users come to their end");
        let took = self.shared.began.elapsed();
        let sum = |count: fn(&User) -> u64| users.iter().map(count).sum();
        Held {
            answers: [sum(|user| user.answers[0]), sum(|user| user.answers[1])],
            told_to_close: sum(|user| user.told_to_close),
            lost: users.iter().filter_map(|user| user.lost.clone()).collect(),
            took,
        }
    }
}

/// One user; the first loss is the end of it.
async fn user(shared: Arc<Shared>) -> User {
    let mut user = User::default();
    let mut wire = None;
    while shared.another() {
        let asked = async {
            let mut stream = match wire.take() {
                Some(stream) => stream,
                None => connect(shared.port).await?,
            };
            let answer = ask(&mut stream).await?;
            Ok::<_, String>((stream, answer))
        };
        let answer = match timeout(PATIENCE, asked).await {
            Ok(Ok((stream, answer))) => {
                if answer.stays {
                    wire = Some(stream);
                } else {
                    user.told_to_close += 1;
                }
                answer
            }
            Ok(Err(what)) => return user.lose(&shared, &what),
            Err(_) => return user.lose(&shared, "no answer in time"),
        };
        if answer.version == 0 && user.answers[1] > 0 {
            return user.lose(&shared, "v1 answered after v2");
        }
        user.answers[answer.version] += 1;
        shared.answered.fetch_add(1, Ordering::Relaxed);
    }
    user
}

impl Shared {
    /// Takes the right to one more request.
    fn another(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok() || !self.enough.load(Ordering::Relaxed)
    }
}

impl User {
    fn lose(mut self, shared: &Shared, what: &str) -> Self {
        let (at, after) = (shared.began.elapsed().as_millis(), self.answers);
        self.lost = Some(format!("at {at} ms, after {after:?}: {what}"));
        self
    }
}

async fn connect(port: u16) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|e| format!("connect: {e}"));
    stream.inspect(|stream| stream.set_nodelay(true).unwrap())
}

/// An answer that was right.
struct Answer {
    /// 0 for v1, 1 for v2.
    version: usize,
    /// The connection takes another request.
    stays: bool,
}

/// One request on a connection, and its answer to the last byte.
async fn ask(stream: &mut TcpStream) -> Result<Answer, String> {
    let request = b"GET /datetime HTTP/1.1\r\nHost: load\r\n\r\n";
    stream.write_all(request).await.map_err(|error| format!("send: {error}"))?;
    let mut bytes = Vec::with_capacity(1024);
    loop {
        let read = stream.read_buf(&mut bytes).await.map_err(|error| format!("read: {error}"))?;
        if read == 0 {
            return Err(format!("end of file after {} bytes", bytes.len()));
        }
        if let Some(answer) = parse(&bytes)? {
            return Ok(answer);
        }
    }
}

/// The answer, once all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<Answer>, String> {
    let wrong = |what: &str| format!("{what}: {}", String::from_utf8_lossy(bytes));
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) =
        head.parse(bytes).map_err(|e| wrong(&e.to_string()))?
    else {
        return Ok(None);
    };
    let header = |name: &str| {
        let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let whole: Option<usize> = header("content-length").and_then(|text| text.parse().ok());
    let body = &bytes[length..];
    match (head.code, whole) {
        (Some(200), Some(whole)) if body.len() < whole => return Ok(None),
        (Some(200), Some(whole)) if body.len() == whole => {}
        _ => return Err(wrong("not what was asked for")),
    }
    let said: Value = serde_json::from_slice(body).map_err(|error| wrong(&error.to_string()))?;
    let version = header("x-app-version").unwrap_or_default();
    let number = ["v1", "v2"].iter().position(|known| *known == version);
    let version = number.filter(|_| said["version"] == version && said["datetime"].is_string());
    let stays = !header("connection").is_some_and(|word| word.eq_ignore_ascii_case("close"));
    version.map(|version| Some(Answer { version, stays })).ok_or_else(|| wrong("who answered?"))
}
