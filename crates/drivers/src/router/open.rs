//! What is open on instances, by the connections that lead to them: from the network of a router on this
//! machine, or as the instances themselves have them, wherever the router is.
//!
//! A connection is a request, a tunnel, or one that is kept for the next request; which of them is not
//! known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::sockets::{self, State, TcpSocket};

/// Connections by the address that they lead to, as a process sees its network.
pub(super) fn connections(pid: u32) -> BTreeMap<SocketAddr, u64> {
    count(&sockets::seen_by(pid), |socket| socket.remote)
}

/// Connections by the address on this machine that they have come to.
pub(super) fn arrived() -> BTreeMap<SocketAddr, u64> {
    count(&sockets::all(), |socket| socket.local)
}

/// The other ends of connections that have come to an address; `None` when nobody listens there on this
/// machine, as far as can be seen, so that nothing is known of them.
pub(super) fn clients(at: SocketAddr) -> Option<BTreeSet<SocketAddr>> {
    let here = |socket: &TcpSocket| {
        let end = socket.local;
        let any = end.ip().is_unspecified() || at.ip().is_unspecified();
        end.port() == at.port() && (any || end.ip() == at.ip())
    };
    let (mut all, mut listens) = (BTreeSet::new(), false);
    for socket in sockets::all().into_iter().filter(here) {
        match socket.state {
            State::Listens => listens = true,
            State::Established => _ = all.insert(socket.remote),
            // One that its client has closed asks nothing any more.
            State::Half => {}
        }
    }
    listens.then_some(all)
}

fn count(
    sockets: &[TcpSocket],
    address: fn(&TcpSocket) -> SocketAddr,
) -> BTreeMap<SocketAddr, u64> {
    let mut all = BTreeMap::new();
    for socket in sockets.iter().filter(|socket| socket.state != State::Listens) {
        *all.entry(address(socket)).or_default() += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{arrived, clients, connections};
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
}
