//! Message boundaries of HTTP/1.1: where a head ends, how long a body is, what is refused.
//!
//! These files alone decide where one message ends and the next begins (RFC 9112 sections 2 to 7
//! and 11); nobody else in the proxy looks at `Content-Length`, `Transfer-Encoding` or chunks.
//! They are pure: bytes in, boundaries or a refusal out, and the outcome never depends on how the
//! bytes were split into reads. They do not rewrite anything.

mod answer;
mod body;
mod chunks;
mod fields;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod reference;
mod request;
mod scan;

pub(crate) use answer::{AnswerHead, read_answer};
pub(crate) use body::Body;
pub(crate) use chunks::check_trailer;
pub(crate) use fields::{Connection, Field, classify};
pub(crate) use request::{RequestHead, read_request};
pub(crate) use scan::HeadScan;

/// Why a message was refused, and the status that says so to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Status of the answer to a client; an answer of an instance that is refused becomes 502.
    pub(crate) status: u16,
    /// In words.
    pub(crate) why: &'static str,
}

impl Refusal {
    /// A body that is larger than it may be.
    pub(crate) const BODY_TOO_LARGE: Self = Self::with(413, "the body is too large");

    /// A malformed message.
    pub(crate) const fn bad(why: &'static str) -> Self {
        Self { status: 400, why }
    }

    /// A message refused with another status.
    pub(crate) const fn with(status: u16, why: &'static str) -> Self {
        Self { status, why }
    }

    /// A head that failed to parse.
    fn of(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::with(431, "too many header fields"),
            httparse::Error::Version => Self::with(505, "HTTP version not supported"),
            httparse::Error::HeaderName => Self::bad("malformed field name"),
            httparse::Error::HeaderValue => Self::bad("malformed field value"),
            httparse::Error::Status => Self::bad("malformed status line"),
            _ => Self::bad("malformed request line"),
        }
    }
}
