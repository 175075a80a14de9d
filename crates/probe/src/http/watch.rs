//! What is looked for in a body while it passes: its digest, or events in their order. Pure.
//!
//! Where the body ends is found in `body`.

use sha2::{Digest as _, Sha256};

use crate::text::hex;

/// Longest line of an event that is looked at; the rest of it is passed over.
const LINE_MAX: usize = 256;

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub(super) enum Watch {
    #[default]
    Nothing,
    Digest(Sha256),
    Events(Order),
}

impl Watch {
    /// A piece of the body; an error says what is wrong with it.
    pub(super) fn see(&mut self, data: &[u8]) -> Result<(), String> {
        match self {
            Self::Nothing => Ok(()),
            Self::Digest(hash) => {
                hash.update(data);
                Ok(())
            }
            Self::Events(order) => order.see(data),
        }
    }

    /// SHA-256 of what was seen, in hex; empty when it was not asked for.
    pub(super) fn digest(&self) -> String {
        match self {
            Self::Digest(hash) => hex(&hash.clone().finalize()),
            _ => String::new(),
        }
    }
}

/// Numbers of events that were sent with `id:`.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    line: Vec<u8>,
    last: Option<u64>,
}

impl Order {
    fn see(&mut self, data: &[u8]) -> Result<(), String> {
        for &byte in data {
            if byte == b'\n' || byte == b'\r' {
                let line = std::mem::take(&mut self.line);
                self.read(&line)?;
            } else if self.line.len() < LINE_MAX {
                self.line.push(byte);
            }
        }
        Ok(())
    }

    /// Numbers must rise; ids that are no numbers say nothing.
    fn read(&mut self, line: &[u8]) -> Result<(), String> {
        let id = line.strip_prefix(b"id:").and_then(|id| str::from_utf8(id).ok());
        let Some(id) = id.and_then(|id| id.trim().parse::<u64>().ok()) else { return Ok(()) };
        match self.last.replace(id) {
            Some(last) if id <= last => Err(format!("event {id} after event {last}")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, Watch};

    #[test]
    fn events_must_rise_however_they_are_cut() {
        let text = b"id: 1\ndata: x\n\nid:2\r\ndata: y\r\n\r\nid: seven\n\nid: 5\n\n";
        for size in 1..text.len() {
            let mut order = Order::default();
            assert!(text.chunks(size).all(|piece| order.see(piece).is_ok()), "{size}");
            assert_eq!(order.see(b"id: 5\n"), Err("event 5 after event 5".to_owned()));
        }
    }

    #[test]
    fn an_endless_line_is_not_kept() {
        let mut order = Order::default();
        (0..1_000).for_each(|_| order.see(&[b'x'; 4_096]).unwrap());
        assert_eq!(order.line.len(), 256);
    }

    #[test]
    fn a_digest_is_that_of_all_pieces() {
        let mut watch = Watch::Digest(sha2::Digest::new());
        watch.see(b"ab").and_then(|()| watch.see(b"c")).unwrap();
        // FIPS 180-2, appendix B.1.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(watch.digest(), known);
    }
}
