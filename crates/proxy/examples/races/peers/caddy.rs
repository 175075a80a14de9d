//! Caddy, changed over its own API; its defaults.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use super::Apps;

/// The configuration.
pub(super) fn text((address, control): (SocketAddr, SocketAddr), apps: &Apps) -> String {
    let mut text = format!("{{\n admin {control}\n auto_https off\n}}\n");
    for (name, instances) in [("a", &apps.a), ("b", &apps.b)] {
        let port = address.port();
        let _ = write!(text, "http://{name}.test:{port} {{\n bind 127.0.0.1\n reverse_proxy");
        for instance in instances {
            let _ = write!(text, " {instance}");
        }
        text.push_str("\n}\n");
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
