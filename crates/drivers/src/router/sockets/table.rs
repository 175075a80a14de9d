//! The kernel's text tables of TCP sockets, one line each, whatever their state.
//!
//! A line that cannot be read is passed over; nothing is asked twice.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{State, TcpSocket};

/// The sockets of a process's network (`pid`, or `self`); none when it cannot be read.
pub(super) fn sockets(pid: &str) -> Vec<TcpSocket> {
    let mut all = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        all.extend(text.lines().skip(1).filter_map(socket));
    }
    all
}

/// What a line says, if its state is one of those told.
pub(crate) fn socket(line: &str) -> Option<TcpSocket> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
    let state = State::of(u8::from_str_radix(state, 16).ok()?)?;
    // Behind two queues, a timer, what was sent again, the user and a timeout.
    let inode = words.nth(5).and_then(|word| word.parse().ok()).unwrap_or(0);
    Some(TcpSocket { local: end(local)?, remote: end(remote)?, state, inode })
}

fn end(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
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
    use super::socket;

    #[test]
    fn other_lines_are_none() {
        let lines =
            ["", "sl local rem st", "0: 0100007F:1F90 zz:1 01", "0: 0100007F:1 0100007F:1F90 06"];
        for odd in lines {
            assert_eq!(socket(odd), None, "{odd}");
        }
    }
}
