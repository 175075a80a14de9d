//! What a look would find once a step was done and every worker of nginx has taken it up. Pure.
//!
//! For plans of what is to come: whoever is asked can serve. It asks nobody and reloads nothing.

use super::seen::{Checked, Seen};
use super::step::Step;

/// What is there after `step`; `None` of a refusal, which leads to nothing.
pub(super) fn after(step: Step, mut seen: Seen) -> Option<Seen> {
    match step {
        Step::Check { instances, .. } => {
            seen.checked.retain(|one| !instances.contains(&one.instance));
            let well = |instance| Checked { instance, failing: None };
            seen.checked.extend(instances.into_iter().map(well));
        }
        Step::Publish { next, routes, .. } => {
            seen.record.before = std::mem::replace(&mut seen.record.routes, routes);
            seen.record.generation = next;
            seen.edited = false;
            taken_up(&mut seen);
        }
        Step::Reload { .. } => taken_up(&mut seen),
        Step::Refuse { .. } => return None,
    }
    Some(seen)
}

const fn taken_up(seen: &mut Seen) {
    seen.served = seen.record.generation;
    (seen.old, seen.lingering, seen.unserved, seen.told_ms) = (0, false, 0, None);
}
