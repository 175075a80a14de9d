//! Races around who is asked at all: instances that are taken out, that fail one check, whose address
//! changes.
//!
//! Races with long requests, or instances that are away for a while, are in `waits`.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::instance::Instance;
use crate::names::{GOOD_FOR, Names, pair};
use crate::peers::{Apps, Peer};
use crate::scenarios::everybody;
use crate::users::{Count, Way, answers, during};
use crate::world::world;

/// Longer than anybody here waits between two health checks, twice.
const CHECKED_WITHIN: Duration = Duration::from_secs(75);

/// R14: a name gets another address, and twice the time that its answers are good for later who had the old one
/// is ended.
pub(crate) fn r14(name: &str, testbed: &Path) -> Count {
    let (names, [old, new]) = (Names::start(), pair(["v1", "v2"]));
    names.mean(&[&old]);
    let apps = Apps { named: Some(names.named(&old)), ..Apps::default() };
    let peer = Peer::start(name, testbed, &apps);
    during(peer.address, &everybody(), || {
        names.mean(&[&new]);
        std::thread::sleep(2 * GOOD_FOR);
        old.kill();
        answers(peer.address, "a.test", "v2")
    })
}

/// R23: an instance is ended the moment its router says that nothing is open there.
pub(crate) fn r23(name: &str, testbed: &Path) -> Count {
    let mut instances = [(); 3].map(|()| Instance::named("v1"));
    let other = Instance::named("b");
    let all = world(&instances.each_ref(), &[&other]);
    let mut peer = Peer::start(name, testbed, &all);
    // Kept connections would show what a reload does to them (R1), not this.
    let ways = everybody().map(|way| Way { fresh: true, pause: Duration::ZERO, ..way });
    during(peer.address, &ways.repeat(16), || {
        (0..30).all(|round| {
            let at = round % instances.len();
            let (address, mut rest) = (instances[at].address, all.clone());
            rest.a.remove(at);
            let free = peer.take_out(at, address, &rest);
            instances[at].kill();
            // What comes too late finds nobody.
            std::thread::sleep(Duration::from_millis(50));
            instances[at] = again(&instances[at]);
            peer.put_back(at, &all);
            std::thread::sleep(Duration::from_millis(100));
            free
        })
    })
}

/// One on the same address.
fn again(one: &Instance) -> Instance {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if let Ok(listener) = TcpListener::bind(one.address) {
            return Instance::on(listener, "v1", Duration::from_mins(1));
        }
        assert!(Instant::now() < deadline, "{} is not free again", one.address);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// R24: one health check of each instance fails, all at the same time, while users are answered well.
pub(crate) fn r24(name: &str, testbed: &Path) -> Count {
    let (names, pair) = (Names::start(), pair(["v1", "v1"]));
    names.mean(&pair.each_ref());
    // One who asks: another would take the failure.
    let addresses = world(&pair.each_ref(), &[]);
    let apps = Apps { named: Some(names.named(&pair[0])), checked: true, ..addresses };
    let peer = Peer::start(name, testbed, &apps);
    let ways = everybody().map(|way| Way { pause: Duration::from_millis(10), ..way });
    during(peer.address, &ways, || {
        let before = pair.each_ref().map(Instance::checked);
        pair.iter().for_each(Instance::fail_one_check);
        if !peer.checks() {
            std::thread::sleep(Duration::from_secs(5));
            return true;
        }
        // The one that fails, and the next, which does not.
        let twice = || pair.iter().zip(before).all(|(one, before)| one.checked() >= before + 2);
        let deadline = Instant::now() + CHECKED_WITHIN;
        while !twice() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        twice()
    })
}
