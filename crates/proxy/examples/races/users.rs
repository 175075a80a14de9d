//! Users of an app while something happens to it, and the count of what they lost.
//!
//! They never ask a second time for what failed.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::client::Client;

/// What was sent and what was lost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    /// Effects that happened a second time.
    pub(crate) doubled: u64,
    /// The task was not done within its time.
    pub(crate) undone: bool,
}

impl fmt::Display for Count {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} of {}", self.lost, self.sent)?;
        if self.doubled > 0 {
            write!(to, ", {} twice", self.doubled)?;
        }
        if self.undone {
            write!(to, " (not done)")?;
        }
        Ok(())
    }
}

impl Count {
    pub(crate) fn one(&mut self, good: bool) {
        self.sent += 1;
        self.lost += u64::from(!good);
    }
}

/// How a user behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Opens a connection for each request.
    pub(crate) fresh: bool,
    pub(crate) posts: bool,
    pub(crate) path: &'static str,
    pub(crate) host: &'static str,
    /// Between two requests.
    pub(crate) pause: Duration,
}

/// One user on one kept connection, with GET and no pause.
pub(crate) const USER: Way =
    Way { fresh: false, posts: false, path: "/", host: "a.test", pause: Duration::from_millis(1) };

/// Runs users of these ways while `work` is done, and a little longer; true means that it was done.
pub(crate) fn during(address: SocketAddr, ways: &[Way], work: impl FnOnce() -> bool) -> Count {
    let (over, sent, lost) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut undone = false;
    std::thread::scope(|scope| {
        for way in ways {
            let (over, sent, lost) = (&over, &sent, &lost);
            scope.spawn(move || {
                let mut client = None;
                while !over.load(Ordering::SeqCst) {
                    let good = once(&mut client, address, way);
                    sent.fetch_add(1, Ordering::SeqCst);
                    lost.fetch_add(u64::from(!good), Ordering::SeqCst);
                    std::thread::sleep(way.pause);
                }
            });
        }
        let settle = Duration::from_millis(200);
        std::thread::sleep(settle);
        undone = !work();
        std::thread::sleep(settle);
        over.store(true, Ordering::SeqCst);
    });
    let [sent, lost] = [sent, lost].map(AtomicU64::into_inner);
    Count { sent, lost, doubled: 0, undone }
}

/// One request; a connection that is known to be closed is replaced before.
fn once(client: &mut Option<Client>, address: SocketAddr, way: &Way) -> bool {
    if way.fresh || client.as_ref().is_some_and(Client::is_closed) {
        *client = None;
    }
    if client.is_none() {
        *client = Client::to(address, way.host).ok();
    }
    let Some(present) = client else { return false };
    let answer = if way.posts { present.post(way.path, b"x") } else { present.get(way.path) };
    if answer.as_ref().is_none_or(|answer| answer.last) {
        *client = None;
    }
    answer.is_some_and(|answer| answer.good())
}

/// Asks on fresh connections until `name` answers ten times in a row; false when it takes too long.
pub(crate) fn answers(address: SocketAddr, host: &'static str, name: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(8);
    let mut row = 0;
    while Instant::now() < deadline {
        let answer = Client::to(address, host).ok().and_then(|mut client| client.get("/"));
        row = if answer.is_some_and(|answer| answer.says(name)) { row + 1 } else { 0 };
        if row == 10 {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}
