//! Reads `instances = { … }`: where the instances of an app are found that somebody else starts.
//!
//! Checks what is written, and that nothing else of the app speaks of instances that are started here.
//! Whether anybody is found there the platform sees.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use drivers::platform::discovered::is_name;
use model::{Catalog, Source, Zone};
use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::field::{Field, kind};
use super::reader::Reader;
use super::section::Section;
use super::shape::{AppConfig, Strategy};
use super::{agent, api, command};

/// Keys of one kind of source only.
const CONSUL: [&str; 8] =
    ["tag", "meta", "agent", "token", "ca", "tls_server_name", "chain", "key"];
const DNS: [&str; 2] = ["server", "port"];
const CONSUL_EXAMPLE: &str = "instances = { consul = \"shop\", tag = \"{version}\" }";
const DNS_EXAMPLE: &str =
    "instances = { dns = \"_shop._tcp.{version}.example\", server = \"127.0.0.1:53\" }";

/// How many instances there are at least, and where they are found if nobody here starts them.
pub(super) fn read(app: &Section<'_>, folder: &Path, reader: &mut Reader) -> (u16, Option<Source>) {
    let field = app.field("instances");
    let table = field.as_ref().is_some_and(|field| matches!(field.value, DeValue::Table(_)));
    if !table {
        let count = reader.count(field, 1, 1..=100);
        return (u16::try_from(count).unwrap_or(1), None);
    }
    let found = Section::within(app, "instances", reader);
    let least = reader.count(found.field("at_least"), 1, 1..=100);
    // What is wrong with it was said; the rest of the app is read as that of instances that are found.
    let source = one_kind(&found, folder, reader).unwrap_or_else(nothing);
    (u16::try_from(least).unwrap_or(1), Some(source))
}

fn nothing() -> Source {
    Source::Dns(Zone { server: ([127, 0, 0, 1], 53).into(), name: String::new(), port: None })
}

fn one_kind(found: &Section<'_>, folder: &Path, reader: &mut Reader) -> Option<Source> {
    let fields = (found.field("consul"), found.field("dns"));
    let (others, whose) = match fields {
        (Some(consul), None) => {
            not_of(&DNS, found, "DNS, and here a Consul is asked", reader);
            return Some(Source::Consul(catalog(&consul, (found, folder), reader)));
        }
        (None, Some(dns)) => {
            not_of(&CONSUL, found, "a Consul, and here DNS is asked", reader);
            return zone(&dns, found, reader).map(Source::Dns);
        }
        (Some(consul), Some(dns)) => (Some((consul, dns)), "two sources: who is right?"),
        (None, None) => (None, "names nobody who knows where they are"),
    };
    if found.probably_has("consul") || found.probably_has("dns") {
        return None;
    }
    let what = format!("`[{}]` {whose}", found.name);
    let what = if others.is_some() { format!("`[{}]` has {whose}", found.name) } else { what };
    let diagnostic = match &others {
        Some((consul, dns)) => Diagnostic::new(what).at(&consul.span, "").also(&dns.span, ""),
        None => Diagnostic::new(what).at(&found.span, ""),
    };
    let help = format!("write `{CONSUL_EXAMPLE}`, or `{DNS_EXAMPLE}`");
    reader.push(diagnostic.help(help));
    None
}

/// Refuses keys of the other kind.
fn not_of(keys: &[&'static str], found: &Section<'_>, whose: &str, reader: &mut Reader) {
    for field in keys.iter().filter_map(|key| found.field(key)) {
        let what = format!("`{}` is for {whose}", field.key);
        reader.push(Diagnostic::new(what).at(&field.span, "").help("remove it"));
    }
}

fn catalog(
    consul: &Field<'_>,
    (found, folder): (&Section<'_>, &Path),
    reader: &mut Reader,
) -> Catalog {
    let mut text = |field: Option<Field<'_>>| {
        let span = field.as_ref().map_or(0..0, |field| field.span.clone());
        let text = reader.text(field)?;
        command::check(text, &span, &["version"], reader);
        Some(text.to_owned())
    };
    let service = text(Some(consul.clone())).unwrap_or_default();
    let tag = text(found.field("tag"));
    let (agent, secure) = agent::read(found, folder, reader);
    let token = found.field("token").and_then(|field| api::place(&field, folder, reader));
    Catalog { agent, secure, service, tag, meta: meta(found, &["version"], reader), token }
}

/// Names and values, in which what is `known` may stand.
pub(super) fn meta(
    found: &Section<'_>,
    known: &[&str],
    reader: &mut Reader,
) -> BTreeMap<String, String> {
    let Some(field) = found.field("meta") else { return BTreeMap::new() };
    let DeValue::Table(table) = field.value else {
        reader.wrong_kind(&field, "a table", "{ version = \"{version}\" }");
        return BTreeMap::new();
    };
    let mut meta = BTreeMap::new();
    for (key, value) in table {
        match value.get_ref().as_str() {
            Some(text) => {
                command::check(text, &value.span(), known, reader);
                meta.insert(key.get_ref().to_string(), text.to_owned());
            }
            None => reader.push(
                Diagnostic::new(format!("`{}` must be text", key.get_ref()))
                    .at(&value.span(), format!("this is {}", kind(value.get_ref())))
                    .help("metadata of Consul is text: put it in quotes"),
            ),
        }
    }
    meta
}

fn zone(dns: &Field<'_>, found: &Section<'_>, reader: &mut Reader) -> Option<Zone> {
    let name = reader.text(Some(dns.clone()))?.trim_end_matches('.');
    command::check(name, &dns.span, &["version"], reader);
    // A placeholder that is not known was said.
    let filled = command::fill_version(name, "v");
    if !filled.contains('{') && !is_name(&filled) {
        let what = format!("`{name}` is no name in DNS");
        let help =
            "use letters, digits, `-`, `_` and `.`, such as \"_shop._tcp.{version}.example\"";
        reader.push(Diagnostic::new(what).at(&dns.span, "").help(help));
    }
    let server = server(dns, found, reader);
    let port = port(name, (dns, found), reader);
    Some(Zone { server, name: name.to_owned(), port })
}

/// Who is asked: nobody is by default.
fn server(dns: &Field<'_>, found: &Section<'_>, reader: &mut Reader) -> SocketAddr {
    let default = ([127, 0, 0, 1], 53).into();
    if let Some(field) = found.field("server") {
        return address(&field, default, reader);
    }
    if !found.probably_has("server") {
        let help = "write `server = \"127.0.0.1:8600\"` for the Consul of this machine, or the `nameserver` \
                    of /etc/resolv.conf with `:53`";
        reader.push(
            Diagnostic::new(format!("`[{}]` has no `server`", found.name))
                .at(&dns.span, "who is to be asked for it?")
                .help(help),
        );
    }
    default
}

/// The port of addresses; names with `_` have ports of their own.
fn port(name: &str, (dns, found): (&Field<'_>, &Section<'_>), reader: &mut Reader) -> Option<u16> {
    let services = name.starts_with('_');
    let Some(field) = found.field("port") else {
        if !services && !found.probably_has("port") {
            let help = "write `port = 8080`; a name of services begins with `_` and brings ports along: \
                        \"_shop._tcp.example\"";
            reader.push(
                Diagnostic::new(format!("the addresses of `{name}` have no port"))
                    .at(&dns.span, "an address says nothing of a port")
                    .help(help),
            );
        }
        return None;
    };
    let span = field.span.clone();
    let port = reader.count(Some(field), 80, 1..=65_535);
    if services {
        let what = format!("`{name}` brings its ports along (SRV), and `port` says another one");
        let diagnostic = Diagnostic::new(what).at(&span, "").also(&dns.span, "");
        reader.push(diagnostic.help("remove `port`"));
        return None;
    }
    u16::try_from(port).ok()
}

/// An address with a port.
fn address(field: &Field<'_>, default: SocketAddr, reader: &mut Reader) -> SocketAddr {
    let Some(text) = reader.text(Some(field.clone())) else { return default };
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => address,
        _ => {
            let what = format!("`{text}` is no IP address with a port");
            let help = format!("write it such as `{} = \"{default}\"`", field.key);
            reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
            default
        }
    }
}

/// Refuses what only instances can have that are started here.
pub(super) fn no_other(read: &AppConfig, app: &Section<'_>, reader: &mut Reader) {
    if read.source.is_none() {
        return;
    }
    let found = app.field("instances").map_or(0..0, |field| field.span);
    let mut refuse = |field: Option<Field<'_>>, what: &str, help: &str| {
        let Some(field) = field else { return };
        let diagnostic = Diagnostic::new(format!("{what}, and those of this app are found"));
        let diagnostic = diagnostic.at(&field.span, "").also(&found, "somebody else starts them");
        reader.push(diagnostic.help(help));
    };
    for (key, what) in [
        ("command", "`command` starts instances"),
        ("environment", "`environment` is given to instances that are started here"),
        ("stop_timeout", "`stop_timeout` is for instances that are ended here"),
    ] {
        refuse(app.field(key), what, "remove it, or write how many to start: `instances = 2`");
    }
    let health = app.field("health").and_then(|field| inner(field.value, "command"));
    let asks = "a program is run beside instances that are started here";
    refuse(health, asks, "let the check ask a `path`, or write `tcp = true`");
    let within = |key| app.field("rollout").and_then(|field| inner(field.value, key));
    let others = "remove it: whoever starts them decides how many there are";
    if matches!(read.rollout.strategy, Strategy::Rolling { .. } | Strategy::Recreate { .. }) {
        refuse(within("strategy"), "this strategy starts and ends instances one by one", others);
    }
    if matches!(&read.rollout.strategy, Strategy::Canary { counts, .. } if !counts.is_empty()) {
        let shares =
            "write shares: `steps = [\"25%\"]`; whoever starts them decides how many there are";
        refuse(within("steps"), "steps by instances start them one after the other", shares);
    }
    if read.rollout.return_home {
        refuse(within("slots"), "`slots = \"home\"` starts instances a second time", others);
    }
}

fn inner<'a>(table: &'a DeValue<'a>, key: &'static str) -> Option<Field<'a>> {
    let DeValue::Table(table) = table else { return None };
    let value = table.get(key)?;
    Some(Field { key, value: value.get_ref(), span: value.span() })
}
