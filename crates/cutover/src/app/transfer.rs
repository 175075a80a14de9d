//! Long bodies in both directions, each with a SHA-256 that the client can check.
//!
//! Nothing is held whole in memory. A download's digest stands in the header `x-content-sha256`
//! before the first byte; it is computed from remembered hash states, so that only the first
//! request for a length pays for it.

use std::fmt::Write as _;
use std::iter::repeat_with;
use std::sync::{LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::body::Body;
use super::reply::{error, json};
use super::route::number;
use super::state::State;

/// Largest download, in bytes.
const DOWNLOAD_MAX: u64 = 1 << 30;
const DOWNLOAD_DEFAULT: u64 = 1 << 20;

/// Length of the repeated piece of a download. A prime, so that no buffer size divides it and a
/// piece that a proxy loses or doubles changes the digest.
const PIECE: usize = 65_521;

/// Pieces between two remembered hash states (about a mebibyte).
const STRIDE: usize = 16;

static PATTERN: LazyLock<Bytes> = LazyLock::new(pattern);
static REMEMBERED: Mutex<Vec<Sha256>> = Mutex::new(Vec::new());

#[derive(Serialize)]
struct Uploaded {
    bytes: u64,
    sha256: String,
}

/// Reads a body to its end and answers its length and digest.
pub(super) async fn upload(state: &State, request: Request<Incoming>) -> Response<Body> {
    let mut body = request.into_body();
    let (mut bytes, mut hash) = (0_u64, Sha256::new());
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return error(state, StatusCode::BAD_REQUEST, "the upload ended before its last byte");
        };
        if let Ok(data) = frame.into_data() {
            bytes += data.len() as u64;
            hash.update(&data);
        }
    }
    json(state, StatusCode::OK, &Uploaded { bytes, sha256: hex(hash) })
}

/// Streams a pattern of the length asked for, as fast as the client reads.
pub(super) async fn download(state: &State, query: Option<&str>) -> Response<Body> {
    let asked = number(query, "bytes", DOWNLOAD_DEFAULT, DOWNLOAD_MAX);
    let bytes = match asked.map(usize::try_from) {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return error(state, StatusCode::BAD_REQUEST, "too large for this machine"),
        Err(what) => return error(state, StatusCode::BAD_REQUEST, &what),
    };
    let Ok(Ok(digest)) =
        tokio::task::spawn_blocking(move || HeaderValue::try_from(digest(bytes))).await
    else {
        return error(state, StatusCode::INTERNAL_SERVER_ERROR, "no digest");
    };
    let frames = pieces(bytes).map(|piece| Ok(Frame::data(piece)));
    let mut response = Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(HeaderName::from_static("x-content-sha256"), digest);
    response
}

/// The pattern in pieces that share one buffer.
fn pieces(bytes: usize) -> impl Iterator<Item = Bytes> {
    let last = PATTERN.slice(..bytes % PIECE);
    let whole = repeat_with(|| PATTERN.clone()).take(bytes / PIECE);
    whole.chain((!last.is_empty()).then_some(last))
}

/// SHA-256 of the first `bytes` of the pattern, continued from the nearest remembered state.
fn digest(bytes: usize) -> String {
    let strides = bytes / (PIECE * STRIDE);
    let mut remembered = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut hash = Sha256::new();
    for stride in 0..strides {
        if let Some(known) = remembered.get(stride) {
            hash.clone_from(known);
            continue;
        }
        (0..STRIDE).for_each(|_| hash.update(&*PATTERN));
        remembered.push(hash.clone());
    }
    drop(remembered);
    pieces(bytes % (PIECE * STRIDE)).for_each(|piece| hash.update(&piece));
    hex(hash)
}

/// One piece of bytes without a short period (Marsaglia's xorshift64, a fixed seed).
fn pattern() -> Bytes {
    let mut word = 0x9E37_79B9_7F4A_7C15_u64;
    repeat_with(|| {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word.to_le_bytes()
    })
    .flatten()
    .take(PIECE)
    .collect()
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{PIECE, STRIDE, Sha256, digest, hex, pieces};
    use sha2::Digest as _;

    #[test]
    fn a_remembered_digest_is_that_of_the_bytes() {
        let stride = PIECE * STRIDE;
        for bytes in [2 * stride + 5, 0, 1, PIECE, stride - 1, stride, 3 * stride, stride + 1] {
            let mut hash = Sha256::new();
            let mut length = 0;
            for piece in pieces(bytes) {
                length += piece.len();
                hash.update(&piece);
            }
            assert_eq!((length, digest(bytes)), (bytes, hex(hash)), "{bytes} bytes");
        }
    }
}
