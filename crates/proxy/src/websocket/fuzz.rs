//! Fuzz body of the WebSocket tracker: held against a second reader, written from RFC 6455 section 5.2
//! apart from it, however the bytes arrive.
//!
//! What the proxy puts in between is not tried here, but in `talk`.

use fuzz::{Target, corpus};

use super::Track;

/// Frames of one direction as a reader finds them that has all bytes at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Frames {
    /// Where each frame ends.
    pub(crate) ends: Vec<usize>,
    /// Where frames end behind which a new message may begin.
    pub(crate) messages: Vec<usize>,
    /// A whole Close frame is among them.
    pub(crate) closed: bool,
    /// What follows them is no frame.
    pub(crate) lost: bool,
}

/// Inputs of both directions.
pub(crate) fn target() -> Target {
    corpus!("websocket").words(&[
        "\u{1}\u{3}abc",
        "\u{1}\u{0}",
        "\u{0}\u{1}z",
        "\u{1}~\u{0}\u{5}fives",
        "\u{2}\u{7f}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{1}x",
        "\u{9}\u{0}",
        "\u{8}\u{0}",
    ])
}

/// Reads them frame by frame.
pub(crate) fn reference(bytes: &[u8], masked: bool) -> Frames {
    let (mut read, mut at, mut open) = (Frames::default(), 0, false);
    while let [first, second, rest @ ..] = &bytes[at..] {
        let wide = match second % 128 {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(extended) = rest.get(..wide) else { break };
        let length = match wide {
            0 => u128::from(second % 128),
            _ => extended.iter().fold(0, |sum, byte| sum * 256 + u128::from(*byte)),
        };
        let (fin, compressed, reserved, opcode) =
            (first / 128 == 1, first / 64 % 2 == 1, first / 16 % 4, first % 16);
        let control = opcode >= 8;
        let legal = reserved == 0
            && [0, 1, 2, 8, 9, 10].contains(&opcode)
            && (second / 128 == 1) == masked
            && length < 1 << 63
            && !(control && (!fin || length > 125))
            && !(compressed && (control || opcode == 0))
            && (control || (opcode == 0) == open)
            && !read.closed;
        if !legal {
            read.lost = true;
            break;
        }
        let whole = 2 + wide as u128 + if masked { 4 } else { 0 } + length;
        let Some(end) = usize::try_from(whole).ok().map(|whole| at + whole) else { break };
        if end > bytes.len() {
            break;
        }
        at = end;
        read.ends.push(at);
        if !control {
            open = !fin;
        }
        if !open {
            read.messages.push(at);
        }
        read.closed |= opcode == 8;
    }
    read
}

/// The same by the tracker, which stops at the ends of messages or of frames.
fn tracked(pieces: &[&[u8]], masked: bool) -> Frames {
    let mut read = Frames::default();
    for of_message in [false, true] {
        let (mut track, mut at) = (Track::new(masked), 0);
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let used = track.until_end(rest, of_message);
                assert!((1..=rest.len()).contains(&used), "{used} of {}", rest.len());
                track.advance(&rest[..used]);
                (rest, at) = (&rest[used..], at + used);
                if of_message && track.between_messages() {
                    read.messages.push(at);
                } else if !of_message && track.between_frames() {
                    read.ends.push(at);
                }
                assert!(!(track.lost() && track.between_frames()));
            }
        }
        (read.closed, read.lost) = (track.closed(), track.lost());
    }
    read
}

#[test]
fn frames_end_where_another_reader_finds_them() {
    fuzz::run(target(), |case| {
        let masked = case.random.bool();
        let expected = reference(&case.bytes, masked);
        assert_eq!(case.however_cut(|pieces| tracked(pieces, masked)), expected);
    });
}
