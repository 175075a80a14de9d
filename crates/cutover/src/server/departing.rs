//! Instances that are to go although no rollout sees to it: what is too many after `instances` was
//! lowered, and releases that nobody names any more.
//!
//! They go the way that a rollout's do: out of the routes, requests finished, told to end, tunnels
//! gone. Looks are passed in; nothing is done here, and what a rollout decides is left alone.

use std::collections::BTreeMap;

use drivers::platform::{FleetHave, FleetWant, InstanceHave, Leave, ReleaseHave, ReleaseWant};
use drivers::router::{Open, RoutesHave};
use model::{InstanceId, Release, ReleaseId, RunState};

/// How long an instance may take to end when the server hurries, ms.
const HURRY_MS: u64 = 1_000;

/// How long an instance that goes may keep what is open on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For requests, from when it was first seen out of the routes, ms.
    pub(super) requests_ms: u64,
    /// For tunnels, from when it was told to end, ms.
    pub(super) tunnels_ms: u64,
}

/// What should be true of an app's instances, and who is to get no new request.
#[derive(Clone, Debug)]
pub(super) struct Staffed {
    /// For the platform.
    pub(super) want: FleetWant,
    /// In no pool of the routes.
    pub(super) without: Vec<InstanceId>,
}

/// Everything ends, and soon.
pub(super) fn hurried(fleet: &FleetHave) -> FleetWant {
    let end = |known: &ReleaseHave| {
        let stop_timeout_ms = known.release.stop_timeout_ms.min(HURRY_MS);
        let release = Release { stop_timeout_ms, ..known.release.clone() };
        ReleaseWant { release, instances: 0, state: RunState::Gone, leave: None }
    };
    FleetWant { app: fleet.app.clone(), releases: fleet.releases.iter().map(end).collect() }
}

/// Who is on the way out, and since when.
#[derive(Debug, Default)]
pub(super) struct Departing {
    /// When each was first seen out of the routes, on the platform's clock, ms.
    out_ms: BTreeMap<InstanceId, u64>,
}

impl Departing {
    /// Adds to `want` what leaves by and by. Without a look at the router nobody new is told to end.
    pub(super) fn staff(
        &mut self,
        mut want: FleetWant,
        fleet: &FleetHave,
        routes: Option<&RoutesHave>,
        patience: Patience,
    ) -> Staffed {
        self.out_ms.retain(|id, _| fleet.instances.iter().any(|i| i.id == *id));
        if routes.is_none() {
            nobody_new(&mut want, fleet);
        }
        let mut without: Vec<InstanceId> =
            want.releases.iter().flat_map(|release| fleet.picked(release)).collect();
        let known: Vec<ReleaseId> = fleet.releases.iter().map(|known| known.release.id).collect();
        for id in known {
            let view = View { fleet, routes, patience };
            let Some(mut release) = unattended(&mut want, fleet, id) else { continue };
            let going = self.going(&release, view);
            without.extend(going.iter().map(|going| going.id.clone()));
            release.leave = leave(&going, view);
            if release.leave.is_some() {
                want.releases.retain(|other| other.release.id != id);
                want.releases.push(release);
            }
        }
        want.releases.sort_by_key(|release| release.release.id);
        Staffed { want, without }
    }

    /// The instances of a release that leave, each with whether it may be told to end.
    fn going<'a>(&mut self, want: &ReleaseWant, view: View<'a>) -> Vec<Going<'a>> {
        let everybody = Leave { instances: u16::MAX, named: Vec::new(), state: RunState::Running };
        let picks = view.fleet.picked(&ReleaseWant { leave: Some(everybody), ..want.clone() });
        let unclear = view.fleet.unrecorded(want.release.id);
        let mut going = Vec::new();
        for instance in view.fleet.of(want.release.id).filter(|i| i.exists()) {
            let told = instance.told_at_ms.is_some();
            if told || (picks.contains(&instance.id) && !unclear) {
                let ready = told || self.may_go(instance, view);
                going.push(Going { id: &instance.id, instance, ready });
            }
        }
        going
    }

    /// Nothing new goes to it, and what it had is finished or out of time.
    fn may_go(&mut self, instance: &InstanceHave, view: View<'_>) -> bool {
        let Some(routes) = view.routes else { return false };
        if routes.routed(&instance.id) {
            self.out_ms.remove(&instance.id);
            return false;
        }
        let now_ms = view.fleet.now_ms;
        let out_ms = *self.out_ms.entry(instance.id.clone()).or_insert(now_ms);
        view.open(&instance.id).requests == 0
            || now_ms.saturating_sub(out_ms) >= view.patience.requests_ms
    }
}

/// What was seen, and how long anything may take.
#[derive(Clone, Copy)]
struct View<'a> {
    fleet: &'a FleetHave,
    routes: Option<&'a RoutesHave>,
    patience: Patience,
}

impl View<'_> {
    /// What is open on an instance; one that the router does not know has nothing.
    fn open(&self, id: &InstanceId) -> Open {
        self.routes.and_then(|routes| routes.instances.get(id)).copied().unwrap_or_default()
    }
}

/// An instance on its way out.
struct Going<'a> {
    id: &'a InstanceId,
    instance: &'a InstanceHave,
    /// It may be told to end, or was.
    ready: bool,
}

/// What is wanted of a release that no rollout decides about; `None` when one does, or when nobody
/// of it is there.
fn unattended(want: &mut FleetWant, fleet: &FleetHave, id: ReleaseId) -> Option<ReleaseWant> {
    if let Some(wanted) = want.releases.iter().find(|wanted| wanted.release.id == id) {
        let free = wanted.state == RunState::Running && wanted.leave.is_none();
        // How many there are of those that are found is not ours to say, nor when they end.
        let started = wanted.release.source.is_none();
        return (free && started).then(|| wanted.clone());
    }
    let release = fleet.release(id)?.release.clone();
    if release.source.is_some() {
        return None;
    }
    let there = fleet.of(id).any(InstanceHave::exists);
    there.then_some(ReleaseWant { release, instances: 0, state: RunState::Running, leave: None })
}

/// Takes back what was not done yet: a router that cannot be looked at may carry anything.
fn nobody_new(want: &mut FleetWant, fleet: &FleetHave) {
    let told =
        |id: &InstanceId| fleet.instances.iter().any(|i| i.id == *id && i.told_at_ms.is_some());
    for leave in want.releases.iter_mut().filter_map(|release| release.leave.as_mut()) {
        leave.named.retain(told);
    }
}

/// What those that go should do; `None` when nobody does.
fn leave(going: &[Going<'_>], view: View<'_>) -> Option<Leave> {
    let named: Vec<InstanceId> =
        going.iter().filter(|going| going.ready).map(|going| going.id.clone()).collect();
    let patient = |going: &&Going<'_>| {
        let told = going.instance.told_at_ms.unwrap_or(view.fleet.now_ms);
        let over = view.fleet.now_ms.saturating_sub(told) >= view.patience.tunnels_ms;
        view.open(going.id).tunnels > 0 && !over
    };
    let state = match named.is_empty() {
        true if going.is_empty() => return None,
        true => RunState::Running,
        false if going.iter().filter(|going| going.ready).any(|going| patient(&going)) => {
            RunState::Terminating
        }
        false => RunState::Gone,
    };
    let instances = u16::try_from(going.len()).unwrap_or(u16::MAX);
    Some(Leave { instances, named, state })
}

#[cfg(test)]
#[path = "departing_tests.rs"]
mod tests;
