//! Caddy, changed over its own API; its defaults. Its process is started in `mod`.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use super::{Apps, Named, Places};
use crate::identity::Identity;

/// The configuration.
pub(super) fn text((at, identity): (&Places, &Identity), apps: &Apps) -> String {
    let Places { address, secure, control } = at;
    let (chain, key) = (identity.chain.display(), identity.key.display());
    let mut text = format!("{{\n admin {control}\n auto_https off\n}}\n");
    for (name, instances) in [("a", &apps.a), ("b", &apps.b)] {
        let both =
            [("http", address, String::new()), ("https", secure, format!("tls {chain} {key}"))];
        for (scheme, at, tls) in both {
            let port = at.port();
            let _ = write!(text, "{scheme}://{name}.test:{port} {{\n bind 127.0.0.1\n {tls}\n");
            let named = apps.by_name().filter(|_| name == "a");
            let _ = write!(text, " reverse_proxy");
            for instance in instances {
                let _ = write!(text, " {instance}");
            }
            if let Some(Named { name, port, server }) = named {
                let _ = write!(
                    text,
                    " {name}:{port} {{\n  transport http {{\n   resolvers udp/{server}\n  }}\n }}"
                );
            }
            if apps.checked && (name, scheme) == ("a", "http") {
                text.push_str(" {\n  health_uri /health\n }");
            }
            text.push_str("\n}\n");
        }
    }
    text
}

/// Loads a configuration, also one that has not changed.
pub(super) fn load(control: SocketAddr, file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let mut stream = TcpStream::connect(control).unwrap();
    let head = format!(
        "POST /load HTTP/1.1\r\nHost: {control}\r\nContent-Type: text/caddyfile\r\n\
         Cache-Control: must-revalidate\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    stream.write_all((head + &text).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
