//! A whole configuration to start nginx with, each line that matters with its reason. Pure text.
//!
//! It is offered only: whoever has a configuration keeps it, and `review` says what it lacks.

use std::fmt::Write as _;
use std::time::Duration;

use super::conf::{stamp, variable};
use super::review::{first_word, written};
use super::setup::{AppSetup, Setup};

/// Why the offered configuration cannot hold these hosts and this path prefix, and what to do; `None`
/// when it can.
pub fn objection(hosts: &[String], path_prefix: &str) -> Option<(String, &'static str)> {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !";{}\'\"$#".contains(c));
    if !plain(path_prefix) {
        let why = format!("the path prefix `{}`", path_prefix.escape_debug());
        return Some((
            why,
            "use printable ASCII without blanks, quotes, `;`, `$`, `#`, `{` or `}`",
        ));
    }
    let host = hosts.iter().find(|host| !plain(host) || host.starts_with('~'))?;
    let why = format!("the host name `{}`", host.escape_debug());
    Some((why, "write it as in a `Host` header, without a port"))
}

/// Where no app says how long its requests last.
const LONGEST: Duration = Duration::from_secs(10);

/// The longest name of an app that nginx has room for without a word, beside what stands before it in the
/// names of variables (`cutoverstamp_`).
const SHORT: usize = 33;
/// For longer ones.
const ROOM: &str = "
    # The names of variables and servers that have that of an app in them are longer than nginx expects.
    variables_hash_bucket_size 128;
    server_names_hash_bucket_size 128;
";

/// The main configuration file.
pub fn sample(setup: &Setup) -> String {
    let pid = quoted(&setup.pid.display().to_string());
    let files = format!("{}/*.conf", plain(&setup.directory.display().to_string()));
    let files = quoted(&files);
    let longest = setup.apps.iter().map(|app| app.longest_request).min().unwrap_or(LONGEST);
    let silent = written(first_word(longest));
    let long = setup.apps.iter().any(|app| app.name.as_str().len() > SHORT);
    let room = if long { ROOM } else { "" };
    let mut text = format!(
        "# nginx in front of apps that Cutover ships. Yours to edit: Cutover reads it and does not write it.
worker_processes auto;
pid {pid};

# A worker that ends keeps its tunnels for so long; without it, for ever.
worker_shutdown_timeout 1h;

events {{
    worker_connections 4096;
}}

http {{
    access_log off;
{room}
    # From nginx 1.27.4 on. A worker that ends waits so long for requests on kept connections: without
    # it a reload cuts those that are just on their way. Older versions refuse to start with it.
    keepalive_min_timeout 5s;

    # Nor does it close connections on which nothing was asked yet, as browsers open them: they last so
    # long, and what a deploy leaves is kept for them for `longest_request`. As long it is kept for uploads,
    # which nginx hands on when all of one has come (proxy_request_buffering).
    client_header_timeout {silent};

    # Tunnels are passed on, and connections to instances are kept.
    map $http_upgrade $cutoverconnection {{
        default upgrade;
        '' '';
    }}

    # What Cutover writes: who gets what.
    include {files};
"
    );
    let mut hosts: Vec<&[String]> = Vec::new();
    for app in &setup.apps {
        if !hosts.contains(&app.hosts.as_slice()) {
            hosts.push(&app.hosts);
        }
    }
    for hosts in hosts {
        let apps = setup.apps.iter().filter(|app| app.hosts == *hosts);
        server(&mut text, setup, hosts, apps);
    }
    text + "}\n"
}

/// A path as part of a pattern that names it alone.
fn plain(path: &str) -> String {
    let mark = |c: char| ['\\', '*', '?', '['].contains(&c).then_some('\\');
    path.chars().flat_map(|c| mark(c).into_iter().chain([c])).collect()
}

/// A text as one word of nginx.
fn quoted(text: &str) -> String {
    let simple = |c: char| c.is_ascii_alphanumeric() || "/._-*".contains(c);
    if text.chars().all(simple) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn server<'a>(
    text: &mut String,
    setup: &Setup,
    hosts: &[String],
    apps: impl Iterator<Item = &'a AppSetup>,
) {
    text.push_str("\n    server {\n");
    for entrance in &setup.entrances {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "        listen {entrance};");
    }
    let names = if hosts.is_empty() { "_".to_owned() } else { hosts.join(" ") };
    let _written = writeln!(text, "        server_name {names};");
    for app in apps {
        let (prefix, to, version) = (&app.path_prefix, variable(&app.name), stamp(&app.name));
        let _written = write!(
            text,
            "
        location {prefix} {{
            proxy_pass http://{to};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $cutoverconnection;
            proxy_connect_timeout 2s;
            # A tunnel may be quiet for so long.
            proxy_read_timeout 1h;
            # Which version answered, for the prober and for you.
            proxy_hide_header X-Cutover-Version;
            add_header X-Cutover-Version {version} always;
        }}
"
        );
    }
    text.push_str("    }\n");
}
