//! What arrives on a connection, taken in pieces; both ends of a race read through it.
//!
//! It knows nothing of HTTP.

use std::io::Read;
use std::net::TcpStream;

/// What was read of a connection and is not taken yet. Every `None` is the end of the connection.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Vec<u8>);

impl Inbox {
    /// What comes up to `mark`, and the mark.
    pub(crate) fn until(&mut self, stream: &mut TcpStream, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.0.windows(mark.len()).position(|window| window == mark) {
                return self.take(stream, at + mark.len());
            }
            self.more(stream)?;
        }
    }

    pub(crate) fn take(&mut self, stream: &mut TcpStream, bytes: usize) -> Option<Vec<u8>> {
        while self.0.len() < bytes {
            self.more(stream)?;
        }
        let rest = self.0.split_off(bytes);
        Some(std::mem::replace(&mut self.0, rest))
    }

    fn more(&mut self, stream: &mut TcpStream) -> Option<()> {
        let mut bytes = [0; 16 * 1024];
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.0.extend_from_slice(&bytes[..count]);
                Some(())
            }
        }
    }
}
