//! Caddy, on one processor of Go's, in front.
//!
//! It has no admin API here: nothing is changed while it is measured.

use std::fs;
use std::process::Command;

use super::{Draft, Place, free, says};
use crate::Outcome;

/// What is started.
pub(super) fn draft(place: &Place) -> Outcome<Draft> {
    let program = place.testbed.join("caddy-bookworm/usr/bin/caddy");
    let version = says(&program, "version")?;
    let (plain, secure, metrics) = (free()?, free()?, free()?);
    let (instance, chain, key) = (place.instance, place.pem.0.display(), place.pem.1.display());
    let log = place.unless_bare(format!(
        "log {{\n output file {}\n }}",
        place.path("caddy-access.log").display()
    ));
    let exporter = place.unless_bare(format!(
        "http://:{} {{\n bind 127.0.0.1\n metrics /metrics\n }}",
        metrics.port()
    ));
    let servers = if place.bare { "" } else { "servers {\n metrics\n }" };
    let text = format!(
        "{{
 admin off
 auto_https off
 {servers}
}}
(shop) {{
 bind 127.0.0.1
 {log}
 @new header_regexp Cookie `(^|; )cohort=new(;|$)`
 header X-Request-Id {{http.request.uuid}}
 reverse_proxy @new {instance} {{
  health_uri /health
  header_up X-Request-Id {{http.request.uuid}}
 }}
 reverse_proxy {instance} {{
  health_uri /health
  header_up X-Request-Id {{http.request.uuid}}
 }}
}}
http://:{plain} {{
 import shop
}}
https://:{secure} {{
 tls {chain} {key}
 import shop
}}
{exporter}
",
        plain = plain.port(),
        secure = secure.port(),
    );
    let file = place.path("Caddyfile");
    fs::write(&file, text)?;
    let mut command = Command::new(program);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
    command.env("GOMAXPROCS", "1").env("HOME", place.folder.path());
    Ok(Draft { version, command, plain, secure: Some(secure) })
}
