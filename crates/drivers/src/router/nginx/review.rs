//! What a configuration of nginx lacks: setting, value, needed, why.
//!
//! What makes work impossible is a fault. It reads the text that nginx printed, and asks nobody.

use std::time::Duration;

use model::{AppName, Fault, Kind};

use super::conf::{stamp, variable};
use super::heard::at_least;
use super::written::{Directive, read, time};
use crate::router::finding::{At, Finding};

/// The version from which on a worker that ends can wait for kept connections.
const WAITS: [u32; 3] = [1, 27, 4];
/// The version from which on requests go to instances by HTTP/1.1.
const KEEPS: [u32; 3] = [1, 29, 7];

/// What a configuration lacks for these apps; `version` is that of the nginx that runs.
pub(super) fn review(text: &str, version: &str, apps: &[AppName]) -> Result<Vec<Finding>, Fault> {
    let all = read(text);
    let mut findings: Vec<Finding> = kept(&all, version).into_iter().collect();
    findings.extend(ending(&all));
    for app in apps {
        let passed = passed(&all, app)?;
        findings.extend(passed.into_iter().flat_map(|pass| location(&all, pass, app, version)));
    }
    findings.extend(repeats(&all));
    Ok(findings)
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

fn finding(one: (&str, Option<&Directive>), at: Option<At>, needed: &str, why: &str) -> Finding {
    let value = one.1.map_or_else(|| "not set".to_owned(), |set| set.words.join(" "));
    Finding {
        section: "nginx".to_owned(),
        setting: one.0.to_owned(),
        value,
        at: one.1.map(|set| set.at.clone()).or(at),
        needed: needed.to_owned(),
        why: why.to_owned(),
    }
}

/// A reload closes kept connections that are idle, unless told to wait, and what waits for very long keeps
/// a change from being in effect.
fn kept(all: &[Directive], version: &str) -> Option<Finding> {
    let name = "keepalive_min_timeout";
    let set = all.iter().rfind(|one| one.name() == name);
    if !at_least(version, WAITS) {
        let mut found = finding((name, None), http(all), "nginx 1.27.4 or newer", CUTS);
        found.value = format!("not available in nginx {version}");
        return Some(found);
    }
    let waits = set.and_then(|set| time(set.words.get(1..)?)).unwrap_or_default();
    let why = match waits {
        Duration::ZERO => CUTS,
        long if long > PATIENT => {
            "workers that end serve the old version so long on kept connections, and a change waits \
             for 10 s of that at most"
        }
        _ => return None,
    };
    Some(finding((name, set), http(all), "keepalive_min_timeout 5s;", why))
}

fn http(all: &[Directive]) -> Option<At> {
    all.iter().find(|one| one.name() == "http").map(|one| one.at.clone())
}

/// How long workers with tunnels live.
fn ending(all: &[Directive]) -> Option<Finding> {
    let name = "worker_shutdown_timeout";
    let set = all.iter().rfind(|one| one.name() == name);
    let first = all.first().map(|one| one.at.clone());
    set.is_none().then(|| {
        let why = "a worker with tunnels never ends after a reload; after this time its tunnels are \
                   cut";
        finding((name, None), first, "worker_shutdown_timeout 1h;", why)
    })
}

/// Where requests are passed to an app; a fault when that is nowhere.
fn passed<'a>(all: &'a [Directive], app: &AppName) -> Result<Vec<&'a Directive>, Fault> {
    let variable = variable(app);
    let ends = |word: &String| {
        let at = word.find(&variable)? + variable.len();
        let next = word[at..].chars().next();
        (!next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(())
    };
    let passes = || all.iter().filter(|one| one.name() == "proxy_pass");
    let own: Vec<_> =
        passes().filter(|one| one.words.get(1).is_some_and(|word| ends(word).is_some())).collect();
    if !own.is_empty() {
        return Ok(own);
    }
    let what = format!("nginx passes nothing to {app}: no `proxy_pass` names `{variable}`");
    let fault = Fault::new(Kind::Config, what)
        .help(format!("write `proxy_pass http://{variable};` into the `location` of {app}"));
    Err(passes().take(3).fold(fault, |fault, one| {
        fault.note(format!("literal: `{}` ({})", one.words.join(" "), one.at))
    }))
}

/// What holds beside a `proxy_pass`: in its block, or in those around it.
fn holds<'a>(
    all: &'a [Directive],
    pass: &Directive,
    wanted: impl Fn(&Directive) -> bool,
) -> Option<&'a Directive> {
    let around = |one: &&Directive| {
        one.at.file == pass.at.file && pass.within.starts_with(&one.within) && wanted(one)
    };
    all.iter().filter(around).max_by_key(|one| one.within.len())
}

fn location(all: &[Directive], pass: &Directive, app: &AppName, version: &str) -> Vec<Finding> {
    let at = || Some(pass.at.clone());
    let mut findings = Vec::new();
    let http = holds(all, pass, |one| one.name() == "proxy_http_version");
    let old = http.map_or(!at_least(version, KEEPS), |set| set.value() == "1.0");
    if old {
        let why = "tunnels need it, and without it each request opens a connection to an instance";
        let found = ("proxy_http_version", http);
        findings.push(finding(found, at(), "proxy_http_version 1.1;", why));
    }
    let upgrade = |one: &Directive| {
        let header = one.words.get(1).map_or("", String::as_str);
        one.name() == "proxy_set_header" && header.eq_ignore_ascii_case("upgrade")
    };
    if holds(all, pass, upgrade).is_none() {
        let needed = "proxy_set_header Upgrade $http_upgrade;";
        let why = "WebSockets are not passed on";
        findings.push(finding(("proxy_set_header Upgrade", None), at(), needed, why));
    }
    let stamp = stamp(app);
    let stamped = |one: &Directive| one.name() == "add_header" && one.words.get(2) == Some(&stamp);
    if holds(all, pass, stamped).is_none() {
        let needed = format!("add_header X-Cutover-Version {stamp} always;");
        let why = "an answer of nginx itself names no version: it counts against neither";
        findings.push(finding(("add_header X-Cutover-Version", None), at(), &needed, why));
    }
    findings
}

/// What is asked of another instance when one fails.
fn repeats(all: &[Directive]) -> Vec<Finding> {
    let set = all.iter().filter(|one| one.name() == "proxy_next_upstream");
    let found = set.filter_map(|set| {
        let words = set.words.get(1..).unwrap_or_default();
        let has = |wanted: &str| words.iter().any(|word| word == wanted);
        let why = if has("non_idempotent") {
            "`non_idempotent` does not look at the method: a POST is done twice"
        } else if has("off") || !has("error") {
            "a request to an instance that has just died is not asked of another one"
        } else {
            return None;
        };
        let needed = "proxy_next_upstream error timeout;";
        Some(finding(("proxy_next_upstream", Some(set)), None, needed, why))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::{cuts, review};
    use model::AppName;

    const GOOD: &str = "# configuration file /e/nginx.conf:
worker_shutdown_timeout 1h;
http {
    keepalive_min_timeout 5s;
    proxy_set_header Upgrade $http_upgrade;
    server {
        location / {
            proxy_pass http://$cutover_demo;
            proxy_http_version 1.1;
            add_header X-Cutover-Version $cutoverstamp_demo always;
        }
    }
}
";

    fn of(text: &str, version: &str) -> Vec<String> {
        let apps = [AppName::new("demo").unwrap()];
        let found = review(text, version, &apps).unwrap();
        found
            .iter()
            .map(|one| format!("{}: {} -> {}", one.setting, one.value, one.needed))
            .collect()
    }

    #[test]
    fn each_setting_that_loses_requests_is_named_with_its_edit() {
        assert_eq!(of(GOOD, "1.30.6"), Vec::<String>::new());
        for (there, instead, version, wanted) in [
            (
                "keepalive_min_timeout 5s;",
                "",
                "1.30.6",
                "keepalive_min_timeout: not set -> keepalive_min_timeout 5s;",
            ),
            (
                "keepalive_min_timeout 5s;",
                "keepalive_min_timeout 0;",
                "1.27.4",
                "keepalive_min_timeout: keepalive_min_timeout 0 -> keepalive_min_timeout 5s;",
            ),
            (
                "keepalive_min_timeout 5s;",
                "",
                "1.26.3",
                "keepalive_min_timeout: not available in nginx 1.26.3 -> nginx 1.27.4 or newer",
            ),
            (
                "keepalive_min_timeout 5s;",
                "keepalive_min_timeout 1m;",
                "1.30.6",
                "keepalive_min_timeout: keepalive_min_timeout 1m -> keepalive_min_timeout 5s;",
            ),
            (
                "worker_shutdown_timeout 1h;",
                "",
                "1.30.6",
                "worker_shutdown_timeout: not set -> worker_shutdown_timeout 1h;",
            ),
            (
                "proxy_http_version 1.1;",
                "",
                "1.28.0",
                "proxy_http_version: not set -> proxy_http_version 1.1;",
            ),
            (
                "proxy_set_header Upgrade $http_upgrade;",
                "",
                "1.30.6",
                "proxy_set_header Upgrade: not set -> proxy_set_header Upgrade $http_upgrade;",
            ),
            (
                "    server",
                "    proxy_next_upstream error non_idempotent; server",
                "1.30.6",
                "proxy_next_upstream: proxy_next_upstream error non_idempotent -> \
              proxy_next_upstream error timeout;",
            ),
            (
                "    server",
                "    proxy_next_upstream off; server",
                "1.30.6",
                "proxy_next_upstream: proxy_next_upstream off -> proxy_next_upstream error timeout;",
            ),
        ] {
            assert_eq!(of(&GOOD.replace(there, instead), version), [wanted]);
        }
        assert_eq!(
            of(&GOOD.replace("proxy_http_version 1.1;", ""), "1.29.7"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_literal_proxy_pass_is_refused_with_its_place() {
        for literal in ["http://127.0.0.1:3000", "http://$cutover_demo_1"] {
            let text = GOOD.replace("http://$cutover_demo;", &format!("{literal};"));
            let fault = review(&text, "1.30.6", &[AppName::new("demo").unwrap()]).unwrap_err();
            assert!(fault.notes[0].contains(literal), "{fault:?}");
            assert!(fault.notes[0].contains("/e/nginx.conf:7"), "{fault:?}");
            assert!(fault.help.unwrap().contains("proxy_pass http://$cutover_demo;"));
        }
    }

    #[test]
    fn only_one_finding_says_that_a_reload_cuts() {
        let apps = [AppName::new("demo").unwrap()];
        let found = review(&GOOD.replace("_min_timeout 5s", "_min_timeout 0"), "1.30.6", &apps);
        assert!(found.unwrap().iter().all(cuts));
        let found = review(&GOOD.replace("_min_timeout 5s", "_min_timeout 1m"), "1.30.6", &apps);
        assert!(!found.unwrap().iter().any(cuts));
        let found = review(&GOOD.replace("worker_shutdown_timeout 1h;", ""), "1.30.6", &apps);
        assert!(!found.unwrap().iter().any(cuts));
    }
}
