//! What a configuration of nginx lacks: setting, value, needed, why.
//!
//! What makes work impossible is a fault. It reads the text that nginx printed, and asks nobody. What is
//! looked for beside one `proxy_pass` is in `location`, and who passes Cutover by in `bypass`.

use std::time::Duration;

use model::{AppName, Fault, Kind};

use super::bypass::bypassing;
use super::conf::variable;
use super::heard::at_least;
use super::location::location;
use super::named::finding;
use super::scope::{block, holds, inside, passes};
use super::setup::AppSetup;
use super::written::{Directive, read, time};
use crate::router::finding::Finding;

/// The version from which on a worker that ends can wait for kept connections.
const WAITS: [u32; 3] = [1, 27, 4];

/// What a configuration lacks for these apps; `version` is that of the nginx that runs.
pub(super) fn review(text: &str, version: &str, apps: &[&AppSetup]) -> Result<Vec<Finding>, Fault> {
    let all = read(text);
    let mut findings: Vec<Finding> = Vec::new();
    let mut own = Vec::new();
    for app in apps {
        own.push((*app, passed(&all, &app.name)?));
    }
    for pass in own.iter().flat_map(|(_, passes)| passes) {
        findings.extend(kept(&all, pass, version));
    }
    findings.extend(ending(&all, apps));
    for (app, passes) in &own {
        findings.extend(passes.iter().filter_map(|pass| silent(&all, pass, app)));
        findings.extend(passes.iter().flat_map(|pass| location(&all, pass, &app.name, version)));
    }
    findings.extend(bypassing(&all, &own));
    // What holds for many is said once.
    let mut once: Vec<Finding> = Vec::new();
    for finding in findings {
        if !once.contains(&finding) {
            once.push(finding);
        }
    }
    Ok(once)
}

/// Why a reload loses requests.
const CUTS: &str = "a reload closes kept connections that are idle: a request that is on its way then is \
                    lost (a reuse race), which a client that does not repeat it sees";
/// Longest that a worker that ends should wait for kept connections.
const PATIENT: Duration = Duration::from_secs(10);

/// True of a finding that says that a reload cuts requests.
pub fn cuts(finding: &Finding) -> bool {
    finding.why == CUTS
}

/// What becomes of kept connections at a reload. Which setting holds is that of the location that answered
/// last on one, so others of the same server count, too.
fn kept(all: &[Directive], pass: &Directive, version: &str) -> Vec<Finding> {
    let name = "keepalive_min_timeout";
    // Where each answer closes its connection, none is idle.
    let timeout = holds(all, pass, "keepalive_timeout");
    if timeout.is_some_and(|set| time(set.arguments().get(..1).unwrap_or(&[])) == ZERO) {
        return Vec::new();
    }
    let http = block(all, pass, "http").map(|http| all[http].at.clone());
    if !at_least(version, WAITS) {
        let mut found = finding((name, None), http, "nginx 1.27.4 or newer", CUTS);
        found.value = format!("not available in nginx {version}");
        return vec![found];
    }
    let server = block(all, pass, "server");
    let beside = all.iter().filter(|one| {
        let elsewhere = !pass.within.starts_with(&one.within);
        one.name() == name && elsewhere && server.is_some_and(|server| inside(one, server))
    });
    let own = std::iter::once(holds(all, pass, name)).chain(beside.map(Some));
    let found = own.filter_map(|set| {
        let waits = set.and_then(|set| time(set.arguments())).unwrap_or_default();
        let why = match waits {
            Duration::ZERO => CUTS,
            long if long > PATIENT => {
                "workers that end serve the old version so long on kept connections, and a change \
                 waits for 10 s of that at most"
            }
            _ => return None,
        };
        Some(finding((name, set), http.clone(), "keepalive_min_timeout 5s;", why))
    });
    found.collect()
}

const ZERO: Option<Duration> = Some(Duration::ZERO);

/// How long workers live that end with something open.
fn ending(all: &[Directive], apps: &[&AppSetup]) -> Option<Finding> {
    let name = "worker_shutdown_timeout";
    let set = all.iter().rfind(|one| one.name() == name && one.within.is_empty());
    let first = all.first().map(|one| one.at.clone());
    let waits = set.and_then(|set| time(set.arguments())).unwrap_or_default();
    if waits.is_zero() {
        let why =
            "a worker with tunnels never ends after a reload; after this time its tunnels are cut";
        return Some(finding((name, set), first, "worker_shutdown_timeout 1h;", why));
    }
    let patient = apps.iter().max_by_key(|app| app.longest_request)?;
    let (app, longest) = (&patient.name, patient.longest_request);
    let attached = apps.iter().max_by_key(|app| app.tunnels)?;
    let why = if waits < longest {
        format!(
            "a worker that ends cuts requests then, and one of {app} may last {} (`longest_request`)",
            seconds(longest)
        )
    } else if waits < attached.tunnels {
        format!(
            "a worker that ends cuts tunnels then, and a rollout of {} gives them {} to move (`bake`, \
             `longest_request` and `handover_timeout`)",
            attached.name,
            seconds(attached.tunnels)
        )
    } else {
        return None;
    };
    let hours = longest.max(attached.tunnels).as_secs() / 3_600 + 1;
    Some(finding((name, set), first, &format!("worker_shutdown_timeout {hours}h;"), &why))
}

/// How long a client may be silent before its first request: nginx asks no such connection to close at a
/// reload, so the worker that has it ends with it.
fn silent(all: &[Directive], pass: &Directive, app: &AppSetup) -> Option<Finding> {
    let name = "client_header_timeout";
    let set = holds(all, pass, name);
    let waits = set.map_or(Some(SILENT), |set| time(set.arguments())).unwrap_or_default();
    let longest = first_word(app.longest_request);
    if waits <= longest.max(app.longest_request) {
        return None;
    }
    let why = format!(
        "a client that has not asked yet may come to a worker that ends for {}, and what {} leaves is ended \
         after {} (`longest_request`): a first request after that is lost",
        seconds(waits),
        app.name,
        seconds(app.longest_request)
    );
    let http = block(all, pass, "http").map(|http| all[http].at.clone());
    let needed = format!("{name} {};", written(longest));
    Some(finding((name, set), http, &needed, &why))
}

/// What it is in nginx without a word.
const SILENT: Duration = Duration::from_mins(1);

/// How long clients should be given for the head of a request: as long as one is waited for that comes to
/// what was left, and no longer than an honest one takes.
pub(super) fn first_word(longest_request: Duration) -> Duration {
    longest_request.clamp(Duration::from_secs(1), Duration::from_secs(10))
}

/// A time as nginx reads it.
pub(super) fn written(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_millis().div_ceil(1_000))
}

/// Where requests are passed to an app; a fault when that is nowhere.
fn passed<'a>(all: &'a [Directive], app: &AppName) -> Result<Vec<&'a Directive>, Fault> {
    let variable = variable(app);
    let ends = |word: &String| {
        let at = word.find(&variable)? + variable.len();
        let next = word[at..].chars().next();
        (!next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(())
    };
    let own: Vec<_> = passes(all)
        .filter(|one| one.words.get(1).is_some_and(|word| ends(word).is_some()))
        .collect();
    if !own.is_empty() {
        return Ok(own);
    }
    let what = format!("nginx passes nothing to {app}: no `proxy_pass` names `{variable}`");
    let fault = Fault::new(Kind::Config, what)
        .help(format!("write `proxy_pass http://{variable};` into the `location` of {app}"));
    Err(passes(all).take(3).fold(fault, |fault, one| {
        fault.note(format!("literal: `{}` ({})", one.words.join(" "), one.at))
    }))
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
