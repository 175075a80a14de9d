//! Fuzz bodies of the framing: boundaries never depend on the cuts, and a second reading that was
//! written apart agrees with the first.
//!
//! What becomes of a request that was read is not tried here.

use fuzz::{Case, Target, corpus};

use super::reference::{self, End, Reading};
use super::{Body, HeadScan, check_trailer, read_answer, read_request};
use crate::limits;

const WORDS: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "Host: a\r\n",
    "Host: b\r\n",
    "Content-Length: ",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "transfer-encoding: x\r\n",
    "Connection: close\r\n",
    "Connection: Content-Length\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: h2c\r\n",
    "0\r\n\r\n",
    "5;a=b\r\n",
    "chunked",
    ", chunked",
    "GET / HTTP/1.1\r\n",
    "http://a",
    "[::1]",
    "%zz",
    "HTTP/1.0",
    "HTTP/2.0",
    " folded\r\n",
    "\u{b}",
    "_",
];

fn heads() -> Target {
    corpus!("requests").words(WORDS)
}

/// Bytes as they arrive: `take` looks at what is there and says how much of it is done with.
struct Arriving<'p> {
    pieces: std::slice::Iter<'p, &'p [u8]>,
    there: Vec<u8>,
    at: usize,
}

impl<'p> Arriving<'p> {
    fn of(pieces: &'p [&'p [u8]]) -> Self {
        Self { pieces: pieces.iter(), there: Vec::new(), at: 0 }
    }

    fn data(&self) -> &[u8] {
        &self.there[self.at..]
    }

    /// False at the end.
    fn more(&mut self) -> bool {
        self.pieces.next().is_some_and(|piece| {
            self.there.extend_from_slice(piece);
            true
        })
    }
}

/// Reads requests as the proxy does; gives what was found and the status of the refusal behind it.
fn requests(pieces: &[&[u8]]) -> (Reading, u16) {
    let mut input = Arriving::of(pieces);
    let mut messages = Vec::new();
    loop {
        match request(&mut input) {
            Ok(message) => messages.push(message),
            Err(None) => return (Reading { messages, end: End::Open }, 0),
            Err(Some(status)) => return (Reading { messages, end: End::Wrong }, status),
        }
    }
}

/// One request; `None` when it is not all there, else the status of its refusal.
fn request(input: &mut Arriving<'_>) -> Result<(usize, usize), Option<u16>> {
    let head = head(input)?;
    let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
    let read = read_request(&input.data()[..head], &mut room);
    let body = read.map(|request| request.body).map_err(|refusal| Some(refusal.status));
    input.at += head;
    Ok((head, through(input, body?)?))
}

fn head(input: &mut Arriving<'_>) -> Result<usize, Option<u16>> {
    let mut scan = HeadScan::default();
    loop {
        match scan.advance(input.data()) {
            Ok(Some(length)) => return Ok(length),
            Err(refusal) => return Err(Some(refusal.status)),
            Ok(None) if !input.more() => return Err(None),
            Ok(None) => {}
        }
    }
}

/// Passes a body; gives its length with its framing.
fn through(input: &mut Arriving<'_>, mut body: Body) -> Result<usize, Option<u16>> {
    let begin = input.at;
    loop {
        match body.pass(input.data()) {
            Ok(passed) => input.at += passed.bytes,
            Err(refusal) => return Err(Some(refusal.status)),
        }
        if body.done() {
            return Ok(input.at - begin);
        }
        if !input.more() {
            return Err(None);
        }
    }
}

fn two_readings_agree(case: &mut Case) {
    let (found, status) = case.however_cut(requests);
    let expected = reference::read(&case.bytes);
    assert_eq!(found.messages, expected.messages, "boundaries");
    match (found.end, expected.end) {
        // A refusal before the end of a line is as good as one behind it.
        (End::Wrong, End::Open) => {
            let ever = [&case.bytes[..], b"\r\n\r\n\r\n\r\n"].concat();
            let later = reference::read(&ever);
            assert!(
                later.end == End::Wrong || later.messages.len() == found.messages.len(),
                "refused with {status}, and it is right"
            );
        }
        (found, expected) => assert_eq!(found, expected, "refused with {status}"),
    }
}

#[test]
fn requests_are_read_as_the_rfc_says_however_they_are_cut() {
    fuzz::run(heads(), two_readings_agree);
}

/// The content of a body, without its framing, does not depend on cuts and stands in the input.
#[test]
fn content_is_what_stands_between_the_framing() {
    fuzz::run(corpus!("chunks").words(&["\r\n", "0\r\n\r\n", "5\r\n", ";a", "A: b\r\n"]), |case| {
        let body = || Body::of_request(super::fields::Announced::Chunked);
        let (content, status) = case.however_cut(|pieces| {
            let (mut input, mut body, mut content) = (Arriving::of(pieces), body(), Vec::new());
            loop {
                match body.piece(input.data()) {
                    Err(refusal) => return (content, Some(refusal.status)),
                    Ok(piece) => {
                        content.extend_from_slice(&input.data()[piece.framing..piece.bytes]);
                        input.at += piece.bytes;
                        if piece.done || (piece.bytes == 0 && !input.more()) {
                            return (content, None);
                        }
                    }
                }
            }
        });
        assert!(content.len() <= case.bytes.len() && status.is_none_or(|s| s == 400 || s == 431));
        // Framed anew it reads back as the same.
        if status.is_none() && !content.is_empty() {
            let size = format!("{:x}\r\n", content.len());
            let again = [size.as_bytes(), &content, b"\r\n0\r\n\r\n"].concat();
            let mut whole = body();
            assert!(whole.pass(&again).is_ok_and(|passed| passed.done));
        }
    });
}

/// An answer that was found correct has one length, and nothing of it depends on how it was cut.
#[test]
fn answers_are_read_strictly() {
    let words = &[
        "HTTP/1.1 ",
        "204",
        "304",
        "101",
        "Content-Length: 3\r\n",
        "\r\n\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
    ];
    fuzz::run(corpus!("answers").words(words), |case| {
        for head_only in [false, true] {
            case.however_cut(|pieces| {
                let mut input = Arriving::of(pieces);
                let length = head(&mut input)?;
                let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
                let answer = read_answer(&input.data()[..length], &mut room, head_only)
                    .map_err(|refusal| Some(refusal.status))?;
                let lengths = answer.fields.iter().filter(|field| {
                    ["content-length", "transfer-encoding"]
                        .iter()
                        .any(|name| field.name.eq_ignore_ascii_case(name))
                });
                assert!(lengths.count() <= 1 && (100..600).contains(&answer.status));
                let bodiless = head_only || matches!(answer.status, 100..200 | 204 | 304);
                assert!(!bodiless || answer.body.done());
                let body = answer.body;
                input.at += length;
                through(&mut input, body)
            })
            .ok();
        }
    });
}

/// A trailer is one field of its own kind, on one line.
#[test]
fn trailers_are_single_fields() {
    fuzz::run(
        corpus!("trailers").words(&["Host", "Content-Length", "X_Forwarded_For", ": "]),
        |case| {
            let line = case.bytes.clone();
            if check_trailer(&line).is_ok() {
                assert!(!line.contains(&b'\n') && !line.contains(&b'\r') && line.contains(&b':'));
                let chunks = [b"0\r\n", &line[..], b"\r\n\r\n"].concat();
                let request =
                    [b"P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", &chunks[..]];
                let read = reference::read(&request.concat());
                assert_eq!((read.messages.len(), read.end), (1, End::Open));
            }
        },
    );
}
