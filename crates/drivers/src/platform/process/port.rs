//! Free loopback ports for new instances.
//!
//! Ports are taken outside the kernel's range for outgoing connections: an instance binds its port
//! some time after it was chosen, and under load an outgoing connection (or one in TIME_WAIT) may
//! by then sit on any port of that range. Nothing is reserved: what is found free now is tried by
//! the instance later, and a new one is chosen when it fails.

use std::collections::VecDeque;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// How many ports a look offers.
const OFFERED: usize = 16;
/// How many of the ports given out last are not offered again.
const REMEMBERED: usize = 512;
/// Below this are ports people choose by hand.
const LOWEST: u16 = 10_000;

/// Finds ports, and remembers those it offered that were used.
#[derive(Debug)]
pub(super) struct Ports {
    next: u16,
    given: VecDeque<u16>,
}

impl Ports {
    /// `seed` decides where the search begins, so that two of us seldom begin at the same place.
    pub(super) fn new(seed: u64) -> Self {
        let range = range();
        let width = u64::from(range.1 - range.0) + 1;
        let offset = u16::try_from(seed % width).unwrap_or_default();
        Self { next: range.0 + offset, given: VecDeque::new() }
    }

    /// Some free ports, none of which is among `taken` or was given out lately.
    pub(super) fn free(&mut self, taken: &[u16]) -> Vec<u16> {
        let (low, high) = range();
        let mut found = Vec::new();
        let mut at = self.next.clamp(low, high);
        for _ in low..=high {
            if !taken.contains(&at) && !self.given.contains(&at) && bindable(at) {
                found.push(at);
            }
            at = if at == high { low } else { at + 1 };
            if found.len() == OFFERED {
                break;
            }
        }
        found
    }

    /// A port was used: it is not offered again for long.
    pub(super) fn given(&mut self, port: u16) {
        self.next = port.saturating_add(1);
        self.given.push_back(port);
        if self.given.len() > REMEMBERED {
            self.given.pop_front();
        }
    }
}

/// The ports to choose from: the wider of the two sides of the kernel's own range.
fn range() -> (u16, u16) {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = text.split_ascii_whitespace().filter_map(|word| word.parse::<u16>().ok());
    let (low, high) = (ends.next().unwrap_or(32_768), ends.next().unwrap_or(60_999));
    let below = low.saturating_sub(LOWEST);
    let above = u16::MAX - high.max(LOWEST);
    if below.max(above) < 1000 {
        return (LOWEST, u16::MAX);
    }
    if below >= above { (LOWEST, low - 1) } else { (high.max(LOWEST) + 1, u16::MAX) }
}

/// Nobody listens there on any address, and no connection lingers: strict, without SO_REUSEADDR.
fn bindable(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None);
    socket.is_ok_and(|socket| socket.bind(&address.into()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::{Ports, bindable};

    #[test]
    fn offers_are_distinct_and_not_repeated_once_given() {
        let mut ports = Ports::new(5);
        let first = ports.free(&[]);
        assert!(!first.is_empty());
        ports.given(first[0]);
        let second = ports.free(&first[1..3]);
        assert!(first[0..3].iter().all(|p| !second.contains(p)), "{first:?} {second:?}");
        let mut sorted = second.clone();
        sorted.dedup();
        assert_eq!(sorted, second);
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_free() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!bindable(listener.local_addr().unwrap().port()));
    }
}
