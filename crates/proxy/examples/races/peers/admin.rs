//! The admin socket of Cutover's proxy, from the side of whoever steers it.
//!
//! What it is told is composed in `cutover`.

use std::io::{BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use model::admin::{ProxySeen, Reply, Request, TicketKey};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

/// A conversation.
pub(super) struct Admin(BufReader<UnixStream>);

impl Admin {
    /// Waits until the proxy is there.
    pub(super) fn to(path: &Path) -> Self {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Ok(stream) = UnixStream::connect(path) {
                return Self(BufReader::new(stream));
            }
            assert!(Instant::now() < deadline, "Cutover's proxy does not come up");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(super) fn done(&mut self, request: &Request) {
        self.0.get_mut().write_all(&line(request)).unwrap();
        assert_eq!(self.reply(), Reply::Done);
    }

    pub(super) fn look(&mut self) -> ProxySeen {
        self.0.get_mut().write_all(&line(&Request::Look)).unwrap();
        let Reply::Seen(seen) = self.reply() else { panic!("no look at Cutover's proxy") };
        seen
    }

    pub(super) fn ticket_keys(&mut self) -> Vec<TicketKey> {
        self.0.get_mut().write_all(&line(&Request::TicketKeys)).unwrap();
        let Reply::TicketKeys { keys } = self.reply() else { panic!("no keys of Cutover's proxy") };
        keys
    }

    /// Hands a listener over.
    pub(super) fn listen(&mut self, request: &Request, listener: &TcpListener) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [listener.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let line = line(request);
        let parts = [IoSlice::new(&line)];
        rustix::net::sendmsg(self.0.get_ref(), &parts, &mut control, SendFlags::empty()).unwrap();
        assert_eq!(self.reply(), Reply::Done);
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

fn line(request: &Request) -> Vec<u8> {
    let mut line = serde_json::to_vec(request).unwrap();
    line.push(b'\n');
    line
}
