//! HAProxy, one thread, in front.
//!
//! It writes no files of its own: its access log goes to its standard output, which is one.

use std::fs;
use std::process::Command;

use super::{Draft, Place, free, says};
use crate::Outcome;

/// What is started.
pub(super) fn draft(place: &Place, version: &str) -> Outcome<Draft> {
    let suite = match version {
        "2.6" => "bookworm",
        "3.0" => "trixie",
        "3.2" => "sid",
        other => return Err(format!("no HAProxy {other} on the test bed").into()),
    };
    let program = place.testbed.join(format!("haproxy-{suite}/usr/sbin/haproxy"));
    let says = says(&program, "-v")?;
    let (plain, secure, metrics) = (free()?, free()?, free()?);
    let chain = place.path("haproxy.pem");
    fs::write(&chain, [fs::read(&place.pem.0)?, fs::read(&place.pem.1)?].concat())?;
    let log = place.unless_bare("log global\n  option httplog".to_owned());
    let exporter = place.unless_bare(format!(
        "frontend metrics\n  bind {metrics}\n  \
         http-request use-service prometheus-exporter if {{ path /metrics }}\n"
    ));
    let (instance, chain, socket) =
        (place.instance, chain.display(), place.path("haproxy.sock").display().to_string());
    let text = format!(
        "global
  maxconn 18000
  no strict-limits
  nbthread 1
  log stdout format raw local0 info
  stats socket {socket} mode 600 level admin
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  {log}
  option forwardfor
  option redispatch
  retries 3
  timeout connect 2s
  timeout client 75s
  timeout server 300s
  timeout http-request 10s
  timeout http-keep-alive 75s
  timeout queue 10s
  timeout tunnel 1h
frontend shop
  bind {plain}
  bind {secure} ssl crt {chain} alpn h2,http/1.1
  stick-table type ip size 100k expire 30s store conn_cur,http_req_rate(1s)
  tcp-request connection track-sc0 src
  tcp-request connection reject if {{ sc0_conn_cur gt 17000 }}
  http-request deny deny_status 429 if {{ sc0_http_req_rate gt 1000000 }}
  unique-id-format %{{+X}}o%ci%cp%fi%fp%Ts%rt%pid
  unique-id-header X-Request-Id
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
  http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-response set-header X-Request-Id %[unique-id]
  use_backend new if {{ req.cook(cohort) -m str new }}
  default_backend old
{exporter}backend old
  option httpchk GET /health
  server one {instance} check inter 2s
backend new
  option httpchk GET /health
  server one {instance} check inter 2s
"
    );
    let file = place.path("haproxy.cfg");
    fs::write(&file, text)?;
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(file);
    Ok(Draft { version: says, command, plain, secure: Some(secure) })
}
