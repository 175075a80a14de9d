//! Compares a written configuration, section by section, with what zero loss needs. Pure.
//!
//! Only what carries requests to an app is looked at: the backends of Cutover's apps and the frontends
//! that use them, or, where none of these is there, every section of `mode http`. It asks no HAProxy.

mod entrance;
mod global;
mod lacks;
mod pool;
mod repeats;

use super::written::{Section, Sort, Written, read};
use crate::router::finding::Finding;
use lacks::Lacks;
use pool::OURS;

/// The backend that begins like those of apps and is none.
const ONWARD: &str = "cutover_onward";

/// What files of configuration lack together; each is a name and a text, in the order in which HAProxy
/// is given them.
pub fn review(files: &[(String, String)]) -> Vec<Finding> {
    let written = read(files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    let mut findings = global::review(&written);
    let Carriers { entrances, pools } = carriers(&written);
    if pools.is_empty() {
        let mut lacks = Lacks::of(None);
        let why = "versions and shares are chosen per request, and nothing here carries requests";
        lacks.add("a `backend` with servers", None, "one of `mode http`", why);
        findings.extend(lacks.found);
    }
    findings.extend(entrances.iter().flat_map(|one| entrance::review(&written, one)));
    findings.extend(pools.iter().flat_map(|one| pool::review(&written, one, &entrances)));
    findings
}

/// The sections that carry requests.
struct Carriers<'a> {
    entrances: Vec<&'a Section>,
    pools: Vec<&'a Section>,
}

fn carriers(written: &Written) -> Carriers<'_> {
    let http = |one: &&Section| {
        let mode = written.setting(one, &["mode"]);
        mode.is_some_and(|mode| mode.has("http"))
    };
    let ours = |one: &&Section| one.name.starts_with(OURS) && one.name != ONWARD;
    let pool = |one: &&Section| {
        matches!(one.sort, Sort::Backend | Sort::Listen)
            && one.name != ONWARD
            && (ours(one) || pool::servers(one).next().is_some())
    };
    let mut pools: Vec<&Section> = written.sections.iter().filter(pool).filter(http).collect();
    let mine = pools.iter().any(ours);
    pools.retain(|one| !mine || ours(one));
    let enters = |one: &&Section| {
        let to = |word| one.settings.iter().filter(move |set| set.begins(&[word]));
        let mut to = to("use_backend").chain(to("default_backend"));
        match one.sort {
            Sort::Frontend if mine => to.any(|set| set.text().contains(OURS)),
            Sort::Frontend => to.next().is_some(),
            Sort::Listen => !mine && pool::servers(one).next().is_some(),
            _ => false,
        }
    };
    let entrances = written.sections.iter().filter(enters).filter(http).collect();
    Carriers { entrances, pools }
}

#[cfg(test)]
mod tests;
