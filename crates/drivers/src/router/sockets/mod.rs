//! The TCP sockets of this machine that listen or may carry something, as the kernel has them.
//!
//! It is asked for those alone (`diag`): on a busy machine most sockets only wait for their end, and its
//! text table (`table`) lists them all, which costs a core where there are ten thousand. Whose a socket is,
//! and what its connection carries, is not known here.

mod diag;
pub(super) mod table;

use std::fs;
use std::net::SocketAddr;

/// In what state a socket is, of those that are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It takes connections.
    Listens,
    /// Either side may speak.
    Established,
    /// Its connection may carry something all the same: it is being opened, or the other side has closed.
    Half,
}

impl State {
    /// By the number that the kernel gives it (`include/net/tcp_states.h`).
    const fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Established),
            2 | 8 => Some(Self::Half),
            10 => Some(Self::Listens),
            _ => None,
        }
    }
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TcpSocket {
    pub(super) local: SocketAddr,
    /// Nowhere (port 0), if it listens.
    pub(super) remote: SocketAddr,
    pub(super) state: State,
    /// Its number, by which a process holds it; 0 when nobody does any more.
    pub(super) inode: u64,
}

/// All of them, as this process sees its network. None are known when the kernel tells nothing.
pub(super) fn all() -> Vec<TcpSocket> {
    diag::sockets().unwrap_or_else(|_| table::sockets("self"))
}

/// All of them, as another process sees its network, which may be another one.
pub(super) fn seen_by(pid: u32) -> Vec<TcpSocket> {
    let network = |who: &str| fs::read_link(format!("/proc/{who}/ns/net")).ok();
    let theirs = network(&pid.to_string());
    if theirs.is_some() && theirs == network("self") {
        return all();
    }
    table::sockets(&pid.to_string())
}

#[cfg(test)]
mod tests {
    use super::{State, all, diag, seen_by, table};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    #[test]
    fn the_kernel_says_the_same_either_way() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(any) else { continue };
            let to = listener.local_addr().unwrap();
            let open = TcpStream::connect(to).unwrap();
            let from = open.local_addr().unwrap();
            // Closed from the far side: it may still be written to.
            let half = TcpStream::connect(to).unwrap();
            let (kept, _) = listener.accept().unwrap();
            drop(listener.accept().unwrap());
            let ways = [
                diag::sockets().unwrap(),
                table::sockets("self"),
                all(),
                seen_by(std::process::id()),
            ];
            for way in ways {
                let of = |local, remote| {
                    way.iter().find(|s| (s.local, s.remote) == (local, remote)).map(|s| s.state)
                };
                assert!(way.iter().any(|s| s.local == to && s.state == State::Listens), "{any}");
                assert_eq!(of(from, to), Some(State::Established), "{any}");
                assert_eq!(of(to, from), Some(State::Established), "{any}");
                assert_eq!(of(half.local_addr().unwrap(), to), Some(State::Half), "{any}");
                let held =
                    format!("socket:[{}]", way.iter().find(|s| s.local == from).unwrap().inode);
                let own =
                    std::fs::read_link(format!("/proc/self/fd/{}", open.as_raw_fd())).unwrap();
                assert_eq!(own.to_str(), Some(held.as_str()), "{any}");
            }
            drop((kept, half));
        }
    }
}
