//! Reads where an agent of Consul is: `agent`, in plain text or with `https://`, and what TLS needs.
//!
//! Checks what is written. Files are read, and certificates judged, when the agent is asked. Its token is
//! read in `api`.

use std::net::SocketAddr;
use std::path::Path;

use model::Secure;
use model::admin::KeyPair;
use rustls::pki_types::ServerName;

use super::diagnostic::Diagnostic;
use super::field::Field;
use super::reader::Reader;
use super::section::Section;

/// Keys of TLS, in `[router]` and in `instances`.
pub(super) const SECURE: [&str; 4] = ["ca", "tls_server_name", "chain", "key"];
/// Where an agent has its HTTP API, unless it is told otherwise.
const PLAIN: ([u8; 4], u16) = ([127, 0, 0, 1], 8500);
/// And where it has it over TLS.
const EXAMPLE: &str = "agent = \"https://127.0.0.1:8501\"";

/// Its address, and how it is spoken to over TLS, if it is.
pub(super) fn read(
    section: &Section<'_>,
    folder: &Path,
    reader: &mut Reader,
) -> (SocketAddr, Option<Secure>) {
    let field = section.field("agent");
    let text = field.as_ref().and_then(|field| field.value.as_str()).unwrap_or_default();
    let over_tls = text.starts_with("https://");
    let address = field.map_or(PLAIN.into(), |field| address(field, reader));
    let secure = secure(section, folder, reader);
    if over_tls {
        return (address, Some(secure));
    }
    for field in SECURE.into_iter().filter_map(|key| section.field(key)) {
        let what = format!("`{}` does nothing here: the agent is asked over plain HTTP", field.key);
        let help = format!("write `{EXAMPLE}`, or remove it");
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
    (address, None)
}

/// An address with a port, with or without a scheme before it.
fn address(field: Field<'_>, reader: &mut Reader) -> SocketAddr {
    let span = field.span.clone();
    let Some(text) = reader.text(Some(field)) else { return PLAIN.into() };
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme, rest.strip_suffix('/').unwrap_or(rest)),
        None => ("http", text),
    };
    let known = matches!(scheme, "http" | "https");
    match rest.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 && known => return address,
        _ => {}
    }
    let help = if scheme == "https" {
        format!(
            "write it such as `{EXAMPLE}`, and a name that is in its certificate as `tls_server_name`"
        )
    } else {
        format!("write it such as `agent = \"127.0.0.1:8500\"`, or `{EXAMPLE}`")
    };
    let what = format!("`{text}` is no IP address with a port");
    reader.push(Diagnostic::new(what).at(&span, "of an agent of Consul").help(help));
    PLAIN.into()
}

fn secure(section: &Section<'_>, folder: &Path, reader: &mut Reader) -> Secure {
    let mut file = |key| Some(folder.join(reader.text(section.field(key))?));
    let (ca, chain, key) = (file("ca"), file("chain"), file("key"));
    let half = match (section.field("chain"), section.field("key")) {
        (Some(chain), None) => Some((chain, "key", "client-key.pem")),
        (None, Some(key)) => Some((key, "chain", "client.pem")),
        _ => None,
    };
    if let Some((field, lacks, example)) = half.filter(|(_, lacks, _)| !section.probably_has(lacks))
    {
        let what = format!("there is a `{}` to show to Consul, and no `{lacks}`", field.key);
        let help = format!("add `{lacks} = \"{example}\"`, or remove it");
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
    let pair = chain.zip(key).map(|(chain, key)| KeyPair { chain, key });
    Secure { ca, name: name(section, reader), pair }
}

/// The name in its certificate.
fn name(section: &Section<'_>, reader: &mut Reader) -> Option<String> {
    let field = section.field("tls_server_name")?;
    let span = field.span.clone();
    let text = reader.text(Some(field))?;
    if ServerName::try_from(text).is_ok() {
        return Some(text.to_owned());
    }
    let what = format!("`{text}` is no name that a certificate can have");
    let help = "write a name that is in the agent's certificate, such as `tls_server_name = \"server.dc1.consul\"`";
    reader.push(Diagnostic::new(what).at(&span, "").help(help));
    None
}
