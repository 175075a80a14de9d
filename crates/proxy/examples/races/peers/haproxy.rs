//! HAProxy as master and worker; its defaults but for the timeouts it asks for.
//!
//! Nothing is told to it at run time: it is changed by reloads, in `mod`.

use std::fmt::Write;
use std::path::Path;

use super::{Apps, Named, Places};
use crate::identity::Identity;

/// The configuration.
pub(super) fn text((at, identity): (&Places, &Identity), folder: &Path, apps: &Apps) -> String {
    let (Places { address, secure, .. }, both) = (at, identity.both.display());
    let default = if apps.by_name().is_some() { "named" } else { "a" };
    let runtime = folder.join("runtime");
    let runtime = runtime.display();
    let mut text = format!(
        "global
  maxconn 2000
  stats socket {runtime} level admin
defaults
  mode http
  timeout connect 5s
  timeout client 50s
  timeout server 50s
frontend web
  bind {address}
  bind {secure} ssl crt {both} alpn h2,http/1.1
  use_backend b if {{ hdr(host) -i b.test }}
  default_backend {default}
"
    );
    for (name, instances) in [("a", &apps.a), ("b", &apps.b)] {
        let _ = write!(text, "backend {name}\n  option httpchk GET /health\n");
        for (number, instance) in instances.iter().enumerate() {
            let _ = writeln!(text, "  server s{number} {instance} check");
        }
    }
    if let Some(Named { name, port, server }) = apps.by_name() {
        let _ = write!(
            text,
            "resolvers names\n  nameserver one {server}\n\
             backend named\n  option httpchk GET /health\n  \
             server s0 {name}:{port} check resolvers names init-addr none resolve-prefer ipv4\n"
        );
    }
    text
}
