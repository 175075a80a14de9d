//! Reads `[router]` of a HAProxy, or of somebody else, that follows Consul: what is Consul's of it, and who
//! follows.
//!
//! Checks what is written; whether a Consul is there and lets us work is found by the preflight. The
//! HAProxy's own keys are read in `router`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::section::Section;
use super::shape::ConsulConfig;
use super::{agent, api, words};

/// Keys that only a Consul has.
pub(super) const ONLY: [&str; 11] = [
    "address",
    "follower",
    "agent",
    "dns",
    "domain",
    "places",
    "token",
    "ca",
    "tls_server_name",
    "chain",
    "key",
];
/// Keys of a HAProxy that follows it.
pub(super) const HAPROXY: [&str; 7] =
    ["socket", "directory", "program", "config", "dns", "domain", "places"];
/// Where an agent has its DNS, unless it is told otherwise.
const DNS: ([u8; 4], u16) = ([127, 0, 0, 1], 8600);
/// Instances of one release, if nothing is said.
const PLACES: u32 = 16;

/// True when whoever follows is none that Cutover could ask.
pub(super) fn follower_is_any(router: &Section<'_>, reader: &mut Reader) -> bool {
    words::one_of(router, "follower", &[("haproxy", false), ("any", true)], reader)
}

/// Reads its keys; all of them may be left out.
pub(super) fn read(router: &Section<'_>, folder: &Path, reader: &mut Reader) -> ConsulConfig {
    let token = router.field("token");
    let places = reader.count(router.field("places"), PLACES, 1..=1_000);
    let (agent, secure) = agent::read(router, folder, reader);
    ConsulConfig {
        agent,
        secure,
        dns: dns(router, reader),
        domain: domain(router, reader),
        address: address(router, reader),
        places: u16::try_from(places).unwrap_or(u16::MAX),
        token: token.and_then(|field| api::place(&field, folder, reader)),
    }
}

/// The address of its DNS.
fn dns(router: &Section<'_>, reader: &mut Reader) -> SocketAddr {
    let Some(field) = router.field("dns") else { return DNS.into() };
    let span = field.span.clone();
    let Some(text) = reader.text(Some(field)) else { return DNS.into() };
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => address,
        _ => {
            let what = format!("`{text}` is no IP address with a port");
            let help = "write it such as `dns = \"127.0.0.1:8600\"`";
            reader.push(Diagnostic::new(what).at(&span, "of an agent of Consul").help(help));
            DNS.into()
        }
    }
}

/// Where others reach the instances of this machine.
fn address(router: &Section<'_>, reader: &mut Reader) -> Option<IpAddr> {
    let field = router.field("address")?;
    let span = field.span.clone();
    let text = reader.text(Some(field))?;
    let one = text
        .parse::<Ipv4Addr>()
        .ok()
        .filter(|ip| !ip.is_unspecified() && !ip.is_broadcast() && !ip.is_multicast());
    if one.is_none() {
        let what = format!("`{text}` is no IPv4 address at which a machine is reached");
        let help =
            "write one that this machine has, such as `address = \"10.0.0.5\"`, without a port";
        reader.push(Diagnostic::new(what).at(&span, "of this machine").help(help));
    }
    one.map(IpAddr::V4)
}

/// The end of Consul's names.
fn domain(router: &Section<'_>, reader: &mut Reader) -> String {
    let default = || "consul".to_owned();
    let Some(field) = router.field("domain") else { return default() };
    let span = field.span.clone();
    let Some(text) = reader.text(Some(field)) else { return default() };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    let text = text.trim_matches('.');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    reader.push(
        Diagnostic::new("`domain` is no name in DNS")
            .at(&span, "")
            .help("write what the agent has as `domain`, such as \"consul\" or \"dc1.consul\""),
    );
    default()
}
