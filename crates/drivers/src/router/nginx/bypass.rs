//! Requests of users that pass Cutover by: a `proxy_pass` that names an address, in a server that passes
//! requests to an app, or in one of the same name.
//!
//! What really answers at such an address is not known: it may be another service.

use super::conf::variable;
use super::named::finding;
use super::scope::{block, passes};
use super::setup::AppSetup;
use super::written::Directive;
use crate::router::finding::{Finding, Severity};

/// Those that would be an app's, by host and path; `own`: the apps, and where requests are passed to each.
pub(super) fn bypassing(all: &[Directive], own: &[(&AppSetup, Vec<&Directive>)]) -> Vec<Finding> {
    let literal = passes(all).filter(|pass| literal(pass));
    let found = literal.filter_map(|pass| {
        let beside = own.iter().filter_map(|(app, passes)| Some((app, takes(all, pass, (app, passes))?)));
        let (app, severity) = beside.max_by_key(|(app, severity)| {
            (*severity == Severity::Loses, app.path_prefix.len())
        })?;
        let (name, edit) = (&app.name, format!("proxy_pass http://{};", variable(&app.name)));
        let stays = "requests go there whatever Cutover switches";
        let (needed, why) = match severity {
            Severity::Loses => (
                edit,
                format!("{stays}: if that is {name}, they stay on one version, and are lost when it ends"),
            ),
            Severity::Note => (
                "nothing, if another service answers there".to_owned(),
                format!("{stays}; if that is {name}, write `{edit}`"),
            ),
        };
        let found = finding(("proxy_pass", Some(pass)), None, &needed, &why);
        Some(Finding { severity, ..found })
    });
    found.collect()
}

/// Whether it takes requests of an app, and how surely: what lies under a path of the app is its own, and
/// anything else beside it may be another service. All lies under `/`, so that tells nothing.
fn takes(
    all: &[Directive],
    pass: &Directive,
    (app, passes): (&AppSetup, &[&Directive]),
) -> Option<Severity> {
    if names_pool(pass, app) {
        return Some(Severity::Loses);
    }
    let of = |server| passes.iter().filter(move |one| beside(all, pass, one) == server);
    let here = of(Beside::Here).next().is_some();
    let own: Vec<_> = of(if here { Beside::Here } else { Beside::Namesake }).collect();
    if own.is_empty() {
        return None;
    }
    // What no plain path says may be anything.
    let Some(taken) = path(all, pass) else { return Some(Severity::Note) };
    let prefix = app.path_prefix.as_str();
    let mut served = own.iter().filter_map(|one| path(all, one)).chain([prefix]);
    // A server that passes nothing else to the app takes all that lies under its own path.
    let covers = |served: &str| !here && served.starts_with(taken);
    if served.any(|served| under(taken, served) || covers(served)) {
        return Some(Severity::Loses);
    }
    taken.starts_with(prefix).then_some(Severity::Note)
}

/// True of an upstream that Cutover wrote for one version of the app.
fn names_pool(pass: &Directive, app: &AppSetup) -> bool {
    let to = pass.words.get(1).map_or("", String::as_str);
    let of = format!("://{}_r", variable(&app.name).trim_start_matches('$'));
    // Another app may have a name that goes on.
    let release = to.split_once(&of).and_then(|(_, rest)| rest.split(['/', ':', '$']).next());
    release
        .is_some_and(|release| !release.is_empty() && release.bytes().all(|c| c.is_ascii_digit()))
}

/// True of the same path, and of one below it.
fn under(path: &str, served: &str) -> bool {
    let below = path.strip_prefix(served.trim_end_matches('/'));
    path == served || served != "/" && below.is_some_and(|rest| rest.starts_with('/'))
}

/// True when the address is written out, if only its beginning.
fn literal(pass: &Directive) -> bool {
    let to = pass.words.get(1).map_or("", String::as_str);
    let to = to.split_once("://").map_or(to, |(_, to)| to);
    !to.is_empty() && !to.starts_with('$')
}

/// How two stand to each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    /// In one server.
    Here,
    /// In two of one name, such as with and without TLS.
    Namesake,
    Not,
}

fn beside(all: &[Directive], pass: &Directive, own: &Directive) -> Beside {
    let servers = [pass, own].map(|one| block(all, one, "server"));
    let [Some(server), Some(owner)] = servers else { return Beside::Not };
    if server == owner {
        return Beside::Here;
    }
    let same = names(all, server).any(|name| names(all, owner).any(|own| own == name));
    if same { Beside::Namesake } else { Beside::Not }
}

/// The names of a server that mean somebody: `_` and none are written for whoever comes.
fn names(all: &[Directive], server: usize) -> impl Iterator<Item = &str> {
    let named =
        move |one: &&Directive| one.name() == "server_name" && one.within.last() == Some(&server);
    let words = all.iter().filter(named).flat_map(Directive::arguments);
    words.map(String::as_str).filter(|name| !["", "_"].contains(name))
}

/// The path that its location begins with; `None` where that is not plain.
fn path<'a>(all: &'a [Directive], pass: &Directive) -> Option<&'a str> {
    match all.get(block(all, pass, "location")?)?.arguments() {
        // `=` and `^~` are plain, `~` and `~*` are patterns.
        [path] if path.starts_with('/') => Some(path),
        [kind, path] if !kind.starts_with('~') => Some(path),
        _ => None,
    }
}
