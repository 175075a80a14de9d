//! Lines and descriptors over a unix socket.
//!
//! Descriptors travel with the first byte of the line that speaks of them (SCM_RIGHTS). What the
//! lines mean is not known here.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use memchr::memchr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::limits;

/// Most descriptors the kernel carries with one message (SCM_MAX_FD).
const MOST: usize = 253;

/// One line and the descriptors that came since the line before.
#[derive(Debug)]
pub(crate) struct Line {
    /// Without its end.
    pub(crate) text: Vec<u8>,
    /// In order.
    pub(crate) descriptors: VecDeque<OwnedFd>,
}

/// What came from one client and is not yet a line.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Lines {
    /// The next line; `None` at the end.
    pub(crate) async fn next(&mut self, stream: &UnixStream) -> io::Result<Option<Line>> {
        let mut scanned = 0;
        loop {
            if let Some(end) = memchr(b'\n', &self.bytes[scanned..]) {
                let rest = self.bytes.split_off(scanned + end + 1);
                let mut text = std::mem::replace(&mut self.bytes, rest);
                text.pop();
                return Ok(Some(Line { text, descriptors: std::mem::take(&mut self.descriptors) }));
            }
            scanned = self.bytes.len();
            if scanned > limits::ADMIN_LINE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            stream.readable().await?;
            match stream.try_io(Interest::READABLE, || self.receive(stream)) {
                Ok(0) => return Ok(None),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    /// What came behind the last line.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes
    }

    fn receive(&mut self, stream: &UnixStream) -> io::Result<usize> {
        let mut bytes = [0_u8; 16 * 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let parts = &mut [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = rustix::net::recvmsg(stream, parts, &mut control, flags)?.bytes;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        self.bytes.extend_from_slice(&bytes[..received]);
        Ok(received)
    }
}

/// Sends bytes, the descriptors with the first of them.
pub(crate) async fn send(
    stream: &UnixStream,
    mut bytes: &[u8],
    mut descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_io(Interest::WRITABLE, || send_some(stream, bytes, descriptors)) {
            Ok(sent) => {
                bytes = &bytes[sent..];
                descriptors = &[];
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn send_some(
    stream: &UnixStream,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many listening sockets for one message"));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, flags)?)
}
