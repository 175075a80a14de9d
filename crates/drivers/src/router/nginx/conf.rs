//! The configuration of one app: upstreams, shares, rules, and what workers say of themselves. Pure text.
//!
//! It is included at the level of `http`. Where users come in is the user's own configuration, which passes
//! requests to `$cutover_APP`. It writes no file and reloads nothing: `act` does.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use model::{AppName, Pool, PoolState, Routes, Weight};

use super::heard::host;
use super::rule::looked_up;

/// The name of an app within that of a variable; those of apps have no `_`.
fn word(app: &AppName) -> String {
    app.as_str().replace('-', "_")
}

/// The variable that users' requests are passed to.
pub(super) fn variable(app: &AppName) -> String {
    format!("$cutover_{}", word(app))
}

/// The variable that holds the version that a request goes to.
pub(super) fn stamp(app: &AppName) -> String {
    format!("$cutoverstamp_{}", word(app))
}

/// True of a pool that gets requests by these routes.
pub(super) fn fed(routes: &Routes, pool: &Pool) -> bool {
    let share = shares(routes).iter().any(|(of, _)| of.release == pool.release);
    share || routes.obeyed().any(|(_, to)| to.release == pool.release)
}

/// The pools that have a share, with it. Where nobody of those that should have one has an instance,
/// those that stand by take over.
fn shares(routes: &Routes) -> Vec<(&Pool, u64)> {
    let serves = |pool: &&Pool| pool.state == PoolState::Serving && !pool.instances.is_empty();
    let pools = || routes.pools.iter().filter(serves);
    let weighted: Vec<_> = pools()
        .filter(|pool| pool.weight > Weight::NONE)
        .map(|pool| (pool, u64::from(pool.weight.basis_points())))
        .collect();
    if weighted.is_empty() { pools().map(|pool| (pool, 1)).collect() } else { weighted }
}

/// The configuration of an app; without routes, or with nobody in them, requests are answered 502.
pub(super) fn render(
    app: &AppName,
    routes: Option<&Routes>,
    generation: u64,
    control: SocketAddr,
) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _written = write(&mut text, (app, generation), routes, control);
    text
}

fn write(
    text: &mut String,
    (app, generation): (&AppName, u64),
    routes: Option<&Routes>,
    control: SocketAddr,
) -> fmt::Result {
    writeln!(text, "# Routes of {app}. Written by Cutover with each change: edit nothing here.")?;
    let pools: Vec<&Pool> = routes
        .iter()
        .flat_map(|routes| routes.pools.iter().filter(|pool| fed(routes, pool)))
        .collect();
    for pool in &pools {
        upstream(text, &name(app, pool), pool)?;
    }
    let shares = routes.map(shares).unwrap_or_default();
    if shares.is_empty() {
        let word = word(app);
        writeln!(text, "\n# Nobody may serve it.\nupstream cutovernobody_{word} {{")?;
        writeln!(text, "    server 127.0.0.1:9 down;\n}}")?;
    }
    split(text, app, &shares)?;
    rules(text, app, routes)?;
    versions(text, app, &pools)?;
    writeln!(
        text,
        "\n# Asked by Cutover until no worker is left that runs what was before.
server {{
    listen {control};
    server_name {};
    access_log off;
    location / {{
        default_type text/plain;
        return 200 \"{generation} $pid $nginx_version {app}\";
    }}
}}",
        host(app)
    )
}

fn name(app: &AppName, pool: &Pool) -> String {
    format!("cutover_{}_r{}", word(app), pool.release.0)
}

fn upstream(text: &mut String, name: &str, pool: &Pool) -> fmt::Result {
    writeln!(text, "\nupstream {name} {{")?;
    for one in &pool.instances {
        let (address, id) = (one.address, &one.id);
        writeln!(text, "    server {address} max_fails=1 fail_timeout=1s; # {id}")?;
    }
    // Shorter than the 5 s after which many apps close an idle connection.
    writeln!(text, "    keepalive 32;\n    keepalive_timeout 4s;\n}}")
}

/// Who gets what: each request is drawn by itself.
fn split(text: &mut String, app: &AppName, shares: &[(&Pool, u64)]) -> fmt::Result {
    let word = word(app);
    writeln!(text, "\nsplit_clients $request_id $cutovershare_{word} {{")?;
    let all: u64 = shares.iter().map(|(_, share)| share).sum();
    for (pool, share) in shares.iter().skip(1) {
        let points = (share * 10_000).checked_div(all).unwrap_or(0);
        // Less than the finest step is nothing.
        if points > 0 {
            let (whole, rest) = (points / 100, points % 100);
            writeln!(text, "    {whole}.{rest:02}% {};", name(app, pool))?;
        }
    }
    match shares.first() {
        Some((pool, _)) => writeln!(text, "    * {};\n}}", name(app, pool)),
        None => writeln!(text, "    * cutovernobody_{word};\n}}"),
    }
}

/// The first rule that matches decides, and the share where none does.
fn rules(text: &mut String, app: &AppName, routes: Option<&Routes>) -> fmt::Result {
    let word = word(app);
    let rules: Vec<_> = routes.iter().flat_map(|routes| routes.obeyed()).collect();
    for (at, (rule, pool)) in rules.iter().enumerate() {
        let (variable, pattern) = looked_up(&rule.mark);
        writeln!(
            text,
            "\nmap {variable} $cutoverrule{at}_{word} {{ # {}\n    default \"\";\n    \
             \"{pattern}\" {};\n}}",
            rule.mark,
            name(app, pool)
        )?;
    }
    let mut tried = String::new();
    for at in 0..rules.len() {
        write!(tried, "$cutoverrule{at}_{word}:")?;
    }
    if tried.is_empty() {
        tried = format!("$cutovershare_{word}");
    }
    writeln!(text, "\nmap \"{tried}\" {} {{\n    default $cutovershare_{word};", variable(app))?;
    for at in 0..rules.len() {
        let none = ":".repeat(at);
        writeln!(text, "    \"~^{none}[^:]\" $cutoverrule{at}_{word};")?;
    }
    writeln!(text, "}}")
}

fn versions(text: &mut String, app: &AppName, pools: &[&Pool]) -> fmt::Result {
    writeln!(text, "\nmap {} {} {{\n    default \"\";", variable(app), stamp(app))?;
    for pool in pools {
        // A pattern, because long names do not fit into the hash of a map.
        writeln!(text, "    \"~^{}$\" \"{}\";", name(app, pool), pool.version)?;
    }
    writeln!(text, "}}")
}
