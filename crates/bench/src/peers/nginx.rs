//! nginx, one worker, in front. It has no active health checks; failures are noticed in passing.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use super::{Draft, Place, free, says};
use crate::Outcome;

/// What is started.
pub(super) fn draft(place: &Place, version: &str) -> Outcome<Draft> {
    let suite = match version {
        "1.22" => "bookworm",
        "1.26" => "trixie",
        "1.30" => "sid",
        other => return Err(format!("no nginx {other} on the test bed").into()),
    };
    let program = place.testbed.join(format!("nginx-{suite}/usr/sbin/nginx"));
    let says = says(&program, "-v")?;
    let (plain, secure, metrics) = (free()?, free()?, free()?);
    let folder = place.path("nginx");
    fs::create_dir_all(&folder)?;
    let at = folder.display();
    // Lines are gathered before they are written, which is the best it offers.
    let log = if place.bare {
        "access_log off;".to_owned()
    } else {
        format!("access_log {at}/access.log combined buffer=64k flush=1s;")
    };
    let status = place.unless_bare(format!(
        "server {{ listen {metrics}; location = /status {{ stub_status; }} }}"
    ));
    let servers = servers(place, version, (plain, secure));
    let text = format!(
        "daemon off; master_process on; worker_processes 1; worker_rlimit_nofile 20000;
pid {at}/pid; error_log {at}/error.log;
events {{ worker_connections 20000; }}
http {{
  {log}
  client_body_temp_path {at}/t1; proxy_temp_path {at}/t2; fastcgi_temp_path {at}/t3;
  uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;
  tcp_nodelay on; sendfile on; server_tokens off;
  keepalive_timeout 75s; keepalive_requests 100000000;
  client_header_timeout 10s; client_body_timeout 60s; send_timeout 60s; client_max_body_size 64m;
  {status}
  {servers}
}}
"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(&folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(file);
    Ok(Draft { version: says, command, plain, secure: Some(secure) })
}

/// What is routed where.
fn servers(place: &Place, version: &str, (plain, secure): (SocketAddr, SocketAddr)) -> String {
    let (listens, says) = if version == "1.22" { ("http2", "") } else { ("", "http2 on;") };
    let (instance, chain, key) = (place.instance, place.pem.0.display(), place.pem.1.display());
    format!(
        "limit_conn_zone $server_name zone=all:1m;
  limit_conn_zone $binary_remote_addr zone=each:10m;
  limit_req_zone $binary_remote_addr zone=rate:10m rate=1000000r/s;
  map $http_upgrade $connection_of {{ default upgrade; '' ''; }}
  map $cookie_cohort $pool {{ default old; new new; }}
  upstream old {{ server {instance}; keepalive 256; keepalive_requests 100000000; }}
  upstream new {{ server {instance}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen {plain} backlog=4096;
    listen {secure} ssl {listens} backlog=4096;
    {says}
    server_name shop.test;
    ssl_certificate {chain}; ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    limit_conn all 19000; limit_conn each 17000;
    limit_req zone=rate burst=1000000 nodelay;
    location / {{
      proxy_pass http://$pool;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_of;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Request-Id $request_id;
      add_header X-Request-Id $request_id always;
      proxy_connect_timeout 2s; proxy_read_timeout 300s; proxy_send_timeout 60s;
    }}
  }}"
    )
}
