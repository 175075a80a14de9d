//! nginx with kept connections to instances, as its documentation shows them; else its defaults.
//!
//! It is started and reloaded in `mod`.

use std::fmt::Write;
use std::path::Path;

use super::{Apps, Named, Places};
use crate::identity::Identity;

/// The configuration.
pub(super) fn text(
    (places, identity): (&Places, &Identity),
    (peer, folder): (&str, &Path),
    apps: &Apps,
) -> String {
    let (Places { address, secure, .. }, at) = (places, folder.display());
    let (chain, key) = (identity.chain.display(), identity.key.display());
    // Before 1.25.1 it is a word of the listener.
    let (word, line) = if peer.ends_with("bookworm") { (" http2", "") } else { ("", "http2 on;") };
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
        let named = apps.by_name().filter(|_| name == "a");
        let (there, more) = resolved((peer, named), name);
        let _ = write!(text, "  upstream {name} {{");
        for instance in instances {
            let _ = write!(text, " server {instance};");
        }
        // It takes no group without servers.
        if instances.is_empty() && !more.contains("resolve;") {
            text.push_str(" server 127.0.0.1:9 down;");
        }
        let _ = write!(
            text,
            " {more} keepalive 32; }}
  server {{
    listen {address}; listen {secure} ssl{word}; {line}
    ssl_certificate {chain}; ssl_certificate_key {key}; server_name {name}.test;
    location / {{
      {there} proxy_http_version 1.1; proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_of;
    }}
  }}
"
        );
    }
    text + "}\n"
}

/// Where requests of `group` go, and what its upstream says besides. A name is resolved again, as its DNS asks for,
/// since 1.27.3 as a server of the group, before that only in a variable.
fn resolved((peer, named): (&str, Option<&Named>), group: &str) -> (String, String) {
    let usual = format!("proxy_pass http://{group};");
    match named {
        Some(Named { name, port, server }) if peer.ends_with("sid") => {
            let zone = format!("zone {group} 64k; resolver {server} ipv6=off;");
            (usual, format!("{zone} server {name}:{port} resolve;"))
        }
        Some(Named { name, port, server }) => {
            let there = format!("resolver {server} ipv6=off; set $there {name};");
            (format!("{there} proxy_pass http://$there:{port};"), String::new())
        }
        None => (usual, String::new()),
    }
}
