//! What a look would find once a step was done and the follower has followed. Pure.
//!
//! For plans of what is to come: Consul's checks pass, the follower is seen to follow, and nothing is open on
//! who leaves. It asks nobody and does nothing.

use model::{InstanceId, Routes};

use super::record::Record;
use super::seen::{Seen, Sighted, State, There, group};
use super::step::Step;

/// What is there after `step`; `None` of a refusal, which leads to nothing.
pub(super) fn after(step: Step, mut seen: Seen) -> Option<Seen> {
    seen.sighted = Sighted::default();
    match step {
        Step::Publish { routes, .. } => {
            seen.record = published(routes, seen.record);
            seen.of_another = false;
        }
        Step::Register { release, instance, .. } => {
            seen.there.retain(|there| there.id != instance.id);
            let (group, state) = (group(release), State::Passing);
            let (id, address) = (instance.id, instance.address);
            seen.there.push(There { id, group, address, state, open: 0 });
            seen.there.sort_by(|a, b| a.id.cmp(&b.id));
            seen.record.followed = false;
        }
        Step::Restore { id, .. } => {
            of(&mut seen, &id).for_each(|there| there.state = State::Passing);
            seen.record.followed = false;
        }
        Step::Leave { id, .. } => {
            of(&mut seen, &id).for_each(|there| (there.state, there.open) = (State::Parted, 0));
            seen.record.followed = false;
        }
        Step::Note { .. } => {
            (seen.record.carried, seen.record.followed) = (seen.record.routes.clone(), true);
        }
        Step::Remove { id, .. } => seen.there.retain(|there| there.id != id),
        Step::Refuse { .. } => return None,
    }
    Some(seen)
}

fn published(routes: Option<Routes>, before: Record) -> Record {
    let generation = before.generation.saturating_add(1);
    Record { generation, routes, followed: false, ..before }
}

fn of<'a>(seen: &'a mut Seen, id: &'a InstanceId) -> impl Iterator<Item = &'a mut There> {
    seen.there.iter_mut().filter(move |there| there.id == *id)
}
