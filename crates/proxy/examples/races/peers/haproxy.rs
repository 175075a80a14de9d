//! HAProxy as master and worker; its defaults but for the timeouts it asks for.

use std::fmt::Write;

use super::{Apps, Places};
use crate::identity::Identity;

/// The configuration.
pub(super) fn text((at, identity): (&Places, &Identity), apps: &Apps) -> String {
    let (Places { address, secure, .. }, both) = (at, identity.both.display());
    let mut text = format!(
        "global
  maxconn 2000
defaults
  mode http
  timeout connect 5s
  timeout client 50s
  timeout server 50s
frontend web
  bind {address}
  bind {secure} ssl crt {both} alpn h2,http/1.1
  use_backend b if {{ hdr(host) -i b.test }}
  default_backend a
"
    );
    for (name, instances) in [("a", &apps.a), ("b", &apps.b)] {
        let _ = write!(text, "backend {name}\n  option httpchk GET /health\n");
        for (number, instance) in instances.iter().enumerate() {
            let _ = writeln!(text, "  server s{number} {instance} check");
        }
    }
    text
}
