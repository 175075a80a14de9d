//! nginx with kept connections to instances, as its documentation shows them; else its defaults.

use std::fmt::Write;
use std::path::Path;

use super::{Apps, Places};
use crate::identity::Identity;

/// The configuration.
pub(super) fn text(
    (places, identity): (&Places, &Identity),
    (name, folder): (&str, &Path),
    apps: &Apps,
) -> String {
    let (Places { address, secure, .. }, at) = (places, folder.display());
    let (chain, key) = (identity.chain.display(), identity.key.display());
    // Before 1.25.1 it is a word of the listener.
    let (word, line) = if name.ends_with("bookworm") { (" http2", "") } else { ("", "http2 on;") };
    let mut text = format!(
        "daemon off; worker_processes 2; pid {at}/pid; error_log {at}/error.log;
events {{ worker_connections 2000; }}
http {{
  access_log off;
  client_body_temp_path {at}/t1; proxy_temp_path {at}/t2; fastcgi_temp_path {at}/t3;
  uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;
  client_max_body_size 64m;
  map $http_upgrade $connection_of {{ default upgrade; '' ''; }}
"
    );
    for (name, instances) in [("a", &apps.a), ("b", &apps.b)] {
        let _ = write!(text, "  upstream {name} {{");
        for instance in instances {
            let _ = write!(text, " server {instance};");
        }
        // It takes no group without servers.
        if instances.is_empty() {
            text.push_str(" server 127.0.0.1:9 down;");
        }
        let _ = write!(
            text,
            " keepalive 32; }}
  server {{
    listen {address}; listen {secure} ssl{word}; {line}
    ssl_certificate {chain}; ssl_certificate_key {key}; server_name {name}.test;
    location / {{
      proxy_pass http://{name}; proxy_http_version 1.1; proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_of;
    }}
  }}
"
        );
    }
    text + "}\n"
}
