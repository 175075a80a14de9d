//! What `[router]` says of any router that is not Cutover's own: keys that it must have, where users come
//! in, its program. What only one sort has is read elsewhere.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rollout::Inconclusive;

use super::address;
use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::section::Section;
use super::shape::{AppConfig, Strategy};

/// Refuses when a key is missing that has an example.
pub(super) fn must_have(
    keys: &[(&'static str, &str)],
    router: &Section<'_>,
    whose: &str,
    reader: &mut Reader,
) {
    let kind = router.field("kind").map_or(0..0, |field| field.span);
    // The others may be left out.
    for (key, example) in keys.iter().filter(|(_, example)| !example.is_empty()) {
        if router.field(key).is_none() && !router.probably_has(key) {
            reader.push(
                Diagnostic::new(format!("`[router]` lacks `{key}`"))
                    .at(&kind, format!("{whose} needs it"))
                    .help(format!("add a line such as `{key} = {example}`")),
            );
        }
    }
}

/// Where users come in, in plain text and over TLS, each with a port.
pub(super) fn entrances(
    router: &Section<'_>,
    carrier: &str,
    reader: &mut Reader,
) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    let (listen, secure) = address::of_router(router, reader);
    if let Some(field) = router.field("listen").filter(|_| listen.iter().any(|at| at.port() == 0)) {
        reader.push(
            Diagnostic::new(format!(
                "`listen` names port 0, and nobody would know where {carrier} listens"
            ))
            .at(&field.span, "")
            .help("write the port that users come to, such as \"127.0.0.1:8080\""),
        );
    }
    (listen, secure)
}

/// A name alone is looked up in PATH, everything else is relative to the file.
pub(super) fn program(text: &str, folder: &Path) -> PathBuf {
    if text.contains('/') { folder.join(text) } else { PathBuf::from(text) }
}

/// Where the file asks for what only requests that are told one by one could show.
fn unjudged(app: &AppConfig, section: &Section<'_>) -> Vec<(&'static str, Range<usize>)> {
    let Some(analysis) = &app.rollout.analysis else { return Vec::new() };
    let asks = [
        ("p99", analysis.p99.is_some()),
        ("early", analysis.early),
        ("inconclusive", analysis.inconclusive != Inconclusive::Promote),
    ];
    let Some(rollout) = section.field("rollout") else { return Vec::new() };
    let Some(written) = rollout.value.get("analysis") else { return Vec::new() };
    let asked = asks.iter().filter(|(_, asks)| *asks);
    asked.filter_map(|(key, _)| Some((*key, written.get_ref().get(*key)?.span()))).collect()
}

/// Refuses of an app what only Cutover's own proxy can do, and what was `found` besides; `carrier` has
/// its name and what it calls pages for errors.
pub(super) fn refuse(
    (carrier, pages): (&str, &str),
    (app, section): (&AppConfig, &Section<'_>),
    found: Vec<(String, &'static str)>,
    reader: &mut Reader,
) {
    let mut refuse = |what: String, at: (&Range<usize>, &str), help: String| {
        reader.push(Diagnostic::new(what).at(at.0, at.1).help(help));
    };
    let whole = (&section.span, "of this app");
    if matches!(app.rollout.strategy, Strategy::Recreate { .. }) {
        let what =
            format!("{carrier} cannot let requests wait while the only copy of an app is replaced");
        let help = "let Cutover's own proxy carry it (remove `[router]`), or use another strategy";
        refuse(what, whole, help.to_owned());
    }
    if app.rollout.handover.is_some() {
        let what =
            format!("{carrier} does not read WebSockets, so it cannot tell their clients to leave");
        let help = "remove `handover`, or let Cutover's own proxy carry it (remove `[router]`)";
        refuse(what, whole, help.to_owned());
    }
    if let Some(field) = section.field("instances").filter(|_| app.source.is_some()) {
        let what = format!("{carrier} is not told of instances that somebody else starts");
        let help = format!(
            "let {carrier} find them itself, or let Cutover's own proxy carry the traffic (remove \
             `[router]`)"
        );
        refuse(what, (&field.span, ""), help);
    }
    for (key, span) in unjudged(app, section) {
        let what =
            format!("{carrier} tells nothing of single requests, so nobody would judge by `{key}`");
        let help = "remove it; a limit can be a metric of yours (`metrics`), or let Cutover's own proxy carry \
                    the traffic (remove `[router]`)";
        refuse(what, (&span, ""), help.to_owned());
    }
    let ours = format!("by Cutover's own proxy, and here {carrier} carries the traffic");
    if let Some(field) = section.field("limits") {
        let help = format!(
            "remove the section, and write `timeout`s and rules in {carrier}'s own configuration"
        );
        refuse(format!("limits are kept {ours}"), (&field.span, ""), help);
    }
    for field in ["error_pages", "maintenance"].iter().filter_map(|key| section.field(key)) {
        let help = format!("remove it, and write `{pages}` in {carrier}'s own configuration");
        refuse(format!("`{}` is answered {ours}", field.key), (&field.span, ""), help);
    }
    let spread = |unfit: bool, what: &str| {
        unfit.then(|| (what.to_owned(), "remove it, or have Cutover's own proxy carry the traffic"))
    };
    let sticky = spread(app.rollout.cohorts.is_some(), "cohorts (`sticky`)");
    let slow = spread(!app.slow_start.is_zero(), "a slow start (`slow_start`)");
    for (why, help) in found.into_iter().chain(sticky).chain(slow) {
        refuse(format!("{carrier} cannot carry {why}"), whole, help.to_owned());
    }
}
