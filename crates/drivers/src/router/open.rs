//! What is open on instances, by the connections that lead to them: from the network of a router on this
//! machine, or as the instances themselves have them, wherever the router is.
//!
//! A connection is a request, a tunnel, or one that is kept for the next request; which of them is not
//! known.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// States in which a connection may carry something: established, being opened, half closed by the
/// instance.
const OPEN: [&str; 3] = ["01", "02", "08"];

/// Connections by the address that they lead to, as a process sees its network.
pub(super) fn connections(pid: u32) -> BTreeMap<SocketAddr, u64> {
    count(&pid.to_string(), leads_to)
}

/// Connections by the address on this machine that they have come to.
pub(super) fn arrived() -> BTreeMap<SocketAddr, u64> {
    count("self", has_come_to)
}

fn count(pid: &str, address: fn(&str) -> Option<SocketAddr>) -> BTreeMap<SocketAddr, u64> {
    let mut all = BTreeMap::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for to in text.lines().skip(1).filter_map(address) {
            *all.entry(to).or_default() += 1;
        }
    }
    all
}

/// Where the connection of a line leads to, if it is open.
pub(super) fn leads_to(line: &str) -> Option<SocketAddr> {
    let [_, remote] = open_ends(line)?;
    read(remote)
}

/// Where the connection of a line has come to, if it is open.
fn has_come_to(line: &str) -> Option<SocketAddr> {
    let [local, _] = open_ends(line)?;
    read(local)
}

fn open_ends(line: &str) -> Option<[&str; 2]> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
    OPEN.contains(&state).then_some([local, remote])
}

fn read(end: &str) -> Option<SocketAddr> {
    let (ip, port) = end.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Words of four bytes, each as the machine keeps it.
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match ip.len() {
        8 => Some((Ipv4Addr::from(word(0)?), port).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(SocketAddr::new(Ipv6Addr::from(bytes).to_canonical(), port))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{arrived, connections, leads_to};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connections_are_counted_by_where_they_lead() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(any) else { continue };
            let to = listener.local_addr().unwrap();
            let of = || connections(std::process::id()).get(&to).copied().unwrap_or_default();
            assert_eq!(of(), 0);
            let one = TcpStream::connect(to).unwrap();
            let _two = TcpStream::connect(to).unwrap();
            assert_eq!(of(), 2, "{any}");
            assert_eq!(arrived().get(&to), Some(&2), "{any}");
            drop(one);
            assert_eq!(of(), 1, "{any}");
        }
    }

    #[test]
    fn other_lines_are_none() {
        for odd in ["", "sl local rem st", "0: 0100007F:1F90 zz:1 01", "0: a 0100007F:1F90 06"] {
            assert_eq!(leads_to(odd), None, "{odd}");
        }
    }
}
