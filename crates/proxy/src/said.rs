//! Heads of answers as clients see them: those of instances, rewritten, and the proxy's own.
//!
//! It writes bytes into memory and sends nothing.

use std::sync::Arc;

use crate::call::Asks;
use crate::framing::{AnswerHead, Body, Field, Refusal, classify};
use crate::gate::Gate;
use crate::lines::line;
use crate::pages::Page;

/// How the end of an answer's body is shown to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As the instance framed it.
    Same,
    /// The instance ends its body by closing; the client gets chunks.
    Chunk,
    /// The client speaks HTTP/1.0 and learns the end by the close.
    Bare,
    /// Frames of HTTP/2.
    Frames,
}

/// What the client is told about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// It stays open.
    pub(crate) keep: bool,
    /// The client speaks HTTP/1.0.
    pub(crate) old_client: bool,
    /// How the body is framed.
    pub(crate) shape: Shape,
}

/// Who answers what: the proxy's own to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp<'a> {
    /// The instance.
    pub(crate) gate: &'a Gate,
    /// The request's id.
    pub(crate) id: &'a [u8],
    /// The line that tells the client of its cohort, if it is to be told.
    pub(crate) cohort: &'a [u8],
}

/// Rewrites an instance's head.
pub(crate) fn rewrite(
    answer: &AnswerHead<'_, '_>,
    terms: Terms,
    stamp: Stamp<'_>,
    out: &mut Vec<u8>,
) {
    status_line(out, answer.status, answer.reason);
    let switching = answer.status == 101;
    let bodiless = answer.status < 200 || answer.status == 204;
    for field in answer.fields {
        let keep = match classify(field.name) {
            Field::Connection | Field::HopByHop | Field::Stamp | Field::RequestId => false,
            Field::TransferEncoding => terms.shape == Shape::Same && !bodiless,
            Field::ContentLength => !bodiless,
            Field::Upgrade => switching || answer.status == 426,
            _ => !answer.connection.drops(field.name),
        };
        if keep {
            line(out, field.name, &[field.value]);
        }
    }
    if terms.shape == Shape::Chunk {
        line(out, "transfer-encoding", &[b"chunked"]);
    }
    out.extend_from_slice(&stamp.gate.stamp);
    line(out, "x-request-id", &[stamp.id]);
    if switching || !answer.interim() {
        out.extend_from_slice(stamp.cohort);
    }
    if switching {
        line(out, "connection", &[b"Upgrade"]);
    } else if !answer.interim() {
        connection(out, terms.keep, terms.old_client);
    }
    out.extend_from_slice(b"\r\n");
}

/// How a body is framed towards the client.
pub(crate) const fn shape(body: &Body, old_client: bool) -> Shape {
    match body {
        Body::Chunked(_) | Body::UntilClose if old_client => Shape::Bare,
        Body::Length(_) | Body::Chunked(_) => Shape::Same,
        Body::UntilClose => Shape::Chunk,
    }
}

/// What the proxy says in its own name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own<'a> {
    /// Status, and the words for it.
    pub(crate) refusal: Refusal,
    /// A page in place of the words.
    pub(crate) page: Option<&'a Page>,
    /// When to come back if the status is 429 or 503.
    pub(crate) retry_after: &'static str,
}

impl<'a> Own<'a> {
    /// A refusal that is over in a moment if it ever is.
    pub(crate) fn new(refusal: Refusal, page: Option<&'a Arc<Page>>) -> Self {
        Self { refusal, page: page.map(Arc::as_ref), retry_after: "1" }
    }
}

/// An answer of the proxy itself, body and all; it names the instance that was tried last and the
/// request, if its head could be read.
pub(crate) fn own(own: Own<'_>, asks: Asks, gate: Option<&Gate>, id: Option<&[u8]>) -> Vec<u8> {
    let Own { refusal: Refusal { status, why }, page, retry_after } = own;
    let kind = page.map_or("text/plain; charset=utf-8", |page| page.kind);
    let parts: [&[u8]; 2] = page.map_or([why.as_bytes(), b"\n"], |page| [&page.content, b""]);
    let length = parts[0].len() + parts[1].len();
    let mut out = Vec::with_capacity(256 + length);
    status_line(&mut out, status, reason(status));
    line(&mut out, "content-type", &[kind.as_bytes()]);
    line(&mut out, "content-length", &[itoa::Buffer::new().format(length).as_bytes()]);
    if matches!(status, 429 | 503) {
        line(&mut out, "retry-after", &[retry_after.as_bytes()]);
    }
    if status == 405 {
        line(&mut out, "allow", &[b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"]);
    }
    if let Some(gate) = gate {
        out.extend_from_slice(&gate.stamp);
    }
    if let Some(id) = id {
        line(&mut out, "x-request-id", &[id]);
    }
    connection(&mut out, asks.keep, asks.old_client);
    out.extend_from_slice(b"\r\n");
    if !asks.head_only {
        out.extend_from_slice(&parts.concat());
    }
    out
}

fn status_line(out: &mut Vec<u8>, status: u16, reason: &str) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// HTTP/1.1 keeps connections unless told otherwise, HTTP/1.0 the other way round.
fn connection(out: &mut Vec<u8>, keep: bool, old_client: bool) {
    match (keep, old_client) {
        (true, true) => line(out, "connection", &[b"keep-alive"]),
        (false, _) => line(out, "connection", &[b"close"]),
        (true, false) => {}
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        421 => "Misdirected Request",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
