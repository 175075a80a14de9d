//! Requests that take long, and instances that are away: who waits, and who is lost.
//!
//! Users who ask again and again are in `users`; here each has one task.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use crate::client::Client;
use crate::instance::Instance;
use crate::peers::{Apps, Peer};
use crate::users::{Count, USER, Way, answers, during};
use crate::world::world;

/// When something happens to requests that have begun.
const MIDWAY: Duration = Duration::from_millis(500);

/// So many users at once, each with one task, of which true means that it went well; `meanwhile` happens while
/// they wait.
fn at_once(
    users: usize,
    task: impl Fn() -> bool + Sync,
    meanwhile: impl FnOnce() -> bool,
) -> Count {
    let mut count = Count::default();
    std::thread::scope(|scope| {
        let users: Vec<_> = (0..users).map(|_| scope.spawn(&task)).collect();
        std::thread::sleep(MIDWAY);
        count.undone = !meanwhile();
        for user in users {
            count.one(user.join().unwrap());
        }
    });
    count
}

fn asks(address: SocketAddr, path: &str) -> bool {
    let answer = Client::to(address, "a.test").ok().and_then(|mut client| client.get(path));
    answer.is_some_and(|answer| answer.good())
}

/// R18: whoever stops an instance gives it less time than its requests take.
pub(crate) fn r18(name: &str, testbed: &Path) -> Count {
    let (old, new) = (Instance::named("v1"), Instance::named("v2"));
    let mut peer = Peer::start(name, testbed, &world(&[&old], &[&new]));
    let address = peer.address;
    at_once(
        20,
        || asks(address, "/longest"),
        || {
            peer.carry(&world(&[&new], &[&new]));
            let done = answers(address, "a.test", "v2");
            peer.drained(old.address);
            std::thread::sleep(Duration::from_secs(1));
            old.kill();
            done
        },
    )
}

/// R20: what is tried again goes elsewhere.
pub(crate) fn r20(name: &str, testbed: &Path) -> Count {
    let alive = Instance::named("v1");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let apps = Apps { a: vec![nobody, alive.address], b: vec![alive.address], ..Apps::default() };
    let peer = Peer::begin(name, testbed, &apps);
    let fresh = Way { fresh: true, ..USER };
    let ways = [USER, Way { posts: true, ..USER }, fresh, Way { posts: true, ..fresh }];
    during(peer.address, &ways, || {
        std::thread::sleep(Duration::from_secs(3));
        true
    })
}

/// R22: who waits for an app that pauses is answered in the end.
pub(crate) fn r22(name: &str, testbed: &Path) -> Count {
    let instance = Instance::named("v1");
    let peer = Peer::start(name, testbed, &world(&[&instance], &[&instance]));
    at_once(300, || asks(peer.address, "/longest"), || true)
}

/// R29: an upload that has begun goes on where it began.
pub(crate) fn r29(name: &str, testbed: &Path) -> Count {
    let (old, new) = (Instance::named("v1"), Instance::named("v2"));
    let mut peer = Peer::start(name, testbed, &world(&[&old], &[&new]));
    let address = peer.address;
    let task = || {
        let mut client = Client::to(address, "a.test").ok()?;
        client.upload("/", (15, Duration::from_millis(100)))
    };
    at_once(
        20,
        || task().is_some_and(|answer| answer.good()),
        || {
            peer.carry(&world(&[&new], &[&new]));
            let done = answers(address, "a.test", "v2");
            peer.drained(old.address);
            old.kill();
            done
        },
    )
}
