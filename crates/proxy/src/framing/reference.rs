//! A second reading of HTTP/1.1 requests, slow and plain, to compare the real one with.
//!
//! Written from the grammar of RFC 9112 and RFC 9110, rule by rule, on a whole string of bytes, and
//! without a line of what it is compared with. Where the RFCs leave a choice between repairing and
//! refusing it refuses, as the proxy does; those places say "choice".

use std::net::Ipv6Addr;

use crate::limits;

/// How a string of bytes reads as messages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Lengths of head and body of each whole message.
    pub(super) messages: Vec<(usize, usize)>,
    /// What stands behind them.
    pub(super) end: End,
}

/// What stands behind the last whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The beginning of a message (or nothing), which may go on in any way.
    Open,
    /// What cannot become a message any more.
    Wrong,
}

/// Why a piece of grammar does not apply.
enum No {
    /// More bytes could make it apply.
    Yet,
    /// Nothing could.
    Ever,
}

type Maybe<T> = Result<T, No>;

pub(super) fn read(bytes: &[u8]) -> Reading {
    let mut messages = Vec::new();
    let mut rest = bytes;
    let end = loop {
        match message(rest) {
            Ok((head, body)) => {
                messages.push((head, body));
                rest = &rest[head + body..];
            }
            Err(No::Yet) => break End::Open,
            Err(No::Ever) => break End::Wrong,
        }
    };
    Reading { messages, end }
}

/// HTTP-message = start-line CRLF *( field-line CRLF ) CRLF [ message-body ]
fn message(bytes: &[u8]) -> Maybe<(usize, usize)> {
    // Section 2.2: at least one empty line before the request line SHOULD be ignored. Choice: one.
    let skipped = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let mut at = skipped;
    let mut lines = Vec::new();
    loop {
        let line = line(&bytes[at..])?;
        at += line.len() + 2;
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let (start, fields) = lines.split_first().ok_or(No::Ever)?;
    let body = head(start, fields).map_err(|()| No::Ever)?;
    let length = match body {
        Extent::Length(length) => {
            let length = usize::try_from(length).map_err(|_| No::Yet)?;
            if bytes.len() - at < length {
                return Err(No::Yet);
            }
            length
        }
        Extent::Chunked => chunked(&bytes[at..])?,
    };
    Ok((at, length))
}

/// A line without its CRLF. Choice (section 2.2): bare CR and bare LF are errors.
fn line(bytes: &[u8]) -> Maybe<&[u8]> {
    let feed = bytes.iter().position(|byte| *byte == b'\n').ok_or(No::Yet)?;
    let line = bytes[..feed].strip_suffix(b"\r").ok_or(No::Ever)?;
    if line.contains(&b'\r') { Err(No::Ever) } else { Ok(line) }
}

enum Extent {
    Length(u64),
    Chunked,
}

fn head(start: &[u8], lines: &[&[u8]]) -> Result<Extent, ()> {
    let (method, target, minor) = request_line(start)?;
    let fields = lines.iter().map(|line| field_line(line)).collect::<Result<Vec<_>, ()>>()?;
    let all = |name: &str| {
        let named = fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| *value).collect::<Vec<_>>()
    };
    must(fields.len() <= limits::FIELDS)?;
    let authority = authority_of(method, target)?;
    // Section 3.2: exactly one Host in HTTP/1.1; RFC 9110 section 7.2: with a valid value.
    let hosts = all("host");
    must(hosts.len() <= 1 && (minor == 0 || hosts.len() == 1))?;
    let said = authority.or(hosts.first().copied());
    // Choice: HTTP/1.0 without a host is served.
    must(said.is_none_or(|said| (minor == 0 && said.is_empty()) || host(said)))?;
    must(hosts.iter().all(|host| host.is_ascii()))?;
    connection(&all("connection"))?;
    // RFC 9110 section 10.1.1: other expectations get 417.
    let known = |value: &&[u8]| value.eq_ignore_ascii_case(b"100-continue");
    must(minor == 0 || all("expect").iter().all(known))?;
    // Section 6.3, rules 3 to 7; choice: repeated or combined lengths are never repaired.
    match (&all("transfer-encoding")[..], &all("content-length")[..]) {
        ([], []) => Ok(Extent::Length(0)),
        ([], [length]) => content_length(length),
        ([coding], []) if minor == 1 && coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Extent::Chunked)
        }
        _ => Err(()),
    }
}

fn must(so: bool) -> Result<(), ()> {
    if so { Ok(()) } else { Err(()) }
}

/// request-line = method SP request-target SP HTTP-version
fn request_line(line: &[u8]) -> Result<(&[u8], &[u8], u8), ()> {
    // Choice (section 3): nothing but single spaces is taken for SP.
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else { return Err(()) };
    must(token(method))?;
    match version {
        b"HTTP/1.0" => Ok((method, target, 0)),
        b"HTTP/1.1" => Ok((method, target, 1)),
        _ => Err(()),
    }
}

/// The authority of a target in absolute form (section 3.2). CONNECT is not served.
fn authority_of<'b>(method: &[u8], target: &'b [u8]) -> Result<Option<&'b [u8]>, ()> {
    // Choice: any visible character but `#` passes, the instance judges the rest.
    let visible = target.iter().all(|byte| (0x21..=0x7e).contains(byte) && *byte != b'#');
    must(visible && method != b"CONNECT")?;
    if target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS") {
        return Ok(None);
    }
    must(target.len() > 7 && target[..7].eq_ignore_ascii_case(b"http://"))?;
    let rest = &target[7..];
    let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    // Choice: a query needs a path.
    must(rest.get(end) != Some(&b'?'))?;
    Ok(Some(&rest[..end]))
}

/// field-line = field-name ":" OWS field-value OWS
fn field_line(line: &[u8]) -> Result<(&[u8], &[u8]), ()> {
    // A line that begins with a blank is obs-fold (section 5.2): no token, so it is refused here.
    let colon = line.iter().position(|byte| *byte == b':').ok_or(())?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let ows = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let from = value.iter().position(|byte| !ows(byte)).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !ows(byte)).map_or(from, |at| at + 1);
    let value = &value[from..to];
    let content = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..=0xff);
    must(token(name) && value.iter().all(content))?;
    Ok((name, value))
}

/// token = 1*tchar
fn token(text: &[u8]) -> bool {
    let tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(tchar)
}

/// Content-Length = 1*DIGIT; choice: at most 18 of them.
fn content_length(value: &[u8]) -> Result<Extent, ()> {
    must((1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit))?;
    let sum = value.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Ok(Extent::Length(sum))
}

/// Choice: ASCII, and at most eight names beside the three that mean something.
fn connection(values: &[&[u8]]) -> Result<(), ()> {
    let mut named = 0;
    for value in values {
        must(value.is_ascii())?;
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let known = [&b"close"[..], b"keep-alive", b"upgrade"];
            let counts = !known.iter().any(|known| option.eq_ignore_ascii_case(known));
            named += usize::from(counts && !option.is_empty());
        }
    }
    must(named <= 8)
}

/// Host = uri-host [ ":" port ] (RFC 3986 section 3.2.2); choice: not empty, at most five digits.
fn host(text: &[u8]) -> bool {
    let (name, port) = if text.starts_with(b"[") {
        let Some(end) = text.iter().position(|byte| *byte == b']') else { return false };
        let inside = std::str::from_utf8(&text[1..end]).unwrap_or("");
        // Choice: IPvFuture has never come.
        if inside.parse::<Ipv6Addr>().is_err() {
            return false;
        }
        (None, &text[end + 1..])
    } else {
        let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
        (Some(&text[..end]), &text[end..])
    };
    let digits = match port.split_first() {
        None => port,
        Some((b':', digits)) => digits,
        Some(_) => return false,
    };
    name.is_none_or(reg_name) && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit)
}

/// reg-name = *( unreserved / pct-encoded / sub-delims ); choice: no comma.
fn reg_name(mut name: &[u8]) -> bool {
    if name.is_empty() {
        return false;
    }
    while let Some((first, rest)) = name.split_first() {
        name = match (first, rest) {
            (b'%', [high, low, rest @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                rest
            }
            (b'%', _) => return false,
            (byte, rest) if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(byte) => {
                rest
            }
            _ => return false,
        };
    }
    true
}

/// chunked-body = *chunk last-chunk trailer-section CRLF
fn chunked(bytes: &[u8]) -> Maybe<usize> {
    let mut at = 0;
    loop {
        let line = limited(&bytes[at..], limits::CHUNK_LINE)?;
        at += line.len() + 2;
        let size = chunk_size(line).map_err(|()| No::Ever)?;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).map_err(|_| No::Yet)?;
        let behind = bytes.get(at..).and_then(|rest| rest.get(size..)).ok_or(No::Yet)?;
        match behind {
            [] | [b'\r'] => return Err(No::Yet),
            [b'\r', b'\n', ..] => at += size + 2,
            _ => return Err(No::Ever),
        }
    }
    let trailers = at;
    loop {
        let line = limited(&bytes[at..], limits::TRAILER_LINE)?;
        at += line.len() + 2;
        if at - trailers > limits::TRAILERS {
            return Err(No::Ever);
        }
        if line.is_empty() {
            return Ok(at);
        }
        trailer(line).map_err(|()| No::Ever)?;
    }
}

/// A line that must end within so many bytes.
fn limited(bytes: &[u8], most: usize) -> Maybe<&[u8]> {
    match line(&bytes[..bytes.len().min(most)]) {
        Err(No::Yet) if bytes.len() >= most => Err(No::Ever),
        other => other,
    }
}

/// chunk = chunk-size [ chunk-ext ] CRLF ...; choice: at most 15 digits, and in extensions visible
/// characters only, which nobody reads.
fn chunk_size(line: &[u8]) -> Result<u64, ()> {
    let end = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
    let (size, extension) = line.split_at(end);
    must((1..=15).contains(&size.len()) && size.iter().all(u8::is_ascii_hexdigit))?;
    must(extension.iter().all(|byte| (0x21..=0x7e).contains(byte)))?;
    let digit = |byte: &u8| u64::from(char::from(*byte).to_digit(16).unwrap_or(0));
    Ok(size.iter().fold(0, |sum, byte| sum * 16 + digit(byte)))
}

/// Section 6.5.1: no field that is needed for framing, routing, or that is of the connection.
fn trailer(line: &[u8]) -> Result<(), ()> {
    let (name, _) = field_line(line)?;
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let forbidden = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "keep-alive",
        "te",
        "expect",
        "idempotency-key",
        "x-cutover-version",
        "x-cutover-instance",
        "forwarded",
    ];
    // Interfaces like CGI take `_` for `-`.
    let alike = name.replace('_', "-");
    must(
        !forbidden.contains(&name.as_str())
            && name != "proxy"
            && !name.starts_with("proxy-")
            && !alike.starts_with("x-forwarded-")
            && !["x-real-ip", "x-request-id", "content-length", "transfer-encoding"]
                .contains(&alike.as_str()),
    )
}
