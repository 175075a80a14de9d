//! Who asked, as instances are told: the rules for `X-Forwarded-*`, `Forwarded` and request ids.
//!
//! | field | its sender is not trusted (the default) | its sender is trusted |
//! |---|---|---|
//! | `X-Forwarded-For` | the sender's address alone | what it said, then its address |
//! | `X-Forwarded-Proto` | `https` over TLS, else `http` | what it said if that is one of the two, else as left |
//! | `X-Forwarded-Host` | the request's host | what it said if that is one value, else as left |
//! | `Forwarded` (RFC 7239) | our own element alone | what it said, then our own element |
//! | other `X-Forwarded-*`, `X-Real-IP` | dropped | passed on |
//! | any of them spelt with `_` | dropped | dropped |
//! | `X-Request-Id` | kept if there is one and it is plain, else made | the same |
//!
//! Trusted are senders of the networks in `model::admin::Settings`. Spellings with `_` are dropped
//! because interfaces like CGI cannot tell them from the real ones. The answer carries the request's
//! id back, whatever the instance says. Nothing here decides where a request goes.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use crate::age::Age;
use crate::class::Class;
use crate::framing::{Field, RequestHead, classify};
use crate::lines::line;

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// The sender.
    pub(crate) peer: IpAddr,
    /// It came over TLS.
    pub(crate) secure: bool,
    /// Why its connection is one too many, if it is: then it is answered, and that is all.
    pub(crate) over: Option<Class>,
    /// How old its connection is.
    pub(crate) age: Age,
}

/// The client that a request comes from in the end: its sender, and while that is `trusted` whoever it
/// names last in `X-Forwarded-For`. What is no address there ends the search.
pub(crate) fn client(
    request: &RequestHead<'_, '_>,
    origin: Origin,
    trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut client = origin.peer.to_canonical();
    if !trusted(client) {
        return client;
    }
    let lines = request.fields.iter().rev();
    let own = lines.filter(|field| field.name.eq_ignore_ascii_case("x-forwarded-for"));
    for named in own.flat_map(|field| field.value.rsplit(|byte| *byte == b',')) {
        let Some(address) = address(named.trim_ascii()) else { break };
        client = address.to_canonical();
        if !trusted(client) {
            break;
        }
    }
    client
}

/// An address, also with a port or between brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let alone = bare.unwrap_or(text).parse();
    alone.ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

/// True when the client speaks TLS, with us or with a sender that is trusted.
pub(crate) fn secure(request: &RequestHead<'_, '_>, origin: Origin, trusted: bool) -> bool {
    match Said::by(request, trusted).one("x-forwarded-proto") {
        Some(b"https") => true,
        Some(b"http") => false,
        _ => origin.secure,
    }
}

/// Writes all of these fields; gives the place of the request's id in `out`.
pub(crate) fn write(
    request: &RequestHead<'_, '_>,
    origin: Origin,
    trusted: bool,
    out: &mut Vec<u8>,
) -> Range<usize> {
    let said = Said::by(request, trusted);
    let peer = origin.peer.to_canonical();
    let proto: &[u8] = if origin.secure { b"https" } else { b"http" };
    let address = peer.to_string();
    list(out, "x-forwarded-for", said.all("x-forwarded-for"), &[address.as_bytes()]);
    let is_proto = |value: &&[u8]| [&b"http"[..], b"https"].contains(value);
    line(
        out,
        "x-forwarded-proto",
        &[said.one("x-forwarded-proto").filter(is_proto).unwrap_or(proto)],
    );
    let host = said.one("x-forwarded-host").unwrap_or(request.host.as_bytes());
    if !host.is_empty() {
        line(out, "x-forwarded-host", &[host]);
    }
    let host = request.host.as_bytes();
    let element = element(peer, address.as_bytes(), host, proto);
    list(out, "forwarded", said.all("forwarded"), &element);
    for field in said.others() {
        line(out, field.name, &[field.value]);
    }
    request_id(request, out)
}

/// Our own element of `Forwarded`. A host that was found correct needs no escapes within quotes.
fn element<'a>(peer: IpAddr, address: &'a [u8], host: &'a [u8], proto: &'a [u8]) -> [&'a [u8]; 6] {
    let (before, after): (&[u8], &[u8]) = match (peer.is_ipv6(), host.is_empty()) {
        (false, false) => (b"for=", b";host=\""),
        (false, true) => (b"for=", b""),
        (true, false) => (b"for=\"[", b"]\";host=\""),
        (true, true) => (b"for=\"[", b"]\""),
    };
    let end: &[u8] = if host.is_empty() { b";proto=" } else { b"\";proto=" };
    [before, address, after, host, end, proto]
}

/// Writes what others said and then our own, as one list.
fn list<'b>(out: &mut Vec<u8>, name: &str, others: impl Iterator<Item = &'b [u8]>, own: &[&[u8]]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    for other in others.filter(|other| !other.is_empty()) {
        out.extend_from_slice(other);
        out.extend_from_slice(b", ");
    }
    for part in own {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

/// What a trusted sender said of these fields; nothing of any other.
struct Said<'h, 'b>(&'h [httparse::Header<'b>]);

impl<'h, 'b> Said<'h, 'b> {
    fn by(request: &RequestHead<'h, 'b>, trusted: bool) -> Self {
        Self(if trusted { request.fields } else { &[] })
    }

    /// All values of a field, in order.
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        let fields = self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        fields.map(|field| field.value)
    }

    /// The value of a field that was sent once and is one value.
    fn one(&self, name: &'static str) -> Option<&'b [u8]> {
        let mut all = self.all(name);
        let only = all.next().filter(|value| !value.is_empty() && !value.contains(&b','));
        only.filter(|_| all.next().is_none())
    }

    /// Those we say nothing of ourselves.
    fn others(&self) -> impl Iterator<Item = &'h httparse::Header<'b>> {
        const OWN: [&str; 4] =
            ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"];
        let ours = |name: &str| OWN.iter().any(|own| own.eq_ignore_ascii_case(name));
        self.0.iter().filter(move |field| {
            classify(field.name) == Field::Forwarding
                && !field.name.contains('_')
                && !ours(field.name)
        })
    }
}

/// Writes the request's id, made if need be; gives its place.
fn request_id(request: &RequestHead<'_, '_>, out: &mut Vec<u8>) -> Range<usize> {
    let mut sent = request.fields.iter().filter(|field| classify(field.name) == Field::RequestId);
    let kept = sent.next().filter(|field| !field.name.contains('_') && plain(field.value));
    let start = out.len() + "x-request-id: ".len();
    if let Some(field) = kept.filter(|_| sent.next().is_none()) {
        line(out, "x-request-id", &[field.value]);
    } else {
        line(out, "x-request-id", &[&hexadecimal(fastrand::u128(..))]);
    }
    start..out.len() - 2
}

fn hexadecimal(number: u128) -> [u8; 32] {
    let bytes = number.to_be_bytes();
    let digit = |at: usize| {
        let byte = bytes[at / 2];
        b"0123456789abcdef"[usize::from(if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 })]
    };
    std::array::from_fn(digit)
}

/// A request id that can go into any log as it is.
fn plain(id: &[u8]) -> bool {
    (1..=128).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._:+/=".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::{Origin, client, secure, write};
    use crate::age::Age;
    use crate::framing::read_request;
    use crate::limits;

    fn told(fields: &str, peer: &str, (secure, trusted): (bool, bool)) -> (String, String) {
        let head = format!("GET / HTTP/1.1\r\nHost: a.test:81\r\n{fields}\r\n");
        let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
        let request = read_request(head.as_bytes(), &mut room).unwrap();
        let mut out = Vec::new();
        let origin = Origin { peer: peer.parse().unwrap(), secure, over: None, age: Age::begins() };
        let id = write(&request, origin, trusted, &mut out);
        let id = String::from_utf8(out[id].to_vec()).unwrap();
        (String::from_utf8(out).unwrap(), id)
    }

    #[test]
    fn the_client_is_the_last_that_is_named_by_senders_who_are_trusted() {
        for (peer, fields, wanted) in [
            ("9.9.9.9", "X-Forwarded-For: 1.2.3.4\r\n", "9.9.9.9"),
            ("10.0.0.9", "", "10.0.0.9"),
            ("::ffff:10.0.0.9", "X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\n", "5.6.7.8"),
            ("10.0.0.9", "X-Forwarded-For: 1.2.3.4\r\nX-FORWARDED-FOR:10.0.0.1\r\n", "1.2.3.4"),
            ("10.0.0.9", "X-Forwarded-For: 1.2.3.4, junk\r\n", "10.0.0.9"),
            ("10.0.0.9", "X-Forwarded-For: junk,10.1.1.1\r\n", "10.1.1.1"),
            ("10.0.0.9", "X-Forwarded-For: [fd00::1]:80,1.1.1.1:5\r\n", "1.1.1.1"),
            ("10.0.0.9", "X-Forwarded-For: [fd00::1]\r\n", "fd00::1"),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
            let request = read_request(head.as_bytes(), &mut room).unwrap();
            let origin = Origin {
                peer: peer.parse().unwrap(),
                secure: false,
                over: None,
                age: Age::begins(),
            };
            let trusted: model::Network = "10.0.0.0/8".parse().unwrap();
            let found = client(&request, origin, |address| trusted.contains(address));
            assert_eq!(found.to_string(), wanted, "{peer} {fields}");
        }
    }

    #[test]
    fn tls_is_what_we_see_or_what_a_trusted_sender_saw() {
        for (proto, ours, trusted, wanted) in [
            ("", true, false, true),
            ("X-Forwarded-Proto: https\r\n", false, false, false),
            ("X-Forwarded-Proto: https\r\n", false, true, true),
            ("X-Forwarded-Proto: http\r\n", true, true, false),
            ("X-Forwarded-Proto: gopher\r\n", true, true, true),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{proto}\r\n");
            let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
            let request = read_request(head.as_bytes(), &mut room).unwrap();
            let origin = Origin {
                peer: "10.0.0.9".parse().unwrap(),
                secure: ours,
                over: None,
                age: Age::begins(),
            };
            assert_eq!(secure(&request, origin, trusted), wanted, "{proto} {ours} {trusted}");
        }
    }

    const CLAIMS: &str = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n\
        X-Forwarded-Proto: https\r\nX-Forwarded-Host: real.test\r\nForwarded: for=1.2.3.4\r\n\
        X-Real-IP: 1.2.3.4\r\nX-Forwarded-User: admin\r\nX_Forwarded_User: root\r\n\
        X-Request-Id: abc-1\r\n";

    #[test]
    fn what_an_untrusted_client_says_is_replaced() {
        let (out, id) = told(CLAIMS, "::ffff:10.0.0.9", (false, false));
        assert_eq!(
            out,
            "x-forwarded-for: 10.0.0.9\r\nx-forwarded-proto: http\r\n\
             x-forwarded-host: a.test:81\r\n\
             forwarded: for=10.0.0.9;host=\"a.test:81\";proto=http\r\nx-request-id: abc-1\r\n"
        );
        assert_eq!(id, "abc-1");
    }

    #[test]
    fn what_a_trusted_one_says_is_appended_to() {
        let (out, _) = told(CLAIMS, "fd00::9", (true, true));
        assert_eq!(
            out,
            "x-forwarded-for: 1.2.3.4, 5.6.7.8, fd00::9\r\nx-forwarded-proto: https\r\n\
             x-forwarded-host: real.test\r\n\
             forwarded: for=1.2.3.4, for=\"[fd00::9]\";host=\"a.test:81\";proto=https\r\n\
             X-Real-IP: 1.2.3.4\r\nX-Forwarded-User: admin\r\nx-request-id: abc-1\r\n"
        );
        let odd = "X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a, b\r\nX-Forwarded-For:\r\n";
        let (out, _) = told(odd, "10.0.0.9", (true, true));
        assert!(out.starts_with(
            "x-forwarded-for: 10.0.0.9\r\nx-forwarded-proto: https\r\nx-forwarded-host: a.test:81\r\n"
        ));
    }

    #[test]
    fn a_request_id_that_is_odd_or_doubled_is_replaced() {
        let long = format!("X-Request-Id: {}\r\n", "a".repeat(129));
        for ids in ["X-Request-Id: a b\r\n", "X-Request-Id: a\r\nX-Request-Id: b\r\n", "", &long] {
            let (out, id) = told(ids, "10.0.0.9", (false, false));
            assert_eq!(id.len(), 32, "{out}");
            assert!(out.ends_with(&format!("x-request-id: {id}\r\n")));
        }
    }
}
