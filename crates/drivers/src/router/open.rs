//! What is open on instances, by the connections that lead to them: from the network of a router on this
//! machine, or as the instances themselves have them, wherever the router is.
//!
//! A connection is a request, a tunnel, or one that is kept for the next request; which of them is not
//! known.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// States in which a connection may carry something: established, being opened, half closed by the
/// instance.
const OPEN: [&str; 3] = ["01", "02", "08"];

/// The states of a socket that takes connections, and of a connection on which either side may speak.
const LISTENS: &str = "0A";
const ESTABLISHED: &str = "01";

/// Connections by the address that they lead to, as a process sees its network.
pub(super) fn connections(pid: u32) -> BTreeMap<SocketAddr, u64> {
    count(&pid.to_string(), leads_to)
}

/// Connections by the address on this machine that they have come to.
pub(super) fn arrived() -> BTreeMap<SocketAddr, u64> {
    count("self", has_come_to)
}

/// The other ends of connections that have come to an address; `None` when nobody listens there on this
/// machine, as far as can be seen, so that nothing is known of them.
pub(super) fn clients(at: SocketAddr) -> Option<BTreeSet<SocketAddr>> {
    let here = |end: &str| {
        let end = read(end);
        end.is_some_and(|end| {
            let any = end.ip().is_unspecified() || at.ip().is_unspecified();
            end.port() == at.port() && (any || end.ip() == at.ip())
        })
    };
    let (mut all, mut listens) = (BTreeSet::new(), false);
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/self/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let mut words = line.split_ascii_whitespace().skip(1);
            if !words.next().is_some_and(here) {
                continue;
            }
            let remote = words.next();
            match words.next() {
                Some(LISTENS) => listens = true,
                // One that its client has closed asks nothing any more.
                Some(ESTABLISHED) => all.extend(remote.and_then(read)),
                _ => {}
            }
        }
    }
    listens.then_some(all)
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
    use super::{arrived, clients, connections, leads_to};
    use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};

    #[test]
    fn connections_are_counted_by_where_they_lead() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(any) else { continue };
            let to = listener.local_addr().unwrap();
            let of = || connections(std::process::id()).get(&to).copied().unwrap_or_default();
            assert_eq!(of(), 0);
            let one = TcpStream::connect(to).unwrap();
            let two = TcpStream::connect(to).unwrap();
            assert_eq!(of(), 2, "{any}");
            assert_eq!(arrived().get(&to), Some(&2), "{any}");
            let ends = [&one, &two].map(|end| end.local_addr().unwrap());
            assert_eq!(clients(to), Some(ends.into()), "{any}");
            drop(one);
            assert_eq!(of(), 1, "{any}");
            assert_eq!(clients(to), Some([ends[1]].into()), "{any}");
            let any_of_here = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), to.port());
            assert_eq!(clients(any_of_here), Some([ends[1]].into()), "{any}");
            drop(listener);
            assert_eq!(clients(to), None, "nobody listens: {any}");
        }
    }

    #[test]
    fn other_lines_are_none() {
        for odd in ["", "sl local rem st", "0: 0100007F:1F90 zz:1 01", "0: a 0100007F:1F90 06"] {
            assert_eq!(leads_to(odd), None, "{odd}");
        }
    }
}
