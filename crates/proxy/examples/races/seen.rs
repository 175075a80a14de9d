//! What users see of versions across switches: who is still on the old one, and who goes back to it.
//!
//! What fails on the way is not counted here: that is told by other rows.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::client::Client;
use crate::instance::Instance;
use crate::peers::Peer;
use crate::users::{Count, answers};
use crate::world::world;

/// For so long users go on between two switches.
const BETWEEN: Duration = Duration::from_millis(500);

/// Answers so far, and how many of them were wrong.
#[derive(Default)]
struct Tally {
    over: AtomicBool,
    answers: AtomicU64,
    wrong: AtomicU64,
}

impl Tally {
    fn one(&self, good: bool) {
        self.answers.fetch_add(1, Ordering::SeqCst);
        self.wrong.fetch_add(u64::from(!good), Ordering::SeqCst);
    }

    /// So many users, who go on until `work` is done.
    fn during(&self, users: usize, each: impl Fn() + Sync, work: impl FnOnce() -> bool) -> Count {
        let mut undone = false;
        std::thread::scope(|scope| {
            for _ in 0..users {
                scope.spawn(&each);
            }
            std::thread::sleep(BETWEEN);
            undone = !work();
            self.over.store(true, Ordering::SeqCst);
        });
        let [sent, lost] = [&self.answers, &self.wrong].map(|count| count.load(Ordering::SeqCst));
        Count { sent, lost, doubled: 0, undone }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

/// The number in `v3`.
fn version(address: SocketAddr, client: &mut Option<Client>) -> Option<usize> {
    if client.as_ref().is_some_and(Client::is_closed) {
        *client = None;
    }
    if client.is_none() {
        *client = Client::to(address, "a.test").ok();
    }
    let answer = client.as_mut()?.get("/");
    if answer.as_ref().is_none_or(|answer| answer.last) {
        *client = None;
    }
    let answer = answer.filter(crate::client::Answer::good)?;
    std::str::from_utf8(&answer.body).ok()?.strip_prefix('v')?.parse().ok()
}

/// R13: connections that are kept go on to the new version.
pub(crate) fn r13(name: &str, testbed: &Path) -> Count {
    let instances = ["v1", "v2"].map(Instance::named);
    let mut peer = Peer::start(name, testbed, &world(&[&instances[0]], &[&instances[0]]));
    let (address, tally) = (peer.address, Tally::default());
    // What new connections get; 0 while that is not known.
    let present = AtomicUsize::new(1);
    let user = || {
        let mut client = None;
        while !tally.is_over() {
            let before = present.load(Ordering::SeqCst);
            let seen = version(address, &mut client);
            if let Some(seen) = seen
                && before > 0
                && before == present.load(Ordering::SeqCst)
            {
                tally.one(seen == before);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    tally.during(40, user, || {
        (1..=4).all(|round| {
            present.store(0, Ordering::SeqCst);
            let next = round % 2;
            peer.carry(&world(&[&instances[next]], &[&instances[next]]));
            let done = answers(address, "a.test", ["v1", "v2"][next]);
            present.store(next + 1, Ordering::SeqCst);
            std::thread::sleep(BETWEEN);
            done
        })
    })
}

/// R27: nobody who has seen the new version sees the old one.
pub(crate) fn r27(name: &str, testbed: &Path) -> Count {
    let names: [String; 6] = std::array::from_fn(|number| format!("v{}", number + 1));
    let instances = names.each_ref().map(|name| Instance::named(name));
    let mut peer = Peer::start(name, testbed, &world(&[&instances[0]], &[&instances[0]]));
    let (address, tally) = (peer.address, Tally::default());
    let user = || {
        let mut newest = 0;
        while !tally.is_over() {
            // A connection each.
            if let Some(seen) = version(address, &mut None) {
                tally.one(seen >= newest);
                newest = newest.max(seen);
            }
        }
    };
    tally.during(8, user, || {
        (1..6).all(|round| {
            peer.carry(&world(&[&instances[round]], &[&instances[round]]));
            let done = answers(address, "a.test", &names[round]);
            std::thread::sleep(BETWEEN);
            done
        })
    })
}
