//! Where the frames and messages of a WebSocket end (RFC 6455), and the few frames that the proxy says
//! itself.
//!
//! It follows what passes and keeps none of it. What does not look like frames is no longer followed:
//! then nobody may put anything in between. When something is said, and why, is not known here.

#[cfg(test)]
pub(crate) mod fuzz;

use crate::framing::{Field, classify};
use crate::limits;

/// Longest head without its mask: two bytes and a length of eight.
const HEAD: usize = 10;
const FIN: u8 = 0x80;
/// Marks a compressed message where permessage-deflate was agreed on; everybody else leaves it alone.
const RSV1: u8 = 0x40;
const RSV23: u8 = 0x30;
const MASKED: u8 = 0x80;
/// Instead of a length: two bytes of it follow.
const MEDIUM: u8 = 0x7e;
/// Eight bytes follow.
const LONG: u8 = 0x7f;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
/// "Service restart", from a server to its client.
pub(crate) const RESTART: u16 = 1012;
/// "Going away", as a client says it that leaves.
pub(crate) const AWAY: u16 = 1001;

/// How far one direction of a WebSocket is.
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one direction")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Track {
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    have: u8,
    /// Bytes of the frame that follow its head, or what is left of it: mask and content.
    left: u64,
    /// Frames of this direction are masked.
    masked: bool,
    /// A message has begun and not ended.
    fragmented: bool,
    /// A Close frame has passed: nothing follows.
    closed: bool,
    /// These are no frames.
    lost: bool,
}

impl Track {
    /// From the first byte of a direction on; clients mask their frames, servers do not.
    pub(crate) const fn new(masked: bool) -> Self {
        let head = [0; HEAD];
        Self { head, have: 0, left: 0, masked, fragmented: false, closed: false, lost: false }
    }

    /// True when it stands before the first byte of a frame.
    pub(crate) const fn between_frames(&self) -> bool {
        self.have == 0 && self.left == 0 && !self.lost
    }

    /// True when it stands before the first byte of a message: control frames may lie within one.
    pub(crate) const fn between_messages(&self) -> bool {
        self.between_frames() && !self.fragmented
    }

    /// True once a whole Close frame has passed.
    pub(crate) const fn closed(&self) -> bool {
        self.closed
    }

    /// True when it is not known any more where frames end.
    pub(crate) const fn lost(&self) -> bool {
        self.lost
    }

    /// True when these bytes, which come next, begin with a Close frame.
    pub(crate) fn closes_next(&self, data: &[u8]) -> bool {
        let close = data.first().is_some_and(|first| first & 0x0f == CLOSE);
        self.between_frames() && close
    }

    /// Takes what has passed.
    pub(crate) fn advance(&mut self, mut data: &[u8]) {
        while !data.is_empty() && !self.lost {
            data = &data[self.step(data)..];
        }
    }

    /// How many of these bytes belong to the present or next frame, or message; all of them if it does
    /// not end in them.
    pub(crate) fn until_end(&self, data: &[u8], of_message: bool) -> usize {
        let (mut track, mut used) = (*self, 0);
        while used < data.len() && !track.lost {
            used += track.step(&data[used..]);
            let over = if of_message { track.between_messages() } else { track.between_frames() };
            if over {
                return used;
            }
        }
        data.len()
    }

    /// Takes bytes up to the end of the frame at most; gives how many. There must be one.
    fn step(&mut self, data: &[u8]) -> usize {
        let mut used = 0;
        if self.left == 0 {
            while usize::from(self.have) < self.head_length() && used < data.len() {
                self.head[usize::from(self.have)] = data[used];
                self.have += 1;
                used += 1;
            }
            if usize::from(self.have) < self.head_length() {
                return used;
            }
            self.begin();
        }
        let rest = u64::try_from(data.len() - used).unwrap_or(u64::MAX).min(self.left);
        self.left -= rest;
        if self.left == 0 && !self.lost {
            self.end();
        }
        used + usize::try_from(rest).unwrap_or_default()
    }

    /// As far as is known yet.
    const fn head_length(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        match self.head[1] & !MASKED {
            MEDIUM => 4,
            LONG => HEAD,
            _ => 2,
        }
    }

    /// The head is whole.
    fn begin(&mut self) {
        let [first, second, wide @ ..] = self.head;
        let content = match second & !MASKED {
            MEDIUM => u64::from(u16::from_be_bytes([wide[0], wide[1]])),
            LONG => u64::from_be_bytes(wide),
            short => u64::from(short),
        };
        let masked = second & MASKED != 0;
        self.left = content.saturating_add(if masked { 4 } else { 0 });
        let (fin, opcode) = (first & FIN != 0, first & 0x0f);
        let fits = match opcode {
            0 => self.fragmented && first & RSV1 == 0,
            1 | 2 => !self.fragmented,
            8..=10 => fin && content <= 125 && first & RSV1 == 0,
            _ => false,
        };
        let odd = first & RSV23 != 0 || masked != self.masked || content > u64::MAX >> 1;
        self.lost |= odd || !fits || self.closed;
    }

    /// The frame is whole.
    fn end(&mut self) {
        let (fin, opcode) = (self.head[0] & FIN != 0, self.head[0] & 0x0f);
        self.have = 0;
        if opcode < CLOSE {
            self.fragmented = !fin;
        }
        self.closed |= opcode == CLOSE;
    }
}

/// A whole text message to a client. It is legal also where permessage-deflate was agreed on: without
/// RSV1 it is a message that was not compressed (RFC 7692 section 6).
pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = head(TEXT, text.len(), 0);
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// A Close frame to a client.
pub(crate) fn close_to_client(reason: &str) -> Vec<u8> {
    let mut frame = head(CLOSE, 2 + reason.len(), 0);
    frame.extend_from_slice(&RESTART.to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame
}

/// A Close frame to an instance, as from its client.
pub(crate) fn close_to_instance(mask: [u8; 4]) -> Vec<u8> {
    let mut frame = head(CLOSE, 2, MASKED);
    frame.extend_from_slice(&mask);
    frame.extend(AWAY.to_be_bytes().iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    frame
}

fn head(opcode: u8, length: usize, masked: u8) -> Vec<u8> {
    let mut head = vec![FIN | opcode];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => head.push(masked | short),
        (_, Ok(medium)) => {
            head.push(masked | MEDIUM);
            head.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            head.push(masked | LONG);
            head.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    head
}

/// True when the head of this answer begins a WebSocket whose frames are those of RFC 6455: no
/// extension was agreed on, or permessage-deflate, which leaves frames without RSV1 as they are.
pub(crate) fn is_begun_by(head: &[u8]) -> bool {
    // The proxy's own fields come on top of the instance's.
    let mut room = [httparse::EMPTY_HEADER; limits::FIELDS + 8];
    let mut answer = httparse::Response::new(&mut room);
    if !matches!(answer.parse(head), Ok(httparse::Status::Complete(_))) {
        return false;
    }
    let mut websocket = false;
    for field in answer.headers {
        let value = String::from_utf8_lossy(field.value).to_ascii_lowercase();
        if classify(field.name) == Field::Upgrade {
            websocket = value.trim() == "websocket";
        } else if field.name.eq_ignore_ascii_case("sec-websocket-extensions") {
            let mut extensions = value.split(',').map(|one| one.split(';').next().unwrap_or(""));
            if extensions.any(|name| !matches!(name.trim(), "permessage-deflate" | "")) {
                return false;
            }
        }
    }
    websocket
}

#[cfg(test)]
mod tests {
    use super::{Track, close_to_client, close_to_instance, head, is_begun_by, text_frame};

    fn frame(first: u8, content: &[u8]) -> Vec<u8> {
        let mut frame = head(first & 0x0f, content.len(), 0);
        frame[0] = first;
        frame.extend_from_slice(content);
        frame
    }

    /// Where messages may be put in between, however the bytes arrive.
    #[test]
    fn ends_of_messages_are_found_in_pieces_of_every_size() {
        let parts = [
            frame(0x81, b"one"),
            frame(0x01, &[b'a'; 200]),
            frame(0x89, b"ping"),
            frame(0x00, &vec![b'b'; 70_000]),
            frame(0x80, b""),
            frame(0xC2, b"compressed"),
            frame(0x8A, b""),
        ];
        let ends: Vec<usize> = parts
            .iter()
            .scan(0, |at, part| {
                *at += part.len();
                Some(*at)
            })
            .collect();
        let between: Vec<usize> = [0, 4, 5, 6].map(|part| ends[part]).to_vec();
        let all = parts.concat();
        for size in [1, 2, 3, 7, 64, 1_000, 65_536, all.len()] {
            let mut track = Track::new(false);
            let mut found = Vec::new();
            for piece in all.chunks(size) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let used = track.until_end(rest, true);
                    track.advance(&rest[..used]);
                    rest = &rest[used..];
                    if track.between_messages() {
                        let left = all.len() - (rest.as_ptr() as usize - all.as_ptr() as usize);
                        found.push(all.len() - left);
                    }
                }
            }
            found.dedup();
            assert!(!track.lost() && !track.closed());
            assert_eq!(found, between, "in pieces of {size}");
        }
    }

    #[test]
    fn what_the_proxy_says_is_a_frame_and_ends_where_it_should() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut track = Track::new(false);
            let text = text_frame(&"x".repeat(length));
            track.advance(&text[..text.len() - 1]);
            assert!(!track.between_frames());
            track.advance(&text[text.len() - 1..]);
            assert!(track.between_messages());
        }
        let close = close_to_client("service restart");
        assert_eq!(close[..4], [0x88, 17, 0x03, 0xf4]);
        let mut track = Track::new(false);
        assert!(track.closes_next(&close));
        track.advance(&close);
        assert!(track.closed());
        let masked = close_to_instance([1, 2, 3, 4]);
        assert_eq!(masked, [0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xe9 ^ 2]);
        let mut track = Track::new(true);
        track.advance(&masked);
        assert!(track.closed() && !track.lost());
    }

    /// Nobody may put anything between what are no frames.
    #[test]
    fn what_is_no_frame_is_not_followed() {
        let text = frame(0x81, b"x");
        for odd in [
            vec![0x83, 0],                              // an opcode that is not defined
            vec![0x91, 0],                              // a reserved bit
            vec![0x81, 0x81, 0, 0, 0, 0, 0],            // masked by a server
            vec![0x80, 0],                              // goes on with nothing
            vec![0x09, 0],                              // a ping in parts
            [frame(0x01, b"x"), text.clone()].concat(), // a message within another
            [frame(0x88, b""), text].concat(),          // something after the end
            [vec![0x81, 127], vec![0xff; 8]].concat(),
        ] {
            let mut track = Track::new(false);
            track.advance(&odd);
            assert!(track.lost() && !track.between_messages(), "{odd:?}");
            assert_eq!(track.until_end(b"abc", true), 3);
        }
    }

    #[test]
    fn only_frames_as_everybody_knows_them_are_read() {
        let begun = |more: &str| {
            let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n";
            is_begun_by(format!("{head}{more}\r\n\r\n").as_bytes())
        };
        assert!(begun("Upgrade: WebSocket"));
        let extended = "upgrade: websocket\r\nSec-WebSocket-Extensions: ";
        assert!(begun(&format!("{extended}permessage-deflate; client_max_window_bits=9")));
        assert!(!begun(&format!("{extended}permessage-deflate, x-mux")));
        assert!(!begun("upgrade: raw"));
        assert!(!begun("x: y"));
    }
}
