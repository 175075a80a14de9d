//! Random messages, cut into random reads: boundaries never depend on the cuts. Seeded, bounded.

use super::{Body, HeadScan, read_request};
use crate::limits;

/// What a stream of bytes was found to be: sizes of heads and bodies, then how it stopped.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Head(usize),
    Body(usize),
    Refused(u16),
    Partial,
}

/// Reads messages from `bytes`, of which `cuts` says how much is there at each step.
fn read(bytes: &[u8], cuts: &[usize]) -> Vec<Found> {
    let mut found = Vec::new();
    let (mut at, mut cuts) = (0, cuts.iter().copied());
    let mut there = 0;
    loop {
        let mut scan = HeadScan::default();
        let length = loop {
            match scan.advance(&bytes[at..there]) {
                Ok(Some(length)) => break length,
                Err(refusal) => {
                    found.push(Found::Refused(refusal.status));
                    return found;
                }
                Ok(None) => {}
            }
            let Some(cut) = cuts.next() else {
                found.push(Found::Partial);
                return found;
            };
            there = cut;
        };
        let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
        let mut body = match read_request(&bytes[at..at + length], &mut room) {
            Ok(request) => request.body,
            Err(refusal) => {
                found.push(Found::Refused(refusal.status));
                return found;
            }
        };
        found.push(Found::Head(length));
        at += length;
        let begin = at;
        loop {
            match body.pass(&bytes[at..there]) {
                Ok(passed) => at += passed.bytes,
                Err(refusal) => {
                    found.push(Found::Refused(refusal.status));
                    return found;
                }
            }
            if body.done() {
                break;
            }
            let Some(cut) = cuts.next() else {
                found.push(Found::Partial);
                return found;
            };
            there = cut;
        }
        found.push(Found::Body(at - begin));
    }
}

/// A message that is mostly right, so that its errors lie deep.
fn message(random: &mut fastrand::Rng) -> Vec<u8> {
    const PARTS: [&str; 12] = [
        "A: b\r\n",
        "Connection: close\r\n",
        "X: \t y \r\n",
        "Content-Length: 7\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: b\r\n",
        "A : b\r\n",
        " folded\r\n",
        "A: b\n",
        "A: \rb\r\n",
        "Expect: 100-continue\r\n",
        "Content-Length: 5\r\n",
    ];
    let mut text = String::from("POST /x HTTP/1.1\r\nHost: a\r\n");
    let chunked = random.bool();
    text += if chunked { "Transfer-Encoding: chunked\r\n" } else { "Content-Length: 11\r\n" };
    for _ in 0..random.usize(..4) {
        let most = if random.u8(..8) == 0 { PARTS.len() } else { 3 };
        text += PARTS[random.usize(..most)];
    }
    text += "\r\n";
    text += if chunked {
        "4;a=b\r\nabcd\r\n00A\r\n0123456789\r\n0\r\nT: u\r\n\r\n"
    } else {
        "hello world"
    };
    let mut bytes = text.into_bytes();
    if random.u8(..3) == 0 {
        let at = random.usize(..bytes.len());
        bytes[at] = *random.choice(b"\r\n\0 0:;,zF-\xff").unwrap();
    }
    bytes
}

#[test]
fn boundaries_never_depend_on_how_bytes_are_split_into_reads() {
    let (mut whole, mut refused) = (0, 0);
    for seed in 0..4_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let bytes: Vec<u8> = (0..random.usize(1..5)).flat_map(|_| message(&mut random)).collect();
        let expected = read(&bytes, &[bytes.len()]);
        let single: Vec<usize> = (1..=bytes.len()).collect();
        assert_eq!(read(&bytes, &single), expected, "seed {seed}, byte by byte");
        for _ in 0..4 {
            let mut cuts: Vec<_> =
                (0..random.usize(1..12)).map(|_| random.usize(..=bytes.len())).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            assert_eq!(read(&bytes, &cuts), expected, "seed {seed}, cuts {cuts:?}");
        }
        match expected.last() {
            Some(Found::Refused(_)) => refused += 1,
            _ => whole += 1,
        }
    }
    assert!(whole > 500 && refused > 500, "{whole} whole and {refused} refused: a lopsided mix");
}

/// Bytes without sense end in a refusal or in waiting, never in a panic.
#[test]
fn noise_is_refused() {
    for seed in 0..2_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let noise: Vec<u8> = (0..random.usize(1..400)).map(|_| random.u8(..)).collect();
        read(&noise, &[noise.len()]);
        let mut body = Body::Chunked(super::chunks::Chunks::new());
        let _ = body.pass(&noise);
    }
}
