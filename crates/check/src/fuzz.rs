//! Fuzz body of the health check's reading: an answer is the same however it arrives.
//!
//! Whether an answer passes is not asked here: that is tested beside the code.

use fuzz::corpus;

use super::body::Body;
use super::{HEAD_MAX, Head, parse_head};

#[test]
fn answers_are_read_the_same_however_they_arrive() {
    let words = &[
        "HTTP/1.1 ",
        "\r\n\r\n",
        "content-length: ",
        "transfer-encoding: chunked\r\n",
        "204",
        "100",
    ];
    fuzz::run(corpus!("answers").words(words), |case| {
        assert!(case.bytes.len() < HEAD_MAX);
        // Status, bytes of body, whole; `None` for what is no answer.
        case.however_cut(|pieces| {
            let mut buffer = Vec::new();
            let mut body: Option<(u16, Body)> = None;
            for piece in pieces {
                buffer.extend_from_slice(piece);
                while body.is_none() {
                    let Some(Head { answer, framing, used, .. }) = parse_head(&buffer).ok()? else {
                        break;
                    };
                    assert!(answer.version.iter().all(|text| !text.contains(char::is_control)));
                    buffer.drain(..used);
                    if !(100..200).contains(&answer.status) {
                        body = Some((answer.status, Body::new(&framing)));
                    }
                }
                if let Some((_, body)) = &mut body {
                    body.feed(&buffer).ok()?;
                    buffer.clear();
                }
            }
            let (status, body) = body?;
            assert!(body.head.len() <= 80);
            Some((status, body.bytes, body.head.clone(), body.closed().is_ok()))
        });
    });
}
