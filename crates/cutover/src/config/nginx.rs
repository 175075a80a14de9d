//! Reads `[router]` of an nginx: where its files and its pid are, where users come in, and whether reloads
//! that cut requests are agreed to.
//!
//! Checks only what is written; whether an nginx runs there is found by its preflight.

use std::net::SocketAddr;
use std::path::Path;

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::section::Section;
use super::shape::NginxConfig;
use super::theirs::{entrances, must_have, program};

/// Keys that only an nginx has.
pub(super) const ONLY: [&str; 4] = ["pid", "control", "prefix", "accept_reload_cuts"];
/// Keys that it needs, each with an example.
const NEEDED: [(&str, &str); 4] = [
    ("directory", "\"nginx/cutover\""),
    ("config", "\"/etc/nginx/nginx.conf\""),
    ("pid", "\"/run/nginx.pid\""),
    ("listen", "[\"127.0.0.1:8080\"]"),
];
/// Where workers say what they run.
const CONTROL: ([u8; 4], u16) = ([127, 0, 0, 1], 9170);

/// Reads the section.
pub(super) fn read(router: &Section<'_>, folder: &Path, reader: &mut Reader) -> NginxConfig {
    must_have(&NEEDED, router, "an nginx", reader);
    let mut path = |key| reader.text(router.field(key)).map(|text| folder.join(text));
    let (directory, pid) = (path("directory"), path("pid"));
    let (config, prefix) = (path("config"), path("prefix"));
    let (listen, tls_listen) = entrances(router, "nginx", reader);
    NginxConfig {
        directory: directory.unwrap_or_default(),
        pid: pid.unwrap_or_default(),
        config: config.unwrap_or_default(),
        prefix,
        control: control(router, reader),
        listen,
        tls_listen,
        program: program(reader.text(router.field("program")).unwrap_or("nginx"), folder),
        accept_reload_cuts: reader.switch(router.field("accept_reload_cuts"), false),
    }
}

fn control(router: &Section<'_>, reader: &mut Reader) -> SocketAddr {
    let default = CONTROL.into();
    let Some(field) = router.field("control") else { return default };
    let span = field.span.clone();
    let Some(text) = reader.text(Some(field)) else { return default };
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() && address.port() > 0 => address,
        _ => {
            let what = format!("`{text}` is no address of this machine alone, with a port");
            let help = "write a free one such as \"127.0.0.1:9170\"";
            reader.push(Diagnostic::new(what).at(&span, "nobody else may reach it").help(help));
            default
        }
    }
}
