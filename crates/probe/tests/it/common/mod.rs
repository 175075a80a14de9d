//! A scripted hostile HTTP server on a real socket, and probes of it.
//!
//! Each test file uses a part of it. Servers for all lanes are in `routes` (wrong again and again) and
//! `truth` (wrong once).

pub(crate) mod routes;
pub(crate) mod truth;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::attempt::{Attempt, Class, Lane};
use probe::{Options, Run, Stop, Target, Told};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Writes this and reads the next request.
    Say(Vec<u8>),
    /// Writes this, and the other when the client has had time to read the first.
    SayLater(Vec<u8>, Vec<u8>),
    /// Writes this and closes.
    SayAndClose(Vec<u8>),
    /// Writes this and resets, when the client has had it for a moment.
    SayAndReset(Vec<u8>),
    /// Resets without a byte.
    Reset,
    /// Waits until then, then does the other.
    Wait(Instant, Box<Self>),
    /// Never answers.
    Hang,
    /// Writes this, and closes when the connection has been idle that long.
    SayAndCloseIdle(Vec<u8>, Duration),
    /// Writes this over and over.
    Endless(Vec<u8>),
}

/// A server with a script: number of the request, from 0 → what to do.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<AtomicU64>,
    /// The first line of each.
    pub(crate) lines: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn start(script: impl Fn(u64) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let lines = Arc::default();
        let (script, heard) = (Arc::new(script), (Arc::clone(&requests), Arc::clone(&lines)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), heard.clone()));
            }
        });
        Self { address, requests, lines }
    }

    /// Requests that have arrived.
    pub(crate) fn asked(&self) -> usize {
        usize::try_from(self.requests.load(Ordering::SeqCst)).unwrap()
    }

    pub(crate) fn url(&self) -> Target {
        Target::parse(&format!("http://{}/x", self.address)).unwrap()
    }
}

async fn serve<S: Fn(u64) -> Act>(
    mut stream: TcpStream,
    script: Arc<S>,
    (requests, lines): (Arc<AtomicU64>, Arc<Mutex<Vec<String>>>),
) {
    let mut seen = Vec::new();
    loop {
        let mut byte = [0; 1024];
        while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
            match stream.read(&mut byte).await {
                Ok(0) | Err(_) => return,
                Ok(read) => seen.extend_from_slice(&byte[..read]),
            }
        }
        let text = String::from_utf8_lossy(&seen);
        lines.lock().unwrap().extend(text.lines().next().map(str::to_owned));
        seen.clear();
        let mut act = script(requests.fetch_add(1, Ordering::SeqCst));
        while let Act::Wait(until, then) = act {
            tokio::time::sleep_until(until.into()).await;
            act = *then;
        }
        if play(&mut stream, act).await.is_none() {
            return;
        }
    }
}

/// `None` when the connection ends with it.
async fn play(stream: &mut TcpStream, act: Act) -> Option<()> {
    match act {
        Act::Say(bytes) => stream.write_all(&bytes).await.ok(),
        Act::SayLater(bytes, more) => {
            stream.write_all(&bytes).await.ok()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.write_all(&more).await.ok()
        }
        Act::SayAndClose(bytes) => {
            let _ = stream.write_all(&bytes).await;
            None
        }
        Act::SayAndReset(bytes) => {
            let _ = stream.write_all(&bytes).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            reset(stream)
        }
        Act::Reset => reset(stream),
        Act::Hang => {
            let _ = stream.read(&mut [0]).await;
            None
        }
        Act::SayAndCloseIdle(bytes, idle) => {
            stream.write_all(&bytes).await.ok()?;
            let _ = tokio::time::timeout(idle, stream.readable()).await;
            None
        }
        Act::Endless(bytes) => {
            while stream.write_all(&bytes).await.is_ok() {}
            None
        }
        Act::Wait(..) => unreachable!("waited for above"),
    }
}

fn reset(stream: &TcpStream) -> Option<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    None
}

/// A right answer that says `version` in the app's header.
pub(crate) fn right(version: &str) -> Act {
    Act::Say(
        format!("HTTP/1.1 200 OK\r\nX-App-Version: {version}\r\nContent-Length: 2\r\n\r\nok")
            .into_bytes(),
    )
}

/// A run of `count` attempts on one lane, 200/s, with limits that a busy machine does not meet.
pub(crate) fn options(url: Target, lane: Lane, count: u64) -> Options {
    Options {
        lanes: vec![(lane, 1.0)],
        stop: Stop::Count(count),
        late_after: Duration::from_secs(2),
        timeout: Duration::from_secs(3),
        slowness: Duration::from_millis(100),
        ..Options::new(url, 200)
    }
}

/// Runs it to its end, within a bound.
pub(crate) async fn run(options: Options) -> Run {
    let (_going, told) = watch::channel(Told::Go);
    let run = probe::run(options, told, None);
    let run =
        tokio::time::timeout(Duration::from_secs(15), run).await.expect("the run never ended");
    let run = run.unwrap();
    books_balance(&run);
    run
}

/// What holds for every run.
pub(crate) fn books_balance(run: &Run) {
    let footer = run.footer.as_ref().expect("a footer");
    assert_eq!(footer.planned, footer.sent + footer.not_sent);
    assert_eq!(footer.planned, run.attempts.len() as u64);
    let mut ids: Vec<u64> = run.attempts.iter().map(|attempt| attempt.id).collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(0..footer.planned), "ids are not 0..n: {ids:?}");
    for attempt in &run.attempts {
        assert!(attempt.dispatched_us >= attempt.intended_us, "{attempt:?}");
        assert!(attempt.done_us >= attempt.dispatched_us, "{attempt:?}");
        assert!(attempt.class == Class::Ok || attempt.detail.is_some(), "{attempt:?}");
        let known = run.connections.iter().any(|c| c.connection == attempt.connection);
        assert!(attempt.connection == 0 || known, "its connection has no record: {attempt:?}");
    }
}

/// Attempts of a class.
pub(crate) fn of(run: &Run, class: Class) -> Vec<&Attempt> {
    run.attempts.iter().filter(|attempt| attempt.class == class).collect()
}

/// A run in which this machine never stood still for longer than that, for a test of short times: ten are tried.
pub(crate) async fn undisturbed(most: Duration, mut begin: impl AsyncFnMut() -> Run) -> Run {
    for _ in 0..10 {
        let run = begin().await;
        let longest = run.blind.iter().map(|blind| blind.to_us - blind.from_us).max();
        if u128::from(longest.unwrap_or(0)) <= most.as_micros() {
            return run;
        }
    }
    panic!("this machine is too busy");
}

/// Exactly these classes with these counts, and no others. What a busy machine kept the prober from
/// sending is taken off the first.
#[track_caller]
pub(crate) fn assert_classes(run: &Run, expected: &[(Class, usize)]) {
    let stopped = stopped(run);
    let sent = run.attempts.len() - stopped;
    assert!(sent * 5 >= run.attempts.len(), "this machine is too busy: {:?}", run.blind);
    for class in Class::ALL {
        let mut wanted = expected.iter().find(|(c, _)| *c == class).map_or(0, |(_, n)| *n);
        if class == Class::NotSent {
            wanted += stopped;
        } else if expected[0].0 == class {
            wanted -= stopped;
        }
        let odd = || run.attempts.iter().filter(|attempt| attempt.class != Class::Ok);
        let seen = of(run, class).len();
        assert_eq!(seen, wanted, "{class:?}; all but ok: {:#?}", odd().collect::<Vec<_>>());
    }
}

/// Attempts that were not sent because the prober itself did not run at their time.
pub(crate) fn stopped(run: &Run) -> usize {
    let stopped = |a: &&&Attempt| a.detail.as_deref().is_some_and(|d| d.contains("was stopped"));
    of(run, Class::NotSent).iter().filter(stopped).count()
}
