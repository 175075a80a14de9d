//! Fuzz bodies of where frames of HTTP/2 begin and end: held against a second reader, written from
//! RFC 9113 section 4.1 apart from it, however the bytes arrive.
//!
//! What the frames mean is not asked here: HTTP/2 itself is the `h2` crate's.

use std::ops::Range;
use std::time::Duration;

use fuzz::{Target, corpus};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::{Crossing, Place};

/// What a client says before its first frame (RFC 9113 section 3.4).
const FIRST: usize = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

fn target() -> Target {
    corpus!("crossing").words(&[
        "\u{0}\u{0}\u{8}\u{6}\u{1}\u{0}\u{0}\u{0}\u{0}12345678",
        "\u{0}\u{0}\u{8}\u{6}\u{0}\u{0}\u{0}\u{0}\u{0}12345678",
        "\u{0}\u{0}\u{7}\u{6}\u{1}\u{0}\u{0}\u{0}\u{0}1234567",
        "\u{0}\u{0}\u{1}\u{1}\u{5}\u{0}\u{0}\u{0}\u{1}x",
        "\u{0}\u{0}\u{0}\u{4}\u{1}\u{0}\u{0}\u{0}\u{0}",
        "\u{0}\u{1}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{1}",
    ])
}

/// A connection as a reader finds it that has all bytes at once.
#[derive(Debug, Default)]
struct Read {
    /// Whole answers to PINGs.
    pongs: Vec<Range<usize>>,
    /// Where heads of frames end that begin a stream.
    begun: Vec<usize>,
    /// The last byte ends a frame.
    between: bool,
    /// The first frame is not what a client begins with.
    strange: bool,
}

/// Reads it frame by frame.
fn reference(bytes: &[u8]) -> Read {
    let mut read = Read { between: bytes.len() >= FIRST, ..Read::default() };
    let mut at = FIRST;
    while at < bytes.len() {
        read.between = false;
        let Some(&[one, two, three, kind, flags, ..]) = bytes[at..].get(..9) else { break };
        let length = (usize::from(one) * 256 + usize::from(two)) * 256 + usize::from(three);
        if kind == 1 {
            read.begun.push(at + 9);
        }
        // SETTINGS that are no answer.
        read.strange |= at == FIRST && (kind != 4 || flags % 2 == 1);
        let frame = at..at + 9 + length;
        if frame.end > bytes.len() {
            break;
        }
        at = frame.end;
        read.between = true;
        if (kind, flags % 2, length) == (6, 1, 8) {
            read.pongs.push(frame);
        }
    }
    read
}

/// Whether a stream was begun, whether the end lies between two frames, and whether the first one is strange; each
/// piece is held against what was expected of it.
fn passed(pieces: &[&[u8]], expected: &Read) -> (bool, bool, bool) {
    let (mut place, mut at) = (Place::new(), 0);
    for piece in pieces {
        let here = at..at + piece.len();
        at = here.end;
        let whole = |pong: &&Range<usize>| here.start <= pong.start && pong.end <= here.end;
        let first = expected.pongs.iter().find(whole);
        let first = first.map(|pong| pong.start - here.start..pong.end - here.start);
        assert_eq!(place.pass(piece), first, "in {here:?}");
    }
    (place.began, place.between_frames(), place.strange)
}

#[test]
fn answers_to_pings_lie_where_another_reader_finds_them() {
    fuzz::run(target(), |case| {
        let expected = reference(&case.bytes);
        let found = case.however_cut(|pieces| passed(pieces, &expected));
        assert_eq!(found, (!expected.begun.is_empty(), expected.between, expected.strange));
    });
}

/// The answers to PINGs, in order of their content, and all that is none.
fn apart(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut pongs, mut rest, mut at) = (Vec::new(), Vec::new(), 0);
    for pong in reference(bytes).pongs {
        rest.extend_from_slice(&bytes[at..pong.start]);
        at = pong.end;
        pongs.push(bytes[pong].to_vec());
    }
    rest.extend_from_slice(&bytes[at..]);
    pongs.sort_unstable();
    (pongs, rest)
}

/// What comes out of a connection of these pieces that stands still twice, read in such portions; `None` when it is
/// refused.
fn carried(pieces: &[&[u8]], portion: usize, hold: Duration) -> Option<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut client, server) = duplex(1 << 16);
        let mut crossing = Crossing::new(server, hold);
        let says = async {
            for (number, piece) in pieces.iter().enumerate() {
                // Whoever refuses it is gone.
                if client.write_all(piece).await.is_err() {
                    return;
                }
                if number == pieces.len() / 2 {
                    tokio::time::sleep(3 * hold).await;
                }
            }
            tokio::time::sleep(3 * hold).await;
            drop(client);
        };
        let reads = async {
            let (mut out, mut room) = (Vec::new(), vec![0; portion]);
            loop {
                match crossing.read(&mut room).await {
                    Ok(0) => return Some(out),
                    Ok(bytes) => out.extend_from_slice(&room[..bytes]),
                    Err(_) => return None,
                }
            }
        };
        tokio::join!(says, reads).1
    })
}

/// Whatever comes: an answer to a PING may stand behind frames that came behind it, one may still be
/// held when the client ends, and everything else is as it was.
#[test]
fn no_byte_is_changed_but_the_place_of_an_answer_to_a_ping() {
    fuzz::run(target(), |case| {
        let (portion, moment) = (case.random.usize(1..200), case.random.u64(0..2));
        let mut cuts = [0; 3].map(|_| case.random.usize(..=case.bytes.len()));
        cuts.sort_unstable();
        let bytes = case.bytes.as_slice();
        let [one, two, three] = cuts;
        let pieces = [&bytes[..one], &bytes[one..two], &bytes[two..three], &bytes[three..]];
        let out = carried(&pieces, portion, Duration::from_millis(moment));
        assert_eq!(out.is_none(), reference(bytes).strange);
        let Some(out) = out else { return };
        let ((pongs, rest), (mut came, same)) = (apart(bytes), apart(&out));
        assert_eq!(same, rest, "what is no answer to a PING");
        let held = pongs.len() - came.len();
        assert!(held <= 1, "{held} of {} were not passed on", pongs.len());
        came.retain(|pong| !pongs.contains(pong));
        assert!(came.is_empty(), "answers that nobody gave");
    });
}
