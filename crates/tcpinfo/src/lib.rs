//! What the kernel knows of a TCP connection (`TCP_INFO`): its state, and how much its peer has
//! acknowledged.
//!
//! The one crate with unsafe code, for one system call that no well-kept crate wraps. It judges
//! nothing.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// State of a connection that is over: reset, or closed by both sides.
const CLOSE: u8 = 7;
/// Where the state is in what the kernel tells (`struct tcp_info` in linux/tcp.h).
const STATE_AT: usize = 0;
/// Where `tcpi_bytes_acked` is; there since Linux 4.1.
const ACKED_AT: usize = 120;
/// So much of it is asked for.
const ASKED: usize = ACKED_AT + 8;

/// What the kernel knows of a connection at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// It is over: nothing can be sent or received any more.
    pub closed: bool,
    /// Bytes that the peer's kernel has acknowledged; its SYN counts as one.
    pub bytes_acked: u64,
}

/// Asks the kernel.
///
/// # Errors
/// The socket is none of TCP, or the kernel tells less than is needed.
pub fn tcp_info(socket: impl AsFd) -> io::Result<TcpInfo> {
    let mut told = [0_u8; ASKED];
    let length = ask(&socket, &mut told)?;
    if length < ASKED {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut acked = [0; 8];
    acked.copy_from_slice(&told[ACKED_AT..]);
    Ok(TcpInfo { closed: told[STATE_AT] == CLOSE, bytes_acked: u64::from_ne_bytes(acked) })
}

/// The system call; gives how many bytes were told.
#[expect(unsafe_code, reason = "neither std nor rustix knows TCP_INFO")]
fn ask(socket: &impl AsFd, told: &mut [u8; ASKED]) -> io::Result<usize> {
    let socket = socket.as_fd();
    let mut length = libc::socklen_t::try_from(ASKED).unwrap_or_default();
    // SAFETY: the descriptor is borrowed and thus open during the call; `told` is writable for
    // `length` bytes, of which the kernel writes at most so many; any bytes are valid for it; both
    // pointers are to live locals and the kernel keeps none of them.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            told.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::tcp_info;

    #[test]
    fn what_the_peer_has_acknowledged_and_that_it_is_over_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("open");
        let (mut peer, _) = listener.accept().expect("open");
        let fresh = tcp_info(&stream).expect("told");
        assert!(!fresh.closed && fresh.bytes_acked <= 1, "{fresh:?}");
        stream.write_all(b"12345").expect("sent");
        peer.read_exact(&mut [0; 5]).expect("came");
        // What comes back carries the acknowledgement.
        peer.write_all(b"x").expect("sent");
        stream.read_exact(&mut [0]).expect("came");
        let info = tcp_info(&stream).expect("told");
        assert_eq!((info.closed, info.bytes_acked), (false, fresh.bytes_acked.max(1) + 5));
        stream.write_all(b"unread").expect("sent");
        // Closing over unread data is a reset.
        drop(peer);
        assert!(stream.read(&mut [0]).is_err());
        assert!(tcp_info(&stream).expect("told").closed);
    }

    #[test]
    fn what_is_no_tcp_is_refused() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        assert!(tcp_info(&socket).is_err());
    }
}
