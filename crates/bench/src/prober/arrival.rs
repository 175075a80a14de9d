//! When a request came, by the kernel's own stamp (`SO_TIMESTAMPNS`): over loopback it is made in the sender's own
//! call, on the sender's core, so a server that was off its core calls nobody late. It looks at no bytes.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::io::Interest;
use tokio::net::TcpStream;

const NS_PER_S: u64 = 1_000_000_000;

/// Both clocks are read within this time, or again: who is stopped between them would shift a stamp by that.
const CLOSE_NS: u64 = 2_000;
/// So often at most; then the closest counts.
const TRIES: usize = 16;

/// Has the kernel stamp what comes to this socket; those that a listener accepts inherit it.
pub(crate) fn stamp(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::ReceiveTimestampns, &true)?)
}

/// Waits for bytes and takes them: how many (0 at the end), and when the last of them came, CLOCK_MONOTONIC, ns.
pub(crate) async fn read(stream: &TcpStream, into: &mut [u8]) -> io::Result<(usize, u64)> {
    loop {
        stream.readable().await?;
        match stream.try_io(Interest::READABLE, || receive(stream, into)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            taken => return taken,
        }
    }
}

fn receive(stream: &TcpStream, into: &mut [u8]) -> io::Result<(usize, u64)> {
    let mut space = nix::cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(into)];
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty())?;
    let wall_ns = message.cmsgs()?.find_map(|said| match said {
        ControlMessageOwned::ScmTimestampns(time) => ns(time.tv_sec(), time.tv_nsec()),
        _ => None,
    });
    // The kernel begins to stamp a moment after it was asked to: until then it is as late as our own reading.
    Ok((message.bytes, wall_ns.map_or_else(monotonic_ns, monotonic)))
}

/// A time of the wall clock on CLOCK_MONOTONIC, by how far both stand apart now.
fn monotonic(wall_ns: u64) -> u64 {
    let mut closest = (u64::MAX, 0);
    for _ in 0..TRIES {
        let before_ns = monotonic_ns();
        let ago_ns = of(clock_gettime(ClockId::Realtime)).saturating_sub(wall_ns);
        let took_ns = monotonic_ns() - before_ns;
        closest = closest.min((took_ns, (before_ns + took_ns / 2).saturating_sub(ago_ns)));
        if took_ns <= CLOSE_NS {
            break;
        }
    }
    closest.1
}

/// CLOCK_MONOTONIC, ns.
pub(crate) fn monotonic_ns() -> u64 {
    of(clock_gettime(ClockId::Monotonic))
}

fn of(time: Timespec) -> u64 {
    ns(time.tv_sec, time.tv_nsec).unwrap_or(0)
}

fn ns(seconds: i64, nanoseconds: i64) -> Option<u64> {
    let seconds = u64::try_from(seconds).ok()?;
    Some(seconds * NS_PER_S + u64::try_from(nanoseconds).ok()?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::{monotonic_ns, read, stamp};

    #[tokio::test]
    async fn what_lay_there_for_a_while_came_when_it_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        stamp(&listener).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 16];
        let mut near = false;
        for _ in 0..20 {
            let before_ns = monotonic_ns();
            client.write_all(b"hello").await.unwrap();
            let sent_ns = monotonic_ns();
            std::thread::sleep(Duration::from_millis(20));
            let (bytes, came_ns) = read(&server, &mut buffer).await.unwrap();
            assert_eq!(&buffer[..bytes], b"hello");
            // The first ones may come before the kernel stamps; the clocks are told apart to within microseconds.
            near |= (before_ns - 50_000..sent_ns + 50_000).contains(&came_ns);
        }
        assert!(near, "each was stamped when it was read");
        drop(client);
        assert_eq!(read(&server, &mut buffer).await.unwrap().0, 0);
    }
}
