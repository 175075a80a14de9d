//! Lines and descriptors over a unix socket.
//!
//! One line out, with at most one descriptor on its first byte; one line in, with whatever
//! descriptors come along. It knows no requests and no replies.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Longest line that is taken, bytes.
const LINE_MAX: usize = 16 * 1024 * 1024;
/// Most descriptors that are taken at a time.
const DESCRIPTORS_MAX: usize = 64;

/// True when nothing has come and the peer has not closed: what an idle connection should be.
pub(super) fn idle(stream: &UnixStream) -> bool {
    let mut byte = [0; 1];
    let peeked =
        rustix::net::recv(stream.as_fd(), &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
    matches!(peeked, Err(rustix::io::Errno::WOULDBLOCK))
}

/// Sends one line.
pub(super) async fn send(
    stream: &UnixStream,
    line: &[u8],
    mut descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut sent = 0;
    while sent < line.len() {
        stream.writable().await?;
        match stream.try_io(Interest::WRITABLE, || send_some(stream, &line[sent..], descriptor)) {
            Ok(n) => {
                sent += n;
                descriptor = None;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn send_some(
    stream: &UnixStream,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<_> = descriptor.into_iter().collect();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    let sent = sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
    sent.map_err(io::Error::from)
}

/// Receives one line (without its end) and the descriptors that came with it.
pub(super) async fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut line = Vec::new();
    let mut descriptors = Vec::new();
    loop {
        stream.readable().await?;
        match stream
            .try_io(Interest::READABLE, || receive_some(stream, &mut line, &mut descriptors))
        {
            Ok(0) => {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "closed in mid-answer"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            return Ok((line, descriptors));
        }
        if line.len() > LINE_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, "an endless line"));
        }
    }
}

fn receive_some(
    stream: &UnixStream,
    line: &mut Vec<u8>,
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut bytes = [0; 16 * 1024];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let into = &mut [IoSliceMut::new(&mut bytes)];
    let received = recvmsg(stream, into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::new(ErrorKind::InvalidData, "too many descriptors"));
    }
    line.extend_from_slice(&bytes[..received.bytes]);
    Ok(received.bytes)
}
