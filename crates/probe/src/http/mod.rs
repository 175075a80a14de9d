//! Just enough HTTP/1.1 for exact classification: a request, and an answer read byte by byte.
//!
//! Pure: no sockets and no clock. Memory is bounded whatever the server sends: heads up to 64 KiB,
//! bodies counted and thrown away but for their first bytes.

mod answer;
mod body;
mod says;
mod watch;

pub(crate) use answer::{Answer, Progress};
pub(crate) use says::{Reading, Said};

use std::fmt::Write as _;

use crate::ask::Ask;
use crate::target::Target;

/// The request of every attempt on the plain lanes.
pub(crate) fn request(ask: &Ask, target: &Target, close: bool) -> Vec<u8> {
    let mut request = head(ask, target, (ask.method(), target.path()));
    if close {
        request.push_str("Connection: close\r\n");
    }
    if !ask.body().is_empty() || !matches!(ask.method(), "GET" | "HEAD" | "DELETE" | "OPTIONS") {
        let _ = write!(request, "Content-Length: {}\r\n", ask.body().len());
    }
    request.push_str("\r\n");
    [request.as_bytes(), ask.body()].concat()
}

/// A head without its end, so that more fields can follow. What an attempt says of itself comes later
/// (`Site::signed`).
pub(crate) fn head(ask: &Ask, target: &Target, (method, path): (&str, &str)) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", target.authority());
    let says = |name: &str| ask.fields().any(|(said, _)| said.eq_ignore_ascii_case(name));
    if !says("user-agent") {
        head.push_str(concat!("User-Agent: cutover-probe/", env!("CARGO_PKG_VERSION"), "\r\n"));
    }
    if !says("accept") {
        head.push_str("Accept: */*\r\n");
    }
    for (name, value) in ask.fields() {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head
}
