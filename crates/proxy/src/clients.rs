//! What each client has open and how often it asks, in a table of fixed size that all threads share.
//!
//! Counts are exact over all threads. Whoever is known is found without a lock; one that is new takes
//! that of its set, one of thousands, for a look at eight places. A client of whom nothing is open and
//! whose rate is back at rest is as good as unknown, and its place is free. A set without a free place
//! means no limit for that client, and is counted. What is answered to whom has too much is not
//! decided here.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
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
    sets: Box<[Set]>,
    keys: RandomState,
    start: Instant,
    /// How often there was no place.
    pub(crate) unknown: Count,
}

#[derive(Debug, Default)]
struct Set {
    /// Held while a place changes hands.
    changing: Mutex<()>,
    places: [Place; WAYS],
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
        if self.key.load(Acquire) != key {
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
            self.key.store(key, Release);
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
        let sets = (0..SETS).map(|_| Set::default()).collect();
        Self { sets, keys: RandomState::new(), start: Instant::now(), unknown: Count::default() }
    }

    /// One more of a client that may have so many, for as long as what is given lives; nothing is given
    /// where there is no place to count it.
    pub(crate) fn open(
        self: &Arc<Self>,
        client: IpAddr,
        (what, most): (What, u32),
    ) -> Result<Option<Client>, Full> {
        let Some(mut found) = self.find(client) else { return Ok(None) };
        let more = |open: u32| (open < most).then_some(open + 1);
        let counted = found.place().count(what).fetch_update(Relaxed, Relaxed, more);
        found.what = counted.is_ok().then_some(what);
        counted.map(|_| Some(found)).map_err(|_| Full)
    }

    /// Whether a client may ask now that may ask `rate` times a second, and `burst` times at once.
    pub(crate) fn asks(self: &Arc<Self>, client: IpAddr, pace: (u32, u32)) -> bool {
        self.asks_at(self.now(), client, pace)
    }

    /// The same at a certain time, ns since the start.
    fn asks_at(self: &Arc<Self>, now: u64, client: IpAddr, (rate, burst): (u32, u32)) -> bool {
        let Some(found) = self.find(client) else { return true };
        let every = 1_000_000_000 / u64::from(rate.max(1));
        let room = every.saturating_mul(burst.max(1).into());
        let next = |rests: u64| {
            let rests = rests.max(now) + every;
            (rests - now <= room).then_some(rests)
        };
        found.place().rests.fetch_update(Relaxed, Relaxed, next).is_ok()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn find(self: &Arc<Self>, client: IpAddr) -> Option<Client> {
        let key = key(client);
        let hash = usize::try_from(self.keys.hash_one(key) % SETS as u64).unwrap_or(0);
        let set = &self.sets[hash];
        let known = || set.places.iter().position(|place| place.enter(key));
        let found = known().or_else(|| {
            let _changing = set.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.now();
            known().or_else(|| set.places.iter().position(|place| place.take(key, now)))
        });
        let Some(way) = found else {
            self.unknown.up();
            return None;
        };
        let at = u32::try_from(hash * WAYS + way).unwrap_or(0);
        Some(Client { table: Arc::clone(self), at, what: None })
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
    fn place(&self) -> &Place {
        let at = self.at as usize;
        &self.table.sets[at / WAYS].places[at % WAYS]
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(what) = self.what {
            self.place().count(what).fetch_sub(1, Relaxed);
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{Client, Clients, Full, SETS, WAYS, What};

    fn one(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn open(clients: &Arc<Clients>, client: IpAddr, most: u32) -> Option<Client> {
        let open = clients.open(client, (What::Requests, most));
        open.ok().map(|open| open.expect("there is room in the table"))
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
        let connection = clients.open(one("10.0.0.1"), (What::Connections, 1));
        assert!(connection.unwrap().is_some());
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
        let places = clients.sets.iter().flat_map(|set| &set.places);
        assert_eq!(places.map(|place| place.users.load(Ordering::SeqCst)).max(), Some(0));
    }

    #[test]
    fn a_rate_lets_a_burst_through_and_then_its_share_of_time() {
        let clients = Arc::new(Clients::new());
        let start = 1_000_000_000_000_000;
        let asked = |client: &str, ms: u64| {
            let now = start + ms * 1_000_000;
            (0..100).filter(|_| clients.asks_at(now, one(client), (20, 5))).count()
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
            let open = clients.open(client(number), (What::Requests, 1)).unwrap();
            held.extend(open.map(|open| (number, open)));
        }
        assert!(clients.unknown.get() > 0 && held.len() <= SETS * WAYS);
        for (number, _) in &held {
            let more = clients.open(client(*number), (What::Requests, 1));
            assert_eq!(more.err(), Some(Full), "{number}");
        }
    }
}
