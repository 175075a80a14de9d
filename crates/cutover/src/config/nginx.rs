//! Reads `[router]` of an nginx, and what it can carry.
//!
//! Checks what is written; whether an nginx runs there is found by its preflight.

use std::net::SocketAddr;
use std::path::Path;

use drivers::router::nginx;

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::section::Section;
use super::shape::{AppConfig, NginxConfig, Strategy};
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
    NginxConfig {
        directory: directory.unwrap_or_default(),
        pid: pid.unwrap_or_default(),
        config: config.unwrap_or_default(),
        prefix,
        control: control(router, reader),
        listen: entrances(router, "nginx", reader),
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

/// Refuses an app that nginx cannot carry as it is written.
pub(super) fn must_carry(app: &AppConfig, section: &Section<'_>, reader: &mut Reader) {
    if matches!(app.rollout.strategy, Strategy::Recreate { .. }) {
        let what = "nginx cannot let requests wait while the only copy of an app is replaced";
        let help = "let Cutover's own proxy carry it (remove `[router]`), or use another strategy";
        reader.push(Diagnostic::new(what).at(&section.span, "of this app").help(help));
    }
    for field in ["error_pages", "maintenance"].iter().filter_map(|key| section.field(key)) {
        let what = format!(
            "`{}` is answered by Cutover's own proxy, and here nginx carries the traffic",
            field.key
        );
        let help = "remove it, and write `error_page` in nginx's own configuration";
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
    let spread = |unfit: bool, what: &str| {
        unfit.then(|| (what.to_owned(), "remove it, or have Cutover's own proxy carry the traffic"))
    };
    let sticky = spread(app.rollout.cohorts.is_some(), "cohorts (`sticky`)");
    let slow = spread(!app.slow_start.is_zero(), "a slow start (`slow_start`)");
    let marks = app.rollout.targets.iter().filter_map(|target| nginx::unfit(&target.mark));
    let objection = nginx::objection(&app.hosts, &app.path_prefix);
    for (why, help) in objection.into_iter().chain(marks).chain(sticky).chain(slow) {
        let what = format!("nginx cannot carry {why}");
        reader.push(Diagnostic::new(what).at(&section.span, "of this app").help(help));
    }
}
