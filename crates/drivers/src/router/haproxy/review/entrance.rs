//! Where users come in: a frontend, or the front of a `listen`.
//!
//! Where requests go from there is looked at in `pool`.

use super::lacks::Lacks;
use crate::router::finding::Finding;
use crate::router::haproxy::written::{Said, Section, Written};

/// What it lacks.
pub(super) fn review(written: &Written, section: &Section) -> Vec<Finding> {
    let mut lacks = Lacks::of(Some(section));
    let idle = "option idle-close-on-response";
    let lost = "each idle keep-alive client loses one request at a reload";
    match written.option(section, "idle-close-on-response") {
        Said::On => {}
        Said::Off(there) => lacks.add(idle, Some(there), idle, lost),
        Said::Nothing => lacks.add(idle, None, idle, lost),
    }
    if written.setting(section, &["timeout", "client"]).is_none() {
        let why = "a client that went without a word holds its request, and a drain waits for it";
        lacks.add("timeout client", None, "timeout client 60s", why);
    }
    lacks.found
}
