//! What must hold beside a `proxy_pass` to an app, in its block or in those around it.
//!
//! Where that passes to is not looked at.

use model::AppName;

use super::conf::stamp;
use super::heard::at_least;
use super::named::finding;
use super::scope::{around, holds, in_force};
use super::written::Directive;
use crate::router::finding::Finding;

/// The version from which on requests go to instances by HTTP/1.1.
const KEEPS: [u32; 3] = [1, 29, 7];

/// What is missing there.
pub(super) fn location(
    all: &[Directive],
    pass: &Directive,
    app: &AppName,
    version: &str,
) -> Vec<Finding> {
    let at = || Some(pass.at.clone());
    let mut findings = Vec::new();
    let http = holds(all, pass, "proxy_http_version");
    let old = http.map_or(!at_least(version, KEEPS), |set| set.value() == "1.0");
    if old {
        let why = "tunnels need it, and without it each request opens a connection to an instance";
        let found = ("proxy_http_version", http);
        findings.push(finding(found, at(), "proxy_http_version 1.1;", why));
    }
    let upgrade = |one: &&Directive| {
        let header = one.words.get(1).map_or("", String::as_str);
        header.eq_ignore_ascii_case("upgrade")
    };
    let needed = "proxy_set_header Upgrade $http_upgrade;";
    let why = "WebSockets are not passed on";
    findings.extend(listed(all, pass, ("proxy_set_header", "Upgrade"), upgrade, (needed, why)));
    let stamp = stamp(app);
    let stamped = |one: &&Directive| one.words.get(2) == Some(&stamp);
    let needed = format!("add_header X-Cutover-Version {stamp} always;");
    let why = "an answer of nginx itself names no version: it counts against neither";
    let header = ("add_header", "X-Cutover-Version");
    findings.extend(listed(all, pass, header, stamped, (&needed, why)));
    findings.extend(repeats(all, pass));
    findings.extend(captured(all, pass));
    findings
}

/// What the `location` or the `server_name` has found by a pattern, by its number: to know whom it passes to,
/// nginx tries patterns of ours, and what those find takes its place.
fn captured(all: &[Directive], pass: &Directive) -> Option<Finding> {
    let headers = in_force(all, pass, "proxy_set_header");
    let set = std::iter::once(pass).chain(headers);
    let found = set.into_iter().find(|one| one.arguments().iter().any(|word| numbered(word)))?;
    let why = "`$1` to `$9` are lost where a rule of a target matches: they are found before, and the patterns \
               of rules take their place";
    let needed =
        "a name in the pattern, as in `location ~ ^/x/(?<rest>.*)$`, and `$rest` in place of `$1`";
    Some(finding((found.name(), Some(found)), None, needed, why))
}

/// True of a text with one of `$1` to `$9` in it, with braces or without.
fn numbered(text: &str) -> bool {
    let mut behind = text.split('$').skip(1);
    behind.any(|rest| rest.trim_start_matches('{').starts_with(|c: char| ('1'..='9').contains(&c)))
}

/// One of a list that must be in force: a list of an inner block takes the place of the one around it.
fn listed(
    all: &[Directive],
    pass: &Directive,
    (name, what): (&str, &str),
    wanted: impl Fn(&&Directive) -> bool,
    (needed, why): (&str, &str),
) -> Option<Finding> {
    let merged = holds(all, pass, &format!("{name}_inherit"));
    let merged = merged.is_some_and(|set| set.value() == "merge");
    let lists = if merged { around(all, pass, name) } else { in_force(all, pass, name) };
    if lists.iter().any(&wanted) {
        return None;
    }
    let setting = format!("{name} {what}");
    let mut found = finding((&setting, None), Some(pass.at.clone()), needed, why);
    let outside = around(all, pass, name).into_iter().rfind(|one| wanted(one));
    if let (Some(outside), Some(own)) = (outside, lists.first()) {
        found.value = format!("that of {} does not hold: {} has its own", outside.at, own.at);
    }
    Some(found)
}

/// What is asked of another instance when one fails.
fn repeats(all: &[Directive], pass: &Directive) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(set) = holds(all, pass, "proxy_next_upstream") {
        let has = |wanted: &str| set.arguments().iter().any(|word| word == wanted);
        let why = if has("off") || !has("error") {
            // `off` wins over whatever stands beside it.
            Some("a request to an instance that has just died is not asked of another one")
        } else if has("non_idempotent") {
            Some("`non_idempotent` does not look at the method: a POST is done twice")
        } else {
            None
        };
        let needed = "proxy_next_upstream error timeout;";
        let found = why.map(|why| finding(("proxy_next_upstream", Some(set)), None, needed, why));
        findings.extend(found);
    }
    let tries = holds(all, pass, "proxy_next_upstream_tries");
    if let Some(set) = tries.filter(|set| set.value() == "1") {
        let why = "a request to an instance that has just died is not asked of another one";
        let found = ("proxy_next_upstream_tries", Some(set));
        findings.push(finding(found, None, "proxy_next_upstream_tries 2;", why));
    }
    findings
}
