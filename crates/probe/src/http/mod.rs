//! Just enough HTTP/1.1 for exact classification: a request, and an answer read byte by byte.
//!
//! Pure: no sockets and no clock. Memory is bounded whatever the server sends: heads up to 64 KiB,
//! bodies counted and thrown away but for their first bytes.

mod answer;
mod body;
mod says;

pub(crate) use answer::{Answer, Progress};
pub(crate) use says::{Reading, Said};

use model::survey::PROBE_FIELD;

use crate::target::Target;

/// The request of every attempt on the two HTTP lanes.
pub(crate) fn request(target: &Target, close: bool) -> Vec<u8> {
    let connection = if close { "Connection: close\r\n" } else { "" };
    let key = target.key().map(|key| format!("{PROBE_FIELD}: {key}\r\n")).unwrap_or_default();
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: cutover-probe/{}\r\nAccept: */*\r\n{key}{connection}\r\n",
        target.path(),
        target.authority(),
        env!("CARGO_PKG_VERSION"),
    )
    .into_bytes()
}
