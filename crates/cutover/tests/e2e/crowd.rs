//! Users who do more than ask: uploads and downloads with a digest, slow requests, WebSockets.
//!
//! One thread each, one thing at a time, never a second try; each does a bounded number of things.
//! What they lose is collected and asserted at the end, together with what they did, so that a
//! crowd that did nothing is red too. Their requests are in `wire`, their sockets in `echo`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::echo;
use crate::wire::Wire;
use crate::world::World;

/// Things that one user does at most; a test that lasts longer than that is told so.
const MOST: u64 = 5_000;

/// What a user does, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sends half a mebibyte in pieces on one kept connection; whole length announced.
    Upload,
    /// The same on a fresh connection each time, in chunks, and slower.
    ChunkedUpload,
    /// Reads a few mebibytes, not as fast as they come.
    Download,
    /// Waits for an answer that takes its time.
    Slow,
    /// Sends numbered messages and reconnects when told to.
    Socket,
}

/// All kinds, which the sample app serves.
pub(crate) const EVERYONE: [Kind; 5] =
    [Kind::Upload, Kind::ChunkedUpload, Kind::Download, Kind::Slow, Kind::Socket];

/// Those who lose something when an instance ends before they have been served, with an app that does
/// not wait for them.
pub(crate) const REQUESTS: [Kind; 4] =
    [Kind::Upload, Kind::ChunkedUpload, Kind::Download, Kind::Slow];

/// Users at work.
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Tally>>,
}

/// What users share.
pub(crate) struct Shared {
    began: Instant,
    leave: AtomicBool,
    marks: AtomicU64,
}

/// What one user did and lost.
#[derive(Debug)]
pub(crate) struct Tally {
    kind: Kind,
    /// Requests that were answered whole and right; echoes of a socket.
    pub(crate) done: u64,
    /// Requests that were open at a mark; sockets that a mark found open.
    pub(crate) spanned: u64,
    /// Sockets that moved because they were told to.
    pub(crate) reconnects: u64,
    lost: Vec<String>,
}

impl Shared {
    /// True when users are to leave.
    pub(crate) fn over(&self) -> bool {
        self.leave.load(Ordering::Relaxed)
    }

    /// How many marks there were.
    pub(crate) fn marks(&self) -> u64 {
        self.marks.load(Ordering::Relaxed)
    }
}

impl Tally {
    const fn new(kind: Kind) -> Self {
        Self { kind, done: 0, spanned: 0, reconnects: 0, lost: Vec::new() }
    }

    /// True while there may be more.
    fn may_go_on(&self, shared: &Shared) -> bool {
        let spent = self.done >= MOST || self.lost.len() >= 20;
        !spent && !shared.over()
    }

    fn lose(&mut self, shared: &Shared, what: &str) {
        let at = shared.began.elapsed().as_millis();
        self.lost.push(format!("at {at} ms, {:?} after {}: {what}", self.kind, self.done));
    }
}

impl Crowd {
    /// One user of each of `kinds`, at a world's entrance.
    pub(crate) fn of(world: &World, kinds: &[Kind]) -> Self {
        let shared = Shared {
            began: Instant::now(),
            leave: AtomicBool::new(false),
            marks: AtomicU64::new(0),
        };
        let (shared, port) = (Arc::new(shared), world.port);
        let user = |kind: &Kind| {
            let (kind, shared) = (*kind, Arc::clone(&shared));
            std::thread::spawn(move || match kind {
                Kind::Socket => talk(port, &shared),
                _ => ask(port, kind, &shared),
            })
        };
        let threads = kinds.iter().map(user).collect();
        Self { shared, threads }
    }

    /// Something happens now; whoever is open has to live through it. Answers when that is, in
    /// the time that losses are told in.
    pub(crate) fn mark(&self) -> u128 {
        self.shared.marks.fetch_add(1, Ordering::Relaxed);
        self.shared.began.elapsed().as_millis()
    }

    /// Lets everybody finish what is open. Nothing was lost, everybody did something, and every
    /// kind was open at half of the marks at least.
    pub(crate) fn expect_nothing_lost(mut self) -> Vec<Tally> {
        self.shared.leave.store(true, Ordering::Relaxed);
        let ended = self.threads.drain(..).map(|user| user.join().expect("a user's thread ends"));
        let tallies: Vec<Tally> = ended.collect();
        for tally in &tallies {
            println!("{tally:?}");
            assert!(tally.lost.is_empty(), "{:#?}", tally.lost);
            assert!(tally.done < MOST, "the test lasts longer than its users: {tally:?}");
            assert!(tally.done > 0, "{:?} did nothing", tally.kind);
            assert!(2 * tally.spanned >= self.shared.marks(), "hardly ever open: {tally:?}");
        }
        tallies
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // A test that fails elsewhere does not leave users behind for long.
        self.shared.leave.store(true, Ordering::Relaxed);
    }
}

fn ask(port: u16, kind: Kind, shared: &Shared) -> Tally {
    let mut tally = Tally::new(kind);
    let mut wire = None;
    while tally.may_go_on(shared) {
        let before = shared.marks();
        let kept = wire.take().map_or_else(|| Wire::connect(port), Ok);
        match kept.and_then(|wire| exchange(wire, kind, tally.done)) {
            Ok(left) => {
                tally.done += 1;
                wire = left;
            }
            Err(error) => tally.lose(shared, &error.to_string()),
        }
        tally.spanned += shared.marks() - before;
    }
    tally
}

/// One request; the connection, if another may follow on it.
fn exchange(mut wire: Wire, kind: Kind, number: u64) -> std::io::Result<Option<Wire>> {
    // Lengths differ, so that an answer that belongs to another request has a wrong one.
    let odd = usize::try_from(number % 1_000).unwrap_or_default();
    let stays = match kind {
        Kind::Upload => wire.upload(512 * 1024 + odd)?,
        Kind::ChunkedUpload => wire.upload_in_chunks(512 * 1024 + odd)?,
        Kind::Download => wire.download(6 * 1024 * 1024 + odd)?,
        Kind::Slow => wire.slow(Duration::from_millis(1_500))?,
        Kind::Socket => return Err(std::io::Error::other("a socket is no request")),
    };
    Ok((stays && kind != Kind::ChunkedUpload).then_some(wire))
}

fn talk(port: u16, shared: &Shared) -> Tally {
    let mut tally = Tally::new(Kind::Socket);
    while tally.may_go_on(shared) {
        if let Err(what) = echo::until_told(port, shared, &mut tally, MOST) {
            tally.lose(shared, &what);
        }
    }
    tally
}
