//! The head of a request, read strictly.
//!
//! It says what the request is and where its body ends. Where the request goes and what is said to
//! the instance is not decided here.

use std::net::Ipv6Addr;

use httparse::{Header, Status};

use super::fields::{Connection, Field, announced, classify, text};
use super::{Body, Refusal};
use crate::limits;

/// A request head that was found correct.
#[derive(Debug)]
pub(crate) struct RequestHead<'h, 'b> {
    /// Method, as sent.
    pub(crate) method: &'b str,
    /// Target in origin form (or `*`), to be sent on.
    pub(crate) target: &'b str,
    /// Host and port as sent; empty for an HTTP/1.0 request without one.
    pub(crate) host: &'b str,
    /// Minor version, 0 or 1.
    pub(crate) minor: u8,
    /// What its `Connection` fields say.
    pub(crate) connection: Connection<'b>,
    /// Asks for another protocol, which we will pass on.
    pub(crate) upgrade: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(crate) expects: bool,
    /// It carries an `Idempotency-Key`.
    pub(crate) keyed: bool,
    /// Its body.
    pub(crate) body: Body,
    /// All fields.
    pub(crate) fields: &'h [Header<'b>],
}

/// Reads a whole head (as [`super::HeadScan`] delimits it).
pub(crate) fn read_request<'h, 'b>(
    head: &'b [u8],
    room: &'h mut [Header<'b>; limits::FIELDS],
) -> Result<RequestHead<'h, 'b>, Refusal> {
    let mut request = httparse::Request::new(room);
    match request.parse(head) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Refusal::bad("malformed head")),
        Err(error) => return Err(Refusal::of(error)),
    }
    let (method, target) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
    let (minor, fields) = (request.version.unwrap_or(0), &*request.headers);
    let mut read = Seen::default();
    for field in fields {
        read.field(field)?;
    }
    let (authority, target) = split_target(method, target)?;
    let host = match (authority, read.host) {
        (_, None) if minor > 0 => return Err(Refusal::bad("no Host field")),
        (Some(authority), _) => authority,
        (None, host) => host.unwrap_or(""),
    };
    if !host.is_empty() || minor > 0 {
        check_host(host)?;
    }
    let body = Body::of_request(announced(fields, minor)?);
    if read.unknown_expectation && minor > 0 {
        return Err(Refusal::with(417, "an expectation other than `100-continue`"));
    }
    Ok(RequestHead {
        method,
        target,
        host,
        minor,
        upgrade: read.connection.upgrade && read.upgrade == Some(true) && minor > 0 && body.done(),
        connection: read.connection,
        expects: read.expects && minor > 0 && !body.done(),
        keyed: read.keyed,
        body,
        fields,
    })
}

/// What the fields say, gathered in one pass.
#[derive(Default)]
struct Seen<'b> {
    host: Option<&'b str>,
    connection: Connection<'b>,
    upgrade: Option<bool>,
    expects: bool,
    unknown_expectation: bool,
    keyed: bool,
}

impl<'b> Seen<'b> {
    fn field(&mut self, field: &Header<'b>) -> Result<(), Refusal> {
        match classify(field.name) {
            Field::Host => {
                let host = text(field.value).ok_or(Refusal::bad("malformed Host field"))?;
                if self.host.replace(host).is_some() {
                    return Err(Refusal::bad("more than one Host field"));
                }
            }
            Field::Connection => self.connection.add(field.value)?,
            // Every one of them must be harmless, since all are passed on.
            Field::Upgrade => {
                let harmless = text(field.value).is_some_and(no_requests_within);
                self.upgrade = Some(self.upgrade.unwrap_or(true) && harmless);
            }
            Field::Expect if field.value.eq_ignore_ascii_case(b"100-continue") => {
                self.expects = true;
            }
            Field::Expect => self.unknown_expectation = true,
            Field::IdempotencyKey => self.keyed = true,
            _ => {}
        }
        Ok(())
    }
}

/// A list of protocols (RFC 9110 section 7.8), none of which would let a tunnel carry requests that no
/// rule of ours has seen.
fn no_requests_within(protocols: &str) -> bool {
    let harmless = |protocol: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&byte);
        let name = protocol.split('/').next().unwrap_or("");
        let carries =
            ["h2c", "h2", "http", "tls"].iter().any(|other| name.eq_ignore_ascii_case(other));
        !protocol.is_empty() && protocol.bytes().all(plain) && !carries
    };
    protocols.split(',').map(str::trim).all(harmless)
}

/// Splits a target into the authority it names, if it does, and its origin form.
fn split_target<'b>(method: &str, target: &'b str) -> Result<(Option<&'b str>, &'b str), Refusal> {
    if method == "CONNECT" {
        return Err(Refusal::with(405, "CONNECT is not served here"));
    }
    if target.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') {
        return Err(Refusal::bad("malformed request target"));
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((None, target));
    }
    let scheme = target.get(..7).filter(|start| start.eq_ignore_ascii_case("http://"));
    let Some(rest) = scheme.and_then(|_| target.get(7..)) else {
        return Err(Refusal::bad("malformed request target"));
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match path.as_bytes().first() {
        None => Ok((Some(authority), "/")),
        Some(b'/') => Ok((Some(authority), path)),
        Some(_) => Err(Refusal::bad("a request target without a path")),
    }
}

/// A host name or address with an optional port (RFC 3986 section 3.2.2).
fn check_host(host: &str) -> Result<(), Refusal> {
    let bad = Err(Refusal::bad("malformed host"));
    let (fits, port) = match host.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((address, port))) => (address.parse::<Ipv6Addr>().is_ok(), port),
        Some(None) => return bad,
        None => {
            let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
            (registered_name(name.as_bytes()), port)
        }
    };
    let digits = if port.is_empty() { port } else { port.strip_prefix(':').unwrap_or("x") };
    if !fits || digits.len() > 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return bad;
    }
    Ok(())
}

/// No comma: whoever joins lists would read two names.
fn registered_name(name: &[u8]) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&byte);
    let escaped = |at: usize| {
        name.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    };
    let fits = |(at, byte): (usize, &u8)| plain(*byte) && (*byte != b'%' || escaped(at));
    !name.is_empty() && name.iter().enumerate().all(fits)
}
