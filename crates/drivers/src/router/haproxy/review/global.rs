//! The global part: the runtime API, and what a reload leaves behind.
//!
//! What a running one has of it is not seen here, but in `preflight`.

use super::lacks::Lacks;
use crate::router::finding::Finding;
use crate::router::haproxy::written::{Setting, Sort, Written};

/// What it lacks.
pub(super) fn review(written: &Written) -> Vec<Finding> {
    let section = written.sections.iter().find(|one| one.sort == Sort::Global);
    let mut lacks = Lacks::of(section);
    let sockets: Vec<&Setting> =
        written.global().filter(|set| set.begins(&["stats", "socket"])).collect();
    // Without one there is one thing to say, not two.
    let last = sockets.last().copied();
    if !sockets.iter().any(|set| set.after("level") == Some("admin")) {
        lacks.add("stats socket", last, "level admin", "Cutover cannot change anything");
    }
    if last.is_some() && !sockets.iter().any(|set| set.after("expose-fd") == Some("listeners")) {
        let why = "connections are refused while a reload starts";
        lacks.add("stats socket", last, "expose-fd listeners", why);
    }
    if !written.global().any(|set| set.begins(&["hard-stop-after"])) {
        let why = "a worker with tunnels never ends after a reload";
        lacks.add("hard-stop-after", None, "hard-stop-after 1h", why);
    }
    lacks.found
}
