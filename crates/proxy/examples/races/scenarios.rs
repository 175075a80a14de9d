//! The races: each does one task and says what it cost.
//!
//! Those over TLS are in `secure`, those of long requests in `waits`, those of versions in `seen`, those of
//! instances that are taken out in `taken`.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use crate::client::Client;
use crate::instance::{Instance, LONG_BYTES};
use crate::peers::{Apps, Peer};
use crate::users::{Count, USER, Way, answers, during};
use crate::world::world;
use crate::{secure, seen, taken, waits};

/// One row of the table.
pub(crate) struct Scenario {
    pub(crate) race: &'static str,
    pub(crate) words: &'static str,
    pub(crate) run: fn(&str, &Path) -> Count,
}

pub(crate) const SCENARIOS: [Scenario; 22] = [
    Scenario {
        race: "R1",
        words: "a version is switched 8 times; 40 kept connections send POST after idle pauses of 1 to 17 ms",
        run: r01,
    },
    Scenario {
        race: "R2",
        words: "an instance closes idle connections after 50 ms; POST every 49 to 51 ms",
        run: r02,
    },
    Scenario { race: "R3", words: "an upload of 1 MB is answered early and closed", run: r03 },
    Scenario {
        race: "R4, R5",
        words: "the proxy is replaced (reloaded) 5 times under new connections",
        run: r04,
    },
    Scenario { race: "R6", words: "one of two instances is killed under load", run: r06 },
    Scenario {
        race: "R7",
        words: "a version is switched to whose instance listens after 1 s",
        run: r07,
    },
    Scenario {
        race: "R8, R9",
        words: "the old instance ends once the new one answers, 5 times; answers take 50 ms",
        run: r08,
    },
    Scenario { race: "R10", words: "20 WebSockets live through 3 switches", run: r10 },
    Scenario { race: "R11", words: "20 downloads of a second across a switch", run: r11 },
    Scenario {
        race: "R12",
        words: "the proxy is replaced (reloaded) 5 times under streams of HTTP/2 over TLS, 4 connections of 8",
        run: secure::r12,
    },
    Scenario {
        race: "R13",
        words: "40 kept connections through 4 switches: lost is an answer of the old version when new connections get the new one",
        run: seen::r13,
    },
    Scenario {
        race: "R14",
        words: "a name gets another address (good for 5 s); 10 s later the instance at the old one is killed",
        run: taken::r14,
    },
    Scenario {
        race: "R18",
        words: "20 requests of 3 s; the instance that leaves is killed 1 s after it was told to end",
        run: waits::r18,
    },
    Scenario {
        race: "R19",
        words: "an instance takes a POST and dies: lost is expected, twice is not",
        run: r19,
    },
    Scenario {
        race: "R20",
        words: "one of two instances never listened; all kinds of users for 3 s",
        run: waits::r20,
    },
    Scenario {
        race: "R22",
        words: "300 requests at once wait 3 s for an app that pauses",
        run: waits::r22,
    },
    Scenario {
        race: "R23",
        words: "64 users without a pause, a connection for each request; one of three instances is taken out and killed the moment the router says that nothing is open there, 30 times",
        run: taken::r23,
    },
    Scenario {
        race: "R24",
        words: "one health check of each of two instances fails, all else goes well",
        run: taken::r24,
    },
    Scenario {
        race: "R27",
        words: "8 users with fresh connections through 5 switches: lost is an answer of an older version than one before",
        run: seen::r27,
    },
    Scenario { race: "R28", words: "another app is switched 5 times under load", run: r28 },
    Scenario {
        race: "R29",
        words: "20 uploads of 1.5 s across a switch; the old instance ends once the new one answers",
        run: waits::r29,
    },
    Scenario {
        race: "R31",
        words: "20 clients come back over TLS after the proxy was replaced (reloaded): lost is a session that is not resumed",
        run: secure::r31,
    },
];

/// Between two switches: nobody is told to reload while it still does.
const BETWEEN: Duration = Duration::from_millis(400);

/// Two users of each kind: kept and fresh, GET and POST.
pub(crate) fn everybody() -> [Way; 4] {
    let fresh = Way { fresh: true, ..USER };
    [USER, Way { posts: true, ..USER }, fresh, Way { posts: true, ..fresh }]
}

fn r01(name: &str, testbed: &Path) -> Count {
    let (instances, other) = (["v1", "v2"].map(Instance::named), Instance::named("b"));
    let mut peer = Peer::start(name, testbed, &world(&[&instances[0]], &[&other]));
    // Pauses of all lengths, so that some request crosses the close of its idle connection.
    let ways: Vec<Way> = (0..40)
        .map(|number| Way {
            posts: true,
            pause: Duration::from_micros(1_000 + 400 * number),
            ..USER
        })
        .collect();
    let address = peer.address;
    during(address, &ways, || {
        (1..=8).all(|round| {
            std::thread::sleep(BETWEEN);
            peer.carry(&world(&[&instances[round % 2]], &[&other]));
            answers(address, "a.test", ["v1", "v2"][round % 2])
        })
    })
}

fn r02(name: &str, testbed: &Path) -> Count {
    let instance = Instance::idle("v1", Duration::from_millis(50));
    let peer = Peer::start(name, testbed, &world(&[&instance], &[&instance]));
    let ways: [Way; 8] = std::array::from_fn(|number| Way {
        posts: true,
        pause: Duration::from_micros(49_000 + 250 * number as u64),
        ..USER
    });
    during(peer.address, &ways, || {
        // Users do the rest.
        std::thread::sleep(Duration::from_secs(3));
        true
    })
}

fn r03(name: &str, testbed: &Path) -> Count {
    let instance = Instance::named("v1");
    let peer = Peer::start(name, testbed, &world(&[&instance], &[&instance]));
    let (body, mut count) = (vec![b'x'; 1_000_000], Count::default());
    for _ in 0..50 {
        let answer = Client::to(peer.address, "a.test")
            .ok()
            .and_then(|mut client| client.post("/early", &body));
        count.one(answer.is_some_and(|answer| answer.status == 413 && answer.body == b"too large"));
    }
    count
}

fn r04(name: &str, testbed: &Path) -> Count {
    let instance = Instance::named("v1");
    let apps = world(&[&instance], &[&instance]);
    let mut peer = Peer::start(name, testbed, &apps);
    let ways = [Way { fresh: true, pause: Duration::ZERO, ..USER }; 4];
    during(peer.address, &ways, || {
        for _ in 0..5 {
            peer.renew(&apps);
            std::thread::sleep(Duration::from_millis(400));
        }
        true
    })
}

fn r06(name: &str, testbed: &Path) -> Count {
    let (one, two) = (Instance::named("v1"), Instance::named("v1"));
    let peer = Peer::start(name, testbed, &world(&[&one, &two], &[&two]));
    during(peer.address, &everybody(), || {
        one.kill();
        std::thread::sleep(Duration::from_secs(2));
        true
    })
}

fn r07(name: &str, testbed: &Path) -> Count {
    let old = Instance::named("v1");
    let mut peer = Peer::start(name, testbed, &world(&[&old], &[&old]));
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let next = Apps { a: vec![address], b: vec![old.address], ..Apps::default() };
    let starting = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        Instance::on(TcpListener::bind(address).unwrap(), "v2", Duration::from_mins(1))
    });
    let mut started = None;
    during(peer.address, &everybody(), || {
        if peer.has_gate() {
            while !answers(address, "a.test", "v2") {}
        }
        peer.carry(&next);
        started = starting.join().ok();
        answers(peer.address, "a.test", "v2")
    })
}

fn r08(name: &str, testbed: &Path) -> Count {
    let (mut old, other) = (Instance::named("v1"), Instance::named("b"));
    let mut peer = Peer::start(name, testbed, &world(&[&old], &[&other]));
    let ways = everybody().map(|way| Way { path: "/slow", ..way });
    let ways = [ways, ways].concat();
    during(peer.address, &ways, || {
        (2..=6).all(|version| {
            std::thread::sleep(BETWEEN);
            let name = format!("v{version}");
            let new = Instance::named(&name);
            peer.carry(&world(&[&new], &[&other]));
            let done = answers(peer.address, "a.test", &name);
            peer.drained(old.address);
            old = new;
            done
        })
    })
}

fn r10(name: &str, testbed: &Path) -> Count {
    let instances = ["v1", "v2"].map(Instance::named);
    let mut peer = Peer::start(name, testbed, &world(&[&instances[0]], &[]));
    let (address, mut count) = (peer.address, Count::default());
    let mut tunnels: Vec<_> = (0..20).filter_map(|_| Client::to(address, "a.test").ok()).collect();
    let mut open: Vec<bool> = tunnels.iter_mut().map(Client::upgrade).collect();
    for round in 1..=3 {
        peer.carry(&world(&[&instances[round % 2]], &[]));
        count.undone |= !answers(address, "a.test", ["v1", "v2"][round % 2]);
        for (tunnel, open) in tunnels.iter_mut().zip(&mut open) {
            *open = *open && (0..5).all(|number| tunnel.echoes(&format!("{round} {number}\n")));
        }
    }
    for open in open {
        count.one(open);
    }
    count
}

fn r11(name: &str, testbed: &Path) -> Count {
    let instances = ["v1", "v2"].map(Instance::named);
    let mut peer = Peer::start(name, testbed, &world(&[&instances[0]], &[&instances[0]]));
    let (address, mut count) = (peer.address, Count::default());
    std::thread::scope(|scope| {
        let download = || {
            let mut client = Client::to(address, "a.test").ok()?;
            client.get("/long")
        };
        let users: Vec<_> = (0..20).map(|_| scope.spawn(download)).collect();
        std::thread::sleep(Duration::from_millis(300));
        peer.carry(&world(&[&instances[1]], &[&instances[0]]));
        count.undone = !answers(address, "a.test", "v2");
        for user in users {
            let answer = user.join().unwrap();
            count.one(answer.is_some_and(|one| one.good() && one.body.len() == LONG_BYTES));
        }
    });
    count
}

fn r19(name: &str, testbed: &Path) -> Count {
    let instances = [(); 3].map(|()| Instance::named("v1"));
    let all: Vec<&Instance> = instances.iter().collect();
    let peer = Peer::start(name, testbed, &world(&all, &[&instances[0]]));
    let mut count = Count::default();
    for _ in 0..20 {
        let before: usize = instances.iter().map(Instance::taken).sum();
        let answer = Client::to(peer.address, "a.test")
            .ok()
            .and_then(|mut client| client.post("/dies", b"pay"));
        count.one(answer.is_some_and(|answer| answer.good()));
        let taken = instances.iter().map(Instance::taken).sum::<usize>() - before;
        count.doubled += u64::from(taken > 1);
    }
    count
}

fn r28(name: &str, testbed: &Path) -> Count {
    let (mine, others) = (Instance::named("v1"), ["b1", "b2"].map(Instance::named));
    let mut peer = Peer::start(name, testbed, &world(&[&mine], &[&others[0]]));
    let ways = [everybody(), everybody()].concat();
    during(peer.address, &ways, || {
        (1..=5).all(|round| {
            std::thread::sleep(BETWEEN);
            peer.carry(&world(&[&mine], &[&others[round % 2]]));
            answers(peer.address, "b.test", ["b1", "b2"][round % 2])
        })
    })
}
