//! Evidence that an instance never read a request: what the kernel knows of its connection when that has
//! ended.
//!
//! It said that it ends before it reset what came after, so nobody there could read it any more; and its
//! kernel acknowledged nothing of it. Each of the two alone proves nothing: acknowledgements are
//! delayed, and a reset may come from an app that read the request and then died. Whether the request
//! is sent again is not decided here.

use tcpinfo::{TcpInfo, tcp_info};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::limits;
use crate::wire;

/// What an instance had acknowledged just before a request was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Before(u64);

impl Before {
    /// `None` if the kernel does not tell, or the connection is over already.
    pub(crate) fn of(stream: &TcpStream) -> Option<Self> {
        let TcpInfo { closed, bytes_acked } = tcp_info(stream).ok()?;
        (!closed).then_some(Self(bytes_acked))
    }

    /// True when nobody read what was written since. The caller has written all of it without an error
    /// and then read the end of the stream and nothing before it: an error would have been the reset,
    /// and whoever is told of it once reads an end afterwards too.
    pub(crate) async fn was_unread(self, stream: &TcpStream) -> bool {
        let untouched = |info: &TcpInfo| info.bytes_acked == self.0;
        if !tcp_info(stream).is_ok_and(|info| untouched(&info)) {
            return false;
        }
        // The answer to what was written is on its way, if it is not there.
        let reset = async { stream.ready(Interest::ERROR).await };
        wire::within(limits::RESET_COMES, reset).await.is_ok()
            && tcp_info(stream).is_ok_and(|info| info.closed && untouched(&info))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream as Peer};
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::Before;

    /// Requests tried with each kind of peer but one.
    const EACH: usize = 500;
    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

    /// What came of a request, as the proxy sees it.
    #[derive(Debug, Default)]
    struct Told {
        unread: usize,
        ended: usize,
        reset: usize,
    }

    /// Has `peer` end its connections, of which each has carried one exchange before. It tells when the
    /// next request may be written; `None` for at any time.
    fn judge(peer: impl Fn(&mut Peer, &Sender<()>) + Send + 'static, waits: bool) -> Told {
        judge_some(EACH, peer, waits)
    }

    fn judge_some(
        count: usize,
        peer: impl Fn(&mut Peer, &Sender<()>) + Send + 'static,
        waits: bool,
    ) -> Told {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, told) = channel();
        let serving = std::thread::spawn(move || {
            for stream in listener.incoming().take(count) {
                let mut stream = stream.unwrap();
                stream.read_exact(&mut [0; REQUEST.len()]).unwrap();
                stream.write_all(b"ok").unwrap();
                peer(&mut stream, &tell);
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut sum = Told::default();
        for _ in 0..count {
            runtime.block_on(async {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(REQUEST).await.unwrap();
                stream.read_exact(&mut [0; 2]).await.unwrap();
                if waits {
                    told.recv().unwrap();
                }
                let Some(before) = Before::of(&stream) else { return };
                if stream.write_all(REQUEST).await.is_err() {
                    return;
                }
                match stream.read(&mut [0; 1]).await {
                    Ok(0) => {
                        sum.ended += 1;
                        sum.unread += usize::from(before.was_unread(&stream).await);
                    }
                    Ok(_) => panic!("nobody answers"),
                    Err(_) => sum.reset += 1,
                }
            });
        }
        serving.join().unwrap();
        sum
    }

    /// Idle connections that are closed a moment before the next request.
    #[test]
    fn a_request_to_who_has_closed_before_is_recognised_as_unread() {
        let told = judge(
            |stream, tell| {
                stream.shutdown(Shutdown::Both).unwrap();
                tell.send(()).unwrap();
            },
            true,
        );
        assert!(told.unread * 100 >= EACH * 95, "{told:?} of {EACH}");
    }

    /// It has had its effect: whatever the peer does then, it must not be sent again.
    #[test]
    fn a_request_that_was_read_is_never_taken_for_unread() {
        let read = |stream: &mut Peer, bytes: usize| {
            let mut request = vec![0; bytes];
            stream.read_exact(&mut request).unwrap();
        };
        let whole = judge(move |stream, _| read(stream, REQUEST.len()), false);
        assert_eq!((whole.unread, whole.ended + whole.reset), (0, EACH), "closes: {whole:?}");
        let half = judge(move |stream, _| read(stream, REQUEST.len() / 2), false);
        assert_eq!((half.unread, half.ended + half.reset), (0, EACH), "resets: {half:?}");
        let killed = judge(
            move |stream, _| {
                read(stream, REQUEST.len());
                rustix::net::sockopt::set_socket_linger(&*stream, Some(Duration::ZERO)).unwrap();
            },
            false,
        );
        assert_eq!((killed.unread, killed.ended + killed.reset), (0, EACH), "dies: {killed:?}");
    }

    /// It has said that it ends, and reads on: the end and the reset are there, and only what was
    /// acknowledged tells.
    #[test]
    fn a_request_that_was_acknowledged_is_never_taken_for_unread() {
        let lingers = |stream: &mut Peer, tell: &Sender<()>| {
            stream.shutdown(Shutdown::Write).unwrap();
            tell.send(()).unwrap();
            stream.read_exact(&mut [0; REQUEST.len()]).unwrap();
            // Acknowledgements are delayed by 40 ms at most.
            std::thread::sleep(Duration::from_millis(80));
            rustix::net::sockopt::set_socket_linger(&*stream, Some(Duration::ZERO)).unwrap();
        };
        let told = judge_some(10, lingers, true);
        assert_eq!((told.unread, told.ended), (0, 10), "{told:?}");
    }

    /// Closed while the request is on its way: whether it was read is known to nobody, and none that
    /// came before the end of the connection is taken for unread.
    #[test]
    fn a_request_that_lies_unread_when_the_connection_is_reset_proves_nothing() {
        let told = judge(
            |stream, _| {
                stream.peek(&mut [0; 1]).unwrap();
            },
            false,
        );
        assert_eq!((told.unread, told.reset), (0, EACH), "{told:?}");
    }
}
