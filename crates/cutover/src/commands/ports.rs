//! Whether a port that a configuration names can be had: it is free, or the server that runs here has it.
//!
//! Who has which port the kernel says (`/proc`). Nothing is listened on for longer than a moment, and
//! whether this user may have a port is `up`'s to find out.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;

use model::{Fault, Kind};
use rustix::net::sockopt::socket_peercred;

use crate::server::layout::Layout;

/// `st` of a listening socket in the kernel's tables.
const LISTENS: &str = "0A";

/// The server of a state directory and its proxies, by what they listen on.
pub(super) struct Ours {
    /// The inodes of their sockets; `None` when nobody can say which they are.
    sockets: Option<BTreeSet<u64>>,
}

impl Ours {
    /// Those who serve the sockets of this state directory now.
    pub(super) fn of(layout: &Layout) -> Self {
        let mut served = vec![layout.api_socket(), layout.proxy_socket()];
        served.extend(layout.other_proxy_sockets());
        let mut sockets = BTreeSet::new();
        for stream in served.iter().filter_map(|at| UnixStream::connect(at).ok()) {
            let Some(theirs) = sockets_of(&stream) else { return Self { sockets: None } };
            sockets.extend(theirs);
        }
        Self { sockets: Some(sockets) }
    }

    /// Refuses a port that another program has.
    pub(super) fn or_free(&self, address: SocketAddr) -> Result<(), Fault> {
        let Some(ours) = &self.sockets else { return Ok(()) };
        match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            _ => return Ok(()),
        }
        let in_the_way: Vec<u64> =
            listening().filter(|(at, _)| meet(*at, address)).map(|(_, inode)| inode).collect();
        if !in_the_way.is_empty() && in_the_way.iter().all(|inode| ours.contains(inode)) {
            return Ok(());
        }
        Err(Fault::new(Kind::Config, format!("another program listens on `{address}`"))
            .help("end it, or name another port"))
    }
}

/// The sockets of whoever is at the other end; `None` when the kernel does not name or show him.
fn sockets_of(stream: &UnixStream) -> Option<Vec<u64>> {
    let pid = socket_peercred(stream).ok()?.pid.as_raw_nonzero();
    let entries = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).ok()?;
    let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode = |link: std::path::PathBuf| {
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    Some(links.filter_map(inode).collect())
}

/// Every listening socket, with its inode.
fn listening() -> impl Iterator<Item = (SocketAddr, u64)> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    let rows = texts.map(|text| text.lines().filter_map(row).collect::<Vec<_>>());
    rows.into_iter().flatten()
}

/// One line of the kernel's table, if it is a listening socket's.
fn row(line: &str) -> Option<(SocketAddr, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else { return None };
    let (ip, port) = local.split_once(':')?;
    let address = SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?);
    if state == LISTENS { Some((address, inode.parse().ok()?)) } else { None }
}

/// An address as the kernel shows it: words of 32 bits in the order of this machine.
fn address(text: &str) -> Option<IpAddr> {
    let word =
        |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// True when a socket on the one can be in the way of one on the other.
fn meet(one: SocketAddr, two: SocketAddr) -> bool {
    let all = one.ip().is_unspecified() || two.ip().is_unspecified();
    one.port() == two.port() && (all || one.ip() == two.ip())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{Ours, listening, meet, row};

    #[test]
    fn rows_of_listening_sockets_are_read() {
        let line = |local: &str, state: &str| {
            format!(
                "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0"
            )
        };
        if cfg!(target_endian = "little") {
            let found = row(&line("0100007F:1F90", "0A"));
            assert_eq!(found, Some(("127.0.0.1:8080".parse().unwrap(), 4711)));
            let local = "B80D01200000000000000000010000FF:0050";
            let found = row(&line(local, "0A")).unwrap().0;
            assert_eq!(found, "[2001:db8::ff00:1]:80".parse().unwrap());
        }
        assert_eq!(row(&line("0100007F:1F90", "01")), None, "a connection");
        for odd in ["", "sl local_address", &line("0100007F", "0A"), &line("01:1F90", "0A")] {
            assert_eq!(row(odd), None, "{odd}");
        }
    }

    #[test]
    fn only_what_can_be_in_the_way_is() {
        let at = |text: &str| text.parse().unwrap();
        for (one, two, meets) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "[::]:80", true),
        ] {
            assert_eq!(meet(at(one), at(two)), meets, "{one} {two}");
        }
    }

    #[test]
    fn a_port_that_somebody_has_is_refused_unless_it_is_ours_or_nobody_can_say() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let inode = listening().find(|(at, _)| *at == address).unwrap().1;
        let of = |sockets: Option<Vec<u64>>| {
            Ours { sockets: sockets.map(|all| all.into_iter().collect()) }.or_free(address)
        };
        assert!(of(Some(vec![])).unwrap_err().what.contains(&address.to_string()));
        assert!(of(Some(vec![inode])).is_ok());
        assert!(of(None).is_ok());
        drop(taken);
        assert!(of(Some(vec![])).is_ok());
    }
}
