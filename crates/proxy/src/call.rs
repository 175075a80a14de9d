//! One request as the proxy means to send it: read, checked, routed and rewritten.
//!
//! Everything is done here in one go while the head lies in the buffer, so that the head can be
//! forgotten before anything is awaited. Nothing is sent here.

use std::net::IpAddr;
use std::sync::Arc;

use model::ReleaseId;

use crate::framing::{Body, Connection, Field, Refusal, RequestHead, classify, read_request};
use crate::limits;
use crate::replay;
use crate::table::{App, Table};

/// A request ready to be sent.
#[derive(Debug)]
pub(crate) struct Call {
    /// The app it belongs to, if any.
    pub(crate) app: Option<Arc<App>>,
    /// The release that a rule of the app names for it.
    pub(crate) meant: Option<ReleaseId>,
    /// The head for the instance.
    pub(crate) head: Vec<u8>,
    /// Its body.
    pub(crate) body: Body,
    /// Bytes at the front of the client's buffer that the body has counted already.
    pub(crate) claimed: usize,
    /// What the answer must heed.
    pub(crate) asks: Asks,
}

/// What the answer to a request must heed.
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one request")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asks {
    /// The method is HEAD: the answer has no body.
    pub(crate) head_only: bool,
    /// It may be sent twice.
    pub(crate) idempotent: bool,
    /// The client speaks HTTP/1.0.
    pub(crate) old_client: bool,
    /// The client means to keep the connection.
    pub(crate) keep: bool,
    /// The client waits for `100 Continue`.
    pub(crate) expects: bool,
    /// It asks for another protocol.
    pub(crate) upgrade: bool,
}

/// Reads a whole head and prepares what will be sent.
pub(crate) fn prepare(head: &[u8], peer: IpAddr, table: &Table) -> Result<Call, Refusal> {
    let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
    let request = read_request(head, &mut room)?;
    let Connection { close, keep_alive, .. } = request.connection;
    let mut sent = Vec::with_capacity(head.len() + 256);
    rewrite(&request, peer, &mut sent);
    let app = table.find(request.host, request.target).cloned();
    let fields = request.fields.iter().map(|field| (field.name, field.value));
    let meant = app.as_ref().and_then(|app| app.rules.choose(&fields));
    Ok(Call {
        app,
        meant,
        head: sent,
        body: request.body,
        claimed: 0,
        asks: Asks {
            head_only: request.method == "HEAD",
            idempotent: replay::idempotent(request.method) || request.keyed,
            old_client: request.minor == 0,
            keep: !close && (request.minor > 0 || keep_alive),
            expects: request.expects,
            upgrade: request.upgrade,
        },
    })
}

/// Writes the head as the instance shall see it: hop-by-hop fields removed, framing said anew, and
/// who asked.
fn rewrite(request: &RequestHead<'_, '_>, peer: IpAddr, out: &mut Vec<u8>) {
    for part in [request.method, " ", request.target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    line(out, "host", &[request.host.as_bytes()]);
    let mut id = None;
    let mut ids = 0;
    for field in request.fields {
        match classify(field.name) {
            Field::Upgrade if request.upgrade => line(out, field.name, &[field.value]),
            Field::RequestId => {
                ids += 1;
                id = Some(field.value).filter(|value| sane(value));
            }
            Field::Expect if request.expects => line(out, field.name, &[field.value]),
            Field::IdempotencyKey => line(out, field.name, &[field.value]),
            Field::Other | Field::Stamp if !request.connection.drops(field.name) => {
                line(out, field.name, &[field.value]);
            }
            _ => {}
        }
    }
    match request.body {
        Body::Chunked(_) => line(out, "transfer-encoding", &[b"chunked"]),
        Body::Length(length) if length > 0 || announces_nothing(request) => {
            line(out, "content-length", &[itoa::Buffer::new().format(length).as_bytes()]);
        }
        _ => {}
    }
    if request.upgrade {
        line(out, "connection", &[b"Upgrade"]);
    }
    forwarded(request, peer, out);
    if let Some(id) = id.filter(|_| ids == 1) {
        line(out, "x-request-id", &[id]);
    } else {
        let made = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        line(out, "x-request-id", &[made.as_bytes()]);
    }
    out.extend_from_slice(b"\r\n");
}

/// True when an empty body was announced as such (`Content-Length: 0`).
fn announces_nothing(request: &RequestHead<'_, '_>) -> bool {
    request.fields.iter().any(|field| classify(field.name) == Field::ContentLength)
}

fn forwarded(request: &RequestHead<'_, '_>, peer: IpAddr, out: &mut Vec<u8>) {
    out.extend_from_slice(b"x-forwarded-for: ");
    for field in request.fields.iter().filter(|field| classify(field.name) == Field::ForwardedFor) {
        out.extend_from_slice(field.value);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(peer.to_canonical().to_string().as_bytes());
    out.extend_from_slice(b"\r\nx-forwarded-proto: http\r\n");
    if !request.host.is_empty() {
        line(out, "x-forwarded-host", &[request.host.as_bytes()]);
    }
}

/// A request id that can go into any log as it is.
fn sane(id: &[u8]) -> bool {
    (1..=128).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._:+/=".contains(byte))
}

/// Writes one field.
pub(crate) fn line(out: &mut Vec<u8>, name: &str, value: &[&[u8]]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    for part in value {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::prepare;
    use crate::table::Table;

    fn sent(head: &str) -> String {
        let table = Table::default();
        let call = prepare(head.as_bytes(), "10.0.0.9".parse().unwrap(), &table).unwrap();
        String::from_utf8(call.head).unwrap()
    }

    #[test]
    fn hop_by_hop_fields_stay_behind_and_the_client_is_named() {
        let sent = sent(
            "GET http://a.test:8080/x?y HTTP/1.1\r\nHost: other\r\nConnection: close, x-mine, Cookie\r\n\
             X-Mine: 1\r\nCookie: c\r\nTE: trailers\r\nKeep-Alive: 5\r\nProxy-Authorization: p\r\n\
             Upgrade: foo\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\
             X-Request-Id: abc-1\r\n\r\n",
        );
        assert_eq!(
            sent,
            "GET /x?y HTTP/1.1\r\nhost: a.test:8080\r\nCookie: c\r\n\
             x-forwarded-for: 1.2.3.4, 10.0.0.9\r\nx-forwarded-proto: http\r\n\
             x-forwarded-host: a.test:8080\r\nx-request-id: abc-1\r\n\r\n"
        );
    }

    #[test]
    fn a_request_id_that_is_odd_or_doubled_is_replaced() {
        for ids in ["X-Request-Id: a b\r\n", "X-Request-Id: a\r\nX-Request-Id: b\r\n", ""] {
            let sent = sent(&format!("GET / HTTP/1.1\r\nHost: a\r\n{ids}\r\n"));
            let id = sent.split("x-request-id: ").nth(1).unwrap().trim_end();
            assert_eq!(id.len(), 32, "{sent}");
        }
    }

    #[test]
    fn an_upgrade_keeps_its_fields_except_to_h2c() {
        let head = |protocol: &str| {
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
            )
        };
        let websocket = sent(&head("websocket"));
        assert!(websocket.contains("Upgrade: websocket\r\nconnection: Upgrade\r\n"), "{websocket}");
        assert!(!sent(&head("h2c")).to_lowercase().contains("upgrade"));
    }
}
