//! Who may still bring a request to what was left: clients of workers that end, as the kernel shows them.
//!
//! A connection on which nothing was asked yet, and an upload of which nginx waits for the rest, lead to no
//! instance so far; their request goes by what that worker has read, long ago. What a connection carries is
//! not known: one that waits for a request, and one whose answer nginx sends by itself, look alike.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::master::Worker;
use crate::router::sockets::{self, State, TcpSocket};

/// Clients of these workers that lead to nobody yet; of a worker into which nobody may look, one.
/// `master`: whose network it is.
pub(super) fn unserved(master: u32, workers: &[Worker]) -> u64 {
    if workers.is_empty() {
        return 0;
    }
    let network = Network::new(&sockets::seen_by(master));
    let of = |worker: &Worker| match held(worker.process.pid) {
        Ok(inodes) => network.unserved(&inodes),
        Err(ErrorKind::NotFound) => 0,
        Err(_) => 1,
    };
    workers.iter().map(of).sum()
}

/// The sockets that a process holds.
fn held(pid: u32) -> Result<BTreeSet<u64>, ErrorKind> {
    let folder = Path::new("/proc").join(pid.to_string()).join("fd");
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(|error| error.kind())? {
        let link = entry.and_then(|entry| fs::read_link(entry.path()));
        match link {
            Ok(to) => inodes.extend(to.to_str().and_then(inode)),
            // It was closed since the folder was read.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.kind()),
        }
    }
    Ok(inodes)
}

/// `socket:[INODE]`.
fn inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Connections by their number: true of those that came in, from a client that may still speak.
struct Network(BTreeMap<u64, bool>);

impl Network {
    fn new(sockets: &[TcpSocket]) -> Self {
        let listens = |socket: &&TcpSocket| socket.state == State::Listens;
        let doors: BTreeSet<_> = sockets.iter().filter(listens).map(|one| one.local).collect();
        let came = |socket: &TcpSocket| {
            let mut at = doors.iter().filter(|door| door.port() == socket.local.port());
            at.any(|door| door.ip().is_unspecified() || door.ip() == socket.local.ip())
        };
        let known = sockets.iter().filter_map(|one| match (one.state, came(one)) {
            // Whoever has closed asks nothing any more.
            (State::Listens, _) | (State::Half, true) => None,
            (_, came) => Some((one.inode, came)),
        });
        Self(known.collect())
    }

    /// Each connection to an instance is of one client: the others have none.
    fn unserved(&self, held: &BTreeSet<u64>) -> u64 {
        let ends = held.iter().filter_map(|inode| self.0.get(inode));
        let (clients, served): (Vec<bool>, Vec<bool>) = ends.copied().partition(|came| *came);
        clients.len().saturating_sub(served.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::ErrorKind;

    use super::{Network, held, inode};
    use crate::router::sockets::{State, TcpSocket};

    fn socket(inode: u64, local: &str, remote: &str, state: State) -> TcpSocket {
        let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
        TcpSocket { local, remote, state, inode }
    }

    #[test]
    fn clients_without_an_instance_are_counted_per_worker() {
        let nobody = "0.0.0.0:0";
        let network = Network::new(&[
            socket(1, "0.0.0.0:80", nobody, State::Listens),
            socket(2, "127.0.0.1:3000", nobody, State::Listens),
            socket(11, "10.0.0.1:80", "10.0.0.9:5001", State::Established),
            socket(12, "10.0.0.1:80", "10.0.0.9:5002", State::Established),
            socket(13, "10.0.0.1:80", "10.0.0.9:5003", State::Half),
            socket(14, "10.0.0.1:80", "10.0.0.9:5004", State::Established),
            socket(21, "127.0.0.1:40001", "127.0.0.1:3000", State::Established),
            // The port of an instance elsewhere, from the same port here.
            socket(22, "10.0.0.1:3000", "10.0.0.7:3000", State::Half),
        ]);
        let of = |held: &[u64]| network.unserved(&held.iter().copied().collect::<BTreeSet<_>>());
        assert_eq!(of(&[1, 2, 11, 12, 13, 99]), 2, "two may still speak");
        assert_eq!(of(&[11, 12, 21]), 1, "one has its instance");
        assert_eq!(of(&[11, 14, 21, 22]), 0);
        assert_eq!(of(&[21, 22]), 0);
    }

    #[test]
    fn what_a_process_holds_is_read_where_that_is_allowed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = held(std::process::id()).unwrap();
        let at = listener.local_addr().unwrap();
        let all = crate::router::sockets::all();
        assert!(own.contains(&all.iter().find(|one| one.local == at).unwrap().inode));
        assert_eq!(held(u32::MAX), Err(ErrorKind::NotFound));
        assert_eq!(
            (inode("socket:[17]"), inode("pipe:[17]"), inode("socket:[x]")),
            (Some(17), None, None)
        );
    }
}
