//! Fuzz body of what is put into a WebSocket: whatever passes, and whenever its client is to leave, our
//! frame stands between two messages, once, and no byte of the instance is changed or lost.
//!
//! Where frames end is tried in `websocket::fuzz`.

use std::cell::RefCell;

use super::{Ending, Next, Talk, Way, begin};
use crate::websocket::fuzz::{reference, target};
use crate::websocket::text_frame;

const WORDS: &str = "leave";

/// What reaches the client of these pieces when it is to leave before the one of this number.
fn passed(pieces: &[Vec<u8>], asked: usize) -> Vec<u8> {
    let talk = RefCell::new(Talk::new());
    let (mut out, mut waits) = (Vec::new(), Vec::new());
    for (number, piece) in pieces.iter().map(Vec::as_slice).chain([&[][..]]).enumerate() {
        if number == asked {
            begin(&talk, Ending::Frame(WORDS.to_owned()));
        }
        waits.extend_from_slice(piece);
        loop {
            let mut talk = talk.borrow_mut();
            match talk.next(Way::ToClient, &waits, false) {
                Next::Own => {
                    // As much as fits is written at a time.
                    let own = talk.own(Way::ToClient);
                    let some = own.len().min(3);
                    out.extend_from_slice(&own[..some]);
                    talk.wrote(Way::ToClient, some);
                }
                Next::Pass(bytes) => {
                    out.extend_from_slice(&waits[..bytes]);
                    talk.passed(Way::ToClient, &waits[..bytes]);
                    waits.drain(..bytes);
                }
                Next::Skip(_) => panic!("nothing is thrown away for a message"),
                Next::Read => break,
            }
        }
    }
    assert!(waits.is_empty());
    out
}

#[test]
fn our_message_stands_between_two_messages_and_costs_no_byte() {
    fuzz::run(target(), |case| {
        let mut pieces = Vec::new();
        let mut rest = case.bytes.as_slice();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(case.random.usize(1..=rest.len()));
            pieces.push(piece.to_vec());
            rest = behind;
        }
        let asked = case.random.usize(0..=pieces.len());
        let begun: usize = pieces[..asked].iter().map(Vec::len).sum();
        let out = passed(&pieces, asked);
        let read = reference(&case.bytes, false);
        let close = read.closed.then(|| read.ends.last().copied().unwrap_or_default());
        let legal = |at: &usize| *at >= begun && close.is_none_or(|close| *at < close);
        let place = [0].iter().chain(&read.messages).copied().find(legal);
        // Where what follows is no frame, the place before it is still one.
        let expected = place.map_or_else(
            || case.bytes.clone(),
            |at| [&case.bytes[..at], &text_frame(WORDS), &case.bytes[at..]].concat(),
        );
        assert_eq!(out, expected, "asked at {begun}");
    });
}
