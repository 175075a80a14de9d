//! TCP sockets from the kernel's `sock_diag` (its netlink family, sock_diag(7)), by state.
//!
//! Only a dump is asked for and read; anything odd in it is an error, and the caller looks elsewhere.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use super::{State, TcpSocket};

/// The states that are asked for, a bit for each number.
const STATES: u32 = 1 << 1 | 1 << 2 | 1 << 8 | 1 << 10;

/// Length of `nlmsghdr`.
const HEAD: usize = 16;
/// Length of the question: a head and an `inet_diag_req_v2`.
const QUESTION: u32 = 16 + 56;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` and `NLM_F_DUMP`.
const DUMP: u16 = 0x1 | 0x300;
const NLMSG_DONE: u16 = 3;
const IPPROTO_TCP: u8 = 6;
/// `AF_INET` and `AF_INET6`, as Linux counts them.
const INET: u8 = 2;
const INET6: u8 = 10;

/// More than the kernel puts into one piece of a dump.
const PIECE: usize = 64 * 1024;

/// The sockets of this process's network.
pub(super) fn sockets() -> io::Result<Vec<TcpSocket>> {
    let mut all = Vec::new();
    for family in [INET, INET6] {
        dump(family, &mut all)?;
    }
    Ok(all)
}

fn dump(family: u8, into: &mut Vec<TcpSocket>) -> io::Result<()> {
    let kernel = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    send(&kernel, &question(family), SendFlags::empty())?;
    let mut piece = vec![0; PIECE];
    loop {
        let (_, length) = recv(&kernel, &mut piece[..], RecvFlags::TRUNC)?;
        let told = piece.get(..length).ok_or_else(odd)?;
        if read(told, into).ok_or_else(odd)? {
            return Ok(());
        }
    }
}

fn odd() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's list of sockets cannot be read")
}

fn question(family: u8) -> Vec<u8> {
    let mut words = QUESTION.to_ne_bytes().to_vec();
    words.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    words.extend(DUMP.to_ne_bytes());
    // Number and port of the question: there is one, and the kernel knows who asks.
    words.extend([0; 8]);
    words.extend([family, IPPROTO_TCP, 0, 0]);
    words.extend(STATES.to_ne_bytes());
    // Any address, port, interface and cookie.
    words.resize(QUESTION as usize, 0);
    words
}

/// Takes in one piece; true when it was the last, `None` when it makes no sense.
pub(crate) fn read(piece: &[u8], into: &mut Vec<TcpSocket>) -> Option<bool> {
    let mut rest = piece;
    while !rest.is_empty() {
        let length = u32::from_ne_bytes(*rest.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes(*rest.get(4..)?.first_chunk()?);
        let message = rest.get(HEAD..length)?;
        match kind {
            // It ends with an error where the kernel has nobody to ask (no `tcp_diag`): then nothing that came
            // before means anything, and an empty list least of all.
            NLMSG_DONE => {
                let error = i32::from_ne_bytes(*message.first_chunk()?);
                return (error == 0).then_some(true);
            }
            SOCK_DIAG_BY_FAMILY => socket(message, into)?,
            _ => return None,
        }
        // The next one begins at a multiple of four; the last may end without what fills it up.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(false)
}

/// An `inet_diag_msg`: family, state, two bytes, then ports and addresses as they are on the wire, and at
/// its end the number of the inode.
fn socket(message: &[u8], into: &mut Vec<TcpSocket>) -> Option<()> {
    let (family, state) = (*message.first()?, *message.get(1)?);
    let end = |port: usize, ip: usize| {
        let port = u16::from_be_bytes(*message.get(port..)?.first_chunk()?);
        let bytes: [u8; 16] = *message.get(ip..)?.first_chunk()?;
        let ip = match family {
            INET => Ipv4Addr::from(*bytes.first_chunk::<4>()?).into(),
            INET6 => Ipv6Addr::from(bytes).to_canonical(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    };
    let (local, remote) = (end(4, 8)?, end(6, 24)?);
    let inode = u32::from_ne_bytes(*message.get(68..)?.first_chunk()?).into();
    into.extend(State::of(state).map(|state| TcpSocket { local, remote, state, inode }));
    Some(())
}

#[cfg(test)]
mod tests {
    use fuzz::corpus;

    use super::{question, read};

    #[test]
    fn a_piece_is_sockets_an_end_or_nothing_whatever_it_is() {
        let end = [20, 0, 0, 0, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(&end, &mut Vec::new()), Some(true));
        let mut failed = end;
        failed[16..].copy_from_slice(&(-2_i32).to_ne_bytes());
        assert_eq!(read(&failed, &mut Vec::new()), None, "no list is not an empty one");
        assert_eq!(read(&[], &mut Vec::new()), Some(false));
        for cut in 1..end.len() {
            assert_eq!(read(&end[..cut], &mut Vec::new()), None, "{cut}");
        }
        assert_eq!(question(super::INET).len(), 72);
        fuzz::run(corpus!("sockets").most(1_000), |case| {
            let mut found = Vec::new();
            if read(&case.bytes, &mut found).is_some() {
                assert!(found.len() * 56 <= case.bytes.len(), "{found:?}");
            }
        });
    }
}
