//! What the fields of a head mean for framing and forwarding.
//!
//! It names fields and reads the three that decide boundaries or the life of a connection. It does
//! not decide what is forwarded.

use httparse::Header;

use super::Refusal;

/// A field the proxy treats in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// `Host`.
    Host,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Connection`.
    Connection,
    /// `Upgrade`: passed on only when upgrading.
    Upgrade,
    /// `Keep-Alive`, `TE` and `Proxy-*` (RFC 9110 section 7.6.1), and lengths spelt with `_`: never
    /// passed on.
    HopByHop,
    /// `Expect`.
    Expect,
    /// `Idempotency-Key`.
    IdempotencyKey,
    /// `X-Forwarded-*`, `Forwarded`, `X-Real-IP`, also with `_` for `-`.
    Forwarding,
    /// `X-Request-Id`, also with `_` for `-`.
    RequestId,
    /// `x-cutover-version` and `x-cutover-instance`: the proxy's own to say.
    Stamp,
    /// Anything else.
    Other,
}

/// Names a field, without regard to case.
pub(crate) fn classify(name: &str) -> Field {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    // Interfaces like CGI make one of both spellings.
    let alike = |other: &str| {
        name.len() >= other.len()
            && name.bytes().zip(other.bytes()).all(|(one, other)| {
                one.eq_ignore_ascii_case(&other) || (one == b'_' && other == b'-')
            })
    };
    match name.len() {
        2 if is("te") => Field::HopByHop,
        4 if is("host") => Field::Host,
        // Under CGI it would become HTTP_PROXY, which many clients take for their proxy (httpoxy).
        5 if is("proxy") => Field::HopByHop,
        6 if is("expect") => Field::Expect,
        7 if is("upgrade") => Field::Upgrade,
        10 if is("connection") => Field::Connection,
        10 if is("keep-alive") => Field::HopByHop,
        9 if is("forwarded") || alike("x-real-ip") => Field::Forwarding,
        12 if alike("x-request-id") => Field::RequestId,
        14 if is("content-length") => Field::ContentLength,
        // They would become the real ones there, and nobody here has heeded them.
        14 if alike("content-length") => Field::HopByHop,
        15 if is("idempotency-key") => Field::IdempotencyKey,
        17 if is("transfer-encoding") => Field::TransferEncoding,
        17 if alike("transfer-encoding") => Field::HopByHop,
        17 if is("x-cutover-version") => Field::Stamp,
        18 if is("x-cutover-instance") => Field::Stamp,
        _ if name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("proxy-")) => {
            Field::HopByHop
        }
        _ if alike("x-forwarded-") => Field::Forwarding,
        _ => Field::Other,
    }
}

/// Most further fields that `Connection` may name.
const NAMED: usize = 8;

/// What the `Connection` fields of a head say, together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Connection<'b> {
    /// `close` was there.
    pub(crate) close: bool,
    /// `keep-alive` was there.
    pub(crate) keep_alive: bool,
    /// `upgrade` was there.
    pub(crate) upgrade: bool,
    named: [&'b str; NAMED],
    count: usize,
}

impl<'b> Connection<'b> {
    /// Adds the value of one more `Connection` field.
    pub(crate) fn add(&mut self, value: &'b [u8]) -> Result<(), Refusal> {
        let text = text(value).ok_or(Refusal::bad("malformed Connection field"))?;
        for token in text.split(',').map(str::trim).filter(|token| !token.is_empty()) {
            if token.eq_ignore_ascii_case("close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case("keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case("upgrade") {
                self.upgrade = true;
            } else {
                let Some(place) = self.named.get_mut(self.count) else {
                    return Err(Refusal::bad("Connection names too many fields"));
                };
                *place = token;
                self.count += 1;
            }
        }
        Ok(())
    }

    /// True for a field that `Connection` names and that is therefore not passed on. Only fields
    /// without a meaning of their own can be named away: a client must not be able to strip what
    /// another proxy or we ourselves say of it.
    pub(crate) fn drops(&self, name: &str) -> bool {
        self.named[..self.count].iter().any(|named| named.eq_ignore_ascii_case(name))
            && !KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(name))
    }
}

/// End-to-end fields that `Connection` cannot remove.
const KEPT: [&str; 4] = ["authorization", "cookie", "cache-control", "idempotency-key"];

/// Length that the fields announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// Neither length nor coding.
    Nothing,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Reads both length fields, strictly: no repetition, no combination, no coding but `chunked`.
pub(crate) fn announced(fields: &[Header<'_>], minor: u8) -> Result<Announced, Refusal> {
    let mut seen = Announced::Nothing;
    for field in fields {
        let next = match classify(field.name) {
            Field::ContentLength => Announced::Length(length(field.value)?),
            Field::TransferEncoding if minor == 0 => {
                return Err(Refusal::bad("Transfer-Encoding in an HTTP/1.0 message"));
            }
            Field::TransferEncoding if field.value.eq_ignore_ascii_case(b"chunked") => {
                Announced::Chunked
            }
            Field::TransferEncoding => {
                return Err(Refusal::bad("a Transfer-Encoding other than `chunked`"));
            }
            _ => continue,
        };
        if seen != Announced::Nothing {
            return Err(Refusal::bad("more than one length"));
        }
        seen = next;
    }
    Ok(seen)
}

/// Digits only, and not more of them than a length can have.
fn length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    text(value)
        .filter(|_| digits)
        .and_then(|text| text.parse().ok())
        .ok_or(Refusal::bad("malformed Content-Length"))
}

/// A value as text, if it is ASCII.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    value.is_ascii().then(|| std::str::from_utf8(value).ok()).flatten()
}
