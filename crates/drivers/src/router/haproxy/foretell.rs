//! What a look would find once a step was done and HAProxy has followed. Pure.
//!
//! For plans of what is to come: checks pass, and nothing is open on what is taken out. It asks no
//! HAProxy and does nothing.

use super::record::Record;
use super::seen::{Condition, Seen, Server};
use super::step::Step;

/// What is there after `step`; `None` of a refusal, which leads to nothing.
pub(super) fn after(step: Step, mut seen: Seen) -> Option<Seen> {
    match step {
        Step::Add { slot, instance, .. } => {
            seen.servers.retain(|server| server.slot != slot || server.id != instance.id);
            seen.servers.push(Server {
                slot,
                id: instance.id,
                address: Some(instance.address),
                condition: Condition::Passing,
                open: 0,
            });
        }
        Step::Recheck { slot, id, .. } => of(&mut seen, |s| s.slot == slot && s.id == id)
            .for_each(|server| server.condition = Condition::Passing),
        Step::Reweigh { slot, id, .. } => of(&mut seen, |s| s.slot == slot && s.id == id)
            .for_each(|server| server.condition = Condition::Ready),
        Step::Publish { record, ready, .. } => {
            of(&mut seen, |s| ready.iter().any(|(slot, id)| s.slot == *slot && s.id == *id))
                .for_each(|server| server.condition = Condition::Ready);
            // Epoch and worker are noted by whoever publishes.
            let Record { epoch, worker, .. } = seen.record;
            (seen.record, seen.edited) = (Record { epoch, worker, ..record }, None);
        }
        Step::Leave { slot, id, .. } => of(&mut seen, |s| s.slot == slot && s.id == id)
            .for_each(|server| (server.condition, server.open) = (Condition::Maint, 0)),
        Step::Remove { slot, id, .. } => {
            seen.servers.retain(|server| server.slot != slot || server.id != id);
        }
        Step::Refuse { .. } => return None,
    }
    Some(seen)
}

fn of(seen: &mut Seen, which: impl Fn(&Server) -> bool) -> impl Iterator<Item = &mut Server> {
    seen.servers.iter_mut().filter(move |server| which(server))
}
