//! What each client has open and how often it asks, in a table of fixed size that all threads share.
//!
//! No client gets over its limit, over all threads, and no thread waits for another: there is no lock. A
//! client of whom nothing is open and whose rate is back at rest is as good as unknown, and its place is
//! free. A set without a free place means no limit for that client, and is counted. What is answered to
//! whom has too much is not decided here.
//!
//! Threads that meet a client for the first time in one moment may each give it a place. Then what is
//! open is the sum of all, so the limit holds; at the limit, and then only, threads that come at once may
//! all be refused where one of them had room. New ones take the first of these places, so the others
//! empty.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Instant;

use crate::counters::Count;

/// Sets of the table, a power of two.
const SETS: usize = 8 * 1024;
/// Places in a set.
const WAYS: usize = 8;
/// The place is being given to somebody else.
const TAKING: u32 = 1 << 31;

/// What of a client is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Its connections.
    Connections,
    /// Its requests, tunnels among them.
    Requests,
}

/// The clients of whom something is open.
#[derive(Debug)]
pub(crate) struct Clients {
    sets: Box<[[Place; WAYS]]>,
    keys: RandomState,
    start: Instant,
    /// How often there was no place.
    pub(crate) unknown: Count,
}

/// One client.
#[derive(Debug, Default)]
struct Place {
    key: AtomicU64,
    /// Who looks at it or has something open; [`TAKING`] beside it.
    users: AtomicU32,
    connections: AtomicU32,
    requests: AtomicU32,
    /// When its rate is at rest again, ns since the start.
    rests: AtomicU64,
}

impl Place {
    /// Uses the place if it is this client's.
    fn enter(&self, key: u64) -> bool {
        if self.key.load(SeqCst) != key {
            return false;
        }
        let mine = self.users.fetch_add(1, AcqRel) & TAKING == 0 && self.key.load(Acquire) == key;
        if !mine {
            self.users.fetch_sub(1, Release);
        }
        mine
    }

    /// Uses the place for a new client, if nobody needs it.
    fn take(&self, key: u64, now: u64) -> bool {
        if self.users.compare_exchange(0, TAKING, AcqRel, Relaxed).is_err() {
            return false;
        }
        let free = self.rests.load(Relaxed) <= now;
        if free {
            self.key.store(key, SeqCst);
        }
        self.users.fetch_sub(if free { TAKING - 1 } else { TAKING }, Release);
        free
    }

    const fn count(&self, what: What) -> &AtomicU32 {
        match what {
            What::Connections => &self.connections,
            What::Requests => &self.requests,
        }
    }
}

/// A client has as many as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Clients {
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        let sets = (0..SETS).map(|_| Default::default()).collect();
        Self { sets, keys: RandomState::new(), start: Instant::now(), unknown: Count::default() }
    }

    /// The client, known for as long as what is given lives; nothing is given where there is no place for
    /// it, so it has no limit.
    pub(crate) fn find(self: &Arc<Self>, client: IpAddr) -> Option<Client> {
        let key = key(client);
        let hash = usize::try_from(self.keys.hash_one(key) % SETS as u64).unwrap_or(0);
        let places = &self.sets[hash];
        let known = places.iter().position(|place| place.enter(key));
        let found = known.or_else(|| {
            let now = self.now();
            places.iter().position(|place| place.take(key, now))
        });
        let Some(way) = found else {
            self.unknown.up();
            return None;
        };
        let at = u32::try_from(hash * WAYS + way).unwrap_or(0);
        Some(Client { table: Arc::clone(self), at, what: None })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A client that is known for as long as this lives.
#[derive(Debug)]
pub(crate) struct Client {
    table: Arc<Clients>,
    at: u32,
    what: Option<What>,
}

impl Client {
    /// One more of a client that may have so many, for as long as what is given lives.
    pub(crate) fn open(mut self, what: What, most: u32) -> Result<Self, Full> {
        let more = |open: u32| (open < most).then_some(open + 1);
        let counted = self.place().count(what).fetch_update(SeqCst, SeqCst, more);
        let before = counted.map_err(|_| Full)?;
        // From here on it is given back when this is dropped.
        self.what = Some(what);
        // Counted first and summed up then: of two threads the later one sees the other.
        if before + self.elsewhere(what) < most { Ok(self) } else { Err(Full) }
    }

    /// Whether it may ask now that may ask `rate` times a second, and `burst` times at once.
    pub(crate) fn asks(&self, pace: (u32, u32)) -> bool {
        self.asks_at(self.table.now(), pace)
    }

    /// The same at a certain time, ns since the start.
    fn asks_at(&self, now: u64, (rate, burst): (u32, u32)) -> bool {
        let every = 1_000_000_000 / u64::from(rate.max(1));
        let room = every.saturating_mul(burst.max(1).into());
        let next = |rests: u64| {
            let rests = rests.max(now) + every;
            (rests - now <= room).then_some(rests)
        };
        self.place().rests.fetch_update(Relaxed, Relaxed, next).is_ok()
    }

    fn place(&self) -> &Place {
        let at = self.at as usize;
        &self.table.sets[at / WAYS][at % WAYS]
    }

    /// How many it has open in other places.
    fn elsewhere(&self, what: What) -> u32 {
        let (at, key) = (self.at as usize, self.place().key.load(Relaxed));
        let others = self.table.sets[at / WAYS].iter().enumerate();
        let same = others.filter(|(way, place)| *way != at % WAYS && place.enter(key));
        let open = same.map(|(_, place)| {
            let open = place.count(what).load(SeqCst);
            place.users.fetch_sub(1, Release);
            open
        });
        open.sum()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(what) = self.what {
            self.place().count(what).fetch_sub(1, SeqCst);
        }
        self.place().users.fetch_sub(1, Release);
    }
}

/// An IPv4 address, or the network of 64 bits of an IPv6 address: whoever has one of its addresses has
/// all of them. Never 0.
fn key(client: IpAddr) -> u64 {
    // No sender has an address of these networks: the first is multicast.
    const IPV4: u64 = 0xff00_0000_0000_0000;
    match client.to_canonical() {
        IpAddr::V4(address) => IPV4 | u64::from(address.to_bits()),
        IpAddr::V6(address) => {
            u64::try_from(address.to_bits() >> 64).ok().filter(|key| *key != 0).unwrap_or(u64::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Barrier};

    use super::{Client, Clients, Full, SETS, WAYS, What, key};

    fn one(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn open(clients: &Arc<Clients>, client: IpAddr, most: u32) -> Option<Client> {
        let found = clients.find(client).expect("there is room in the table");
        found.open(What::Requests, most).ok()
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
        let clients = Arc::new(Clients::new());
        for (first, same, other) in [
            ("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"),
            ("::1", "::2", "::ffff:0.0.0.1"),
        ] {
            let held = open(&clients, one(first), 1).unwrap();
            assert!(open(&clients, one(same), 1).is_none(), "{same}");
            assert!(open(&clients, one(other), 1).is_some(), "{other}");
            drop(held);
            assert!(open(&clients, one(same), 1).is_some(), "{same} again");
        }
    }

    #[test]
    fn connections_and_requests_are_counted_apart() {
        let clients = Arc::new(Clients::new());
        let _request = open(&clients, one("10.0.0.1"), 1).unwrap();
        let client = clients.find(one("10.0.0.1")).unwrap();
        assert!(client.open(What::Connections, 1).is_ok());
    }

    /// However many threads come at once, and however often the place changes hands meanwhile.
    #[test]
    fn no_thread_gets_a_client_over_its_limit() {
        let clients = Arc::new(Clients::new());
        let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let Some(_open) = open(&clients, one("10.0.0.1"), 2) else { continue };
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!((1..=2).contains(&most.into_inner()));
        let places = clients.sets.iter().flatten();
        assert_eq!(places.map(|place| place.users.load(Ordering::SeqCst)).max(), Some(0));
    }

    /// Also when all of them meet it for the first time.
    #[test]
    fn a_client_that_is_new_to_several_threads_has_one_limit() {
        const ROUNDS: u32 = 2_000;
        let clients = Arc::new(Clients::new());
        let (barrier, inside) = (Barrier::new(3), AtomicU32::new(0));
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for round in 0..ROUNDS {
                        let client = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + round));
                        barrier.wait();
                        let held = open(&clients, client, 2);
                        inside.fetch_add(held.is_some().into(), Ordering::SeqCst);
                        barrier.wait();
                        most.fetch_max(inside.load(Ordering::SeqCst), Ordering::SeqCst);
                        barrier.wait();
                        inside.store(0, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 2);
    }

    /// Two threads have given it a place at once.
    #[test]
    fn what_a_client_has_open_in_two_places_is_one_sum() {
        let clients = Arc::new(Clients::new());
        let client = one("10.0.0.1");
        let first = open(&clients, client, 3).unwrap();
        let at = first.at as usize;
        let (set, way) = (at / WAYS, (at + 1) % WAYS);
        assert!(clients.sets[set][way].take(key(client), 0));
        let twin = Client {
            table: Arc::clone(&clients),
            at: u32::try_from(set * WAYS + way).unwrap(),
            what: None,
        };
        let twin = twin.open(What::Requests, 3).unwrap();
        let third = open(&clients, client, 3).unwrap();
        assert!(open(&clients, client, 3).is_none(), "three are open");
        drop(twin);
        let fourth = open(&clients, client, 3).unwrap();
        assert!(open(&clients, client, 3).is_none(), "three are open again");
        drop((first, third, fourth));
        assert!(open(&clients, client, 1).is_some());
    }

    #[test]
    fn a_rate_lets_a_burst_through_and_then_its_share_of_time() {
        let clients = Arc::new(Clients::new());
        let start = 1_000_000_000_000_000;
        let asked = |client: &str, ms: u64| {
            let now = start + ms * 1_000_000;
            let asks = || clients.find(one(client)).unwrap().asks_at(now, (20, 5));
            (0..100).filter(|_| asks()).count()
        };
        for (ms, let_in) in [(0, 5), (49, 0), (50, 1), (99, 0), (200, 3), (9_000, 5)] {
            assert_eq!(asked("10.0.0.1", ms), let_in, "at {ms} ms");
        }
        assert_eq!(asked("10.0.0.2", 0), 5, "another client has its own");
    }

    /// Who is at rest makes room; who is not stays, and who then finds no place is not limited.
    #[test]
    fn the_table_is_bounded_and_forgets_nobody_who_has_something_open() {
        let clients = Arc::new(Clients::new());
        let all = u32::try_from(SETS * WAYS * 2).unwrap();
        let client = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
        for number in 0..all {
            drop(open(&clients, client(number), 1).unwrap());
        }
        assert_eq!(clients.unknown.get(), 0);
        let mut held = Vec::new();
        for number in 0..all {
            let found = clients.find(client(number));
            held.extend(found.map(|found| (number, found.open(What::Requests, 1).unwrap())));
        }
        assert!(clients.unknown.get() > 0 && held.len() <= SETS * WAYS);
        for (number, _) in &held {
            let more = clients.find(client(*number)).unwrap().open(What::Requests, 1);
            assert_eq!(more.err(), Some(Full), "{number}");
        }
    }
}
