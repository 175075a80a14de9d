//! Where traffic comes in: listening addresses, host names, paths.
//!
//! Checks what is written; whether a port is free the judge says, or it is found when it is bound. That no
//! two apps claim the same host and path is seen to in `claim`.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use model::Network;

use super::Judge;
use super::diagnostic::Diagnostic;
use super::field::Field;
use super::reader::Reader;
use super::section::Section;

const TWICE: &str = "remove one of the two";
/// Host names of RFC 1035 are no longer.
const HOST_MAX: usize = 253;

/// Addresses with their places; nowhere for the default.
type Taken = Vec<(SocketAddr, Range<usize>)>;

/// The addresses in `listen` and in `tls_listen` of somebody else's router; no two of them overlap.
pub(crate) fn of_router(
    router: &Section<'_>,
    reader: &mut Reader,
) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    let mut taken = entrances(router, reader);
    let secure = over_tls(router, &mut taken, reader);
    (bare(taken), bare(secure))
}

/// Ranges of addresses.
pub(crate) fn networks(field: Option<&Field<'_>>, reader: &mut Reader) -> Vec<Network> {
    let mut networks = Vec::new();
    for (text, span) in reader.texts(field).unwrap_or_default() {
        match text.parse::<Network>() {
            Ok(network) => networks.push(network),
            Err(fault) => {
                let help = fault.help.unwrap_or_default();
                reader.push(Diagnostic::new(fault.what).at(&span, "").help(help));
            }
        }
    }
    networks
}

/// Where the own proxy listens.
pub(crate) struct Places {
    /// In `listen`.
    pub(crate) plain: Vec<SocketAddr>,
    /// In `tls_listen`.
    pub(crate) secure: Vec<SocketAddr>,
    /// In `metrics`.
    pub(crate) metrics: Option<SocketAddr>,
}

/// The addresses in `listen`, `tls_listen` and `metrics`; no two of them overlap, and the judge has nothing
/// against any.
pub(crate) fn of_proxy(proxy: &Section<'_>, judge: Judge<'_>, reader: &mut Reader) -> Places {
    let mut taken = entrances(proxy, reader);
    let plain = taken.len();
    let secure = over_tls(proxy, &mut taken, reader);
    taken.extend(secure);
    let with_tls = taken.len();
    if let Some(field) = proxy.field("metrics") {
        let span = field.span.clone();
        let text = reader.text(Some(field));
        take(text.map(|text| (text, span)).into_iter().collect(), &mut taken, reader);
    }
    // One that nobody wrote has no place to point at.
    for (address, span) in taken.iter().filter(|(_, span)| !span.is_empty()) {
        must_be_free(*address, span, judge, reader);
    }
    let metrics = taken.split_off(with_tls);
    let secure = taken.split_off(plain);
    must_be_known(&metrics, "metrics", "to ask at, such as \"127.0.0.1:9180\"", reader);
    let metrics = bare(metrics).pop();
    Places { plain: bare(taken), secure: bare(secure), metrics }
}

/// The one address of a field, which the judge must have nothing against.
pub(crate) fn one(field: &Field<'_>, judge: Judge<'_>, reader: &mut Reader) -> Option<SocketAddr> {
    let text = reader.text(Some(field.clone()))?;
    let found = text.parse::<SocketAddr>();
    match &found {
        Ok(address) => must_be_free(*address, &field.span, judge, reader),
        Err(_) => reader.push(not_an_address(text, &field.span)),
    }
    found.ok()
}

fn must_be_free(address: SocketAddr, span: &Range<usize>, judge: Judge<'_>, reader: &mut Reader) {
    if let Err(fault) = (judge.port)(address) {
        let diagnostic = Diagnostic::new(fault.what).at(span, "");
        reader.push(diagnostic.help(fault.help.unwrap_or_default()));
    }
}

fn must_be_known(taken: &Taken, key: &str, which: &str, reader: &mut Reader) {
    for (_, span) in taken.iter().filter(|(address, _)| address.port() == 0) {
        reader.push(
            Diagnostic::new(format!("`{key}` names port 0, and nobody would know where to go"))
                .at(span, "")
                .help(format!("write the port {which}")),
        );
    }
}

fn bare(taken: Taken) -> Vec<SocketAddr> {
    taken.into_iter().map(|(address, _)| address).collect()
}

/// True when the file says that users come to our own proxy over TLS and in no other way.
pub(super) fn over_tls_alone(proxy: &Section<'_>) -> bool {
    let empty = |key| Some(proxy.field(key)?.value.as_array()?.is_empty());
    proxy.name == "proxy" && empty("listen") == Some(true) && empty("tls_listen") == Some(false)
}

/// The addresses in `tls_listen`, none of which is `taken`.
fn over_tls(section: &Section<'_>, taken: &mut Taken, reader: &mut Reader) -> Taken {
    let plain = taken.len();
    let texts = reader.texts(section.field("tls_listen").as_ref()).unwrap_or_default();
    take(texts, taken, reader);
    let secure = taken.split_off(plain);
    must_be_known(&secure, "tls_listen", "that users come to, such as \"0.0.0.0:443\"", reader);
    secure
}

fn entrances(proxy: &Section<'_>, reader: &mut Reader) -> Taken {
    let default = vec![(SocketAddr::from(([127, 0, 0, 1], 8080)), 0..0)];
    let field = proxy.field("listen");
    let Some(texts) = reader.texts(field.as_ref()) else {
        return default;
    };
    if let Some(field) = field.filter(|_| texts.is_empty()) {
        if over_tls_alone(proxy) {
            return Vec::new();
        }
        reader.push(
            Diagnostic::new("`listen` is empty, so nobody could reach the proxy")
                .at(&field.span, "")
                .help("write `listen = [\"127.0.0.1:8080\"]`"),
        );
        return default;
    }
    let mut taken = Vec::new();
    take(texts, &mut taken, reader);
    taken
}

/// Adds addresses; refuses what is none, and what is taken.
fn take(texts: Vec<(&str, Range<usize>)>, taken: &mut Taken, reader: &mut Reader) {
    for (text, span) in texts {
        let Ok(address) = text.parse::<SocketAddr>() else {
            reader.push(not_an_address(text, &span));
            continue;
        };
        match taken.iter().find(|(other, _)| overlap(*other, address)) {
            Some((other, first)) => reader.push(twice(address, &span, *other, first)),
            None => taken.push((address, span)),
        }
    }
}

fn twice(
    address: SocketAddr,
    span: &Range<usize>,
    other: SocketAddr,
    first: &Range<usize>,
) -> Diagnostic {
    let diagnostic = Diagnostic::new(format!("`{address}` is listened on twice")).at(span, "");
    if first.is_empty() {
        let help = format!("`listen` takes `{other}` unless it says otherwise: name another one");
        return diagnostic.help(help);
    }
    diagnostic.also(first, format!("`{other}` already takes it")).help(TWICE)
}

/// True when the second of the two could not be bound.
fn overlap(one: SocketAddr, two: SocketAddr) -> bool {
    let covers = |one: IpAddr, two: IpAddr| {
        one == two || one.is_unspecified() && (one.is_ipv6() || two.is_ipv4())
    };
    one.port() != 0
        && one.port() == two.port()
        && (covers(one.ip(), two.ip()) || covers(two.ip(), one.ip()))
}

fn not_an_address(text: &str, span: &Range<usize>) -> Diagnostic {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let (host, port) = match port.parse::<u16>() {
        Ok(port) => (host, port),
        Err(_) if host.is_empty() => (text, 8080),
        Err(_) => (host, 8080),
    };
    let ip = match host {
        "*" => IpAddr::from([0, 0, 0, 0]),
        other => other.trim_matches(['[', ']']).parse().unwrap_or(IpAddr::from([127, 0, 0, 1])),
    };
    Diagnostic::new(format!("`{text}` is not an address to listen on"))
        .at(span, "needs an IP address and a port")
        .help(format!("write \"{}\"", SocketAddr::new(ip, port)))
}

/// The host names of an app, lower case.
pub(crate) fn hosts(app: &Section<'_>, reader: &mut Reader) -> Vec<String> {
    let texts = reader.texts(app.field("hosts").as_ref()).unwrap_or_default();
    let mut taken: Vec<(String, Range<usize>)> = Vec::new();
    for (text, span) in texts {
        let host = text.to_ascii_lowercase();
        if let Some(help) = objection(&host) {
            let what = format!("`{text}` is not a host name");
            reader.push(Diagnostic::new(what).at(&span, "").help(help));
        } else if let Some((_, first)) = taken.iter().find(|(other, _)| *other == host) {
            let what = format!("`{host}` is in `hosts` twice");
            reader.push(Diagnostic::new(what).at(&span, "").also(first, "first here").help(TWICE));
        } else {
            taken.push((host, span));
        }
    }
    taken.into_iter().map(|(host, _)| host).collect()
}

/// What is wrong with a host name, as the fix.
pub(super) fn objection(host: &str) -> Option<String> {
    let name = host.split_once("://").map_or(host, |(_, rest)| rest);
    let name = name.split('/').next().unwrap_or(name);
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bracketed.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()) && name == host {
        return None;
    }
    let name = name.split(':').next().unwrap_or(name);
    if name == "*" {
        return Some("leave `hosts` out for every host".into());
    }
    let rest = name.strip_prefix("*.").unwrap_or(name);
    if rest.contains('*') {
        let help = "a `*` stands for whole labels in front, as in \"*.shop.example\"";
        return Some(help.into());
    }
    if !name.is_ascii() {
        return Some("write it as browsers send it, in its `xn--` form".into());
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > HOST_MAX || !rest.split('.').all(label) {
        return Some("use letters, digits, `-` and dots, such as \"shop.example\"".into());
    }
    (name != host).then(|| format!("write the name alone: \"{name}\""))
}

/// A path, or the default.
pub(crate) fn path(field: Option<Field<'_>>, default: &str, reader: &mut Reader) -> String {
    let Some(field) = field else {
        return default.to_owned();
    };
    let (key, span) = (field.key, field.span.clone());
    let Some(text) = reader.text(Some(field)) else {
        return default.to_owned();
    };
    if !text.starts_with('/') {
        let rest = text
            .split_once("://")
            .map_or(text, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
        let rest = rest.trim_start_matches('/');
        reader.push(
            Diagnostic::new(format!("`{key} = \"{text}\"` does not start with `/`"))
                .at(&span, "")
                .help(format!("write `{key} = \"/{rest}\"`")),
        );
    } else if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('#') {
        reader.push(
            Diagnostic::new(format!("`{key}` holds a character that cannot be in a request"))
                .at(&span, "")
                .help("write it percent-encoded: a blank is `%20`"),
        );
    } else if key == "path_prefix" && text.contains('?') {
        reader.push(
            Diagnostic::new("`path_prefix` holds a query, and only paths are matched")
                .at(&span, "")
                .help(format!("write `{key} = \"{}\"`", text.split('?').next().unwrap_or("/"))),
        );
    }
    text.to_owned()
}
