//! Which changes the drivers would make in each phase of a rollout to come. Pure.
//!
//! Each phase's wants are planned for by the drivers themselves, over a world that follows from the phase
//! before: whoever was started is ready, whoever was told to end has ended. Nobody is looked at and
//! nothing is done; what no driver can foretell is said and not guessed.

use std::collections::BTreeMap;

use drivers::platform::{Condition, FleetHave};
use drivers::router::RoutesHave;
use model::{Change, InstanceId, Release, ReleaseId, Routes};
use rollout::{Foreseen, Start, Wants};

use super::desired::Desired;
use super::planned::{ChangePlanned, Driver};
use super::standing::Standing;
use super::tools::Tools;

/// Turns in which a phase is settled; more would be a driver that never is content.
const TURNS: usize = 64;
/// Ports that a look offers here: nobody knows yet which.
const PORTS: usize = 1_024;

/// The changes of every phase.
#[derive(Debug, Default)]
pub(super) struct Foretold {
    /// One list for each phase, in their order.
    pub(super) phases: Vec<Vec<ChangePlanned>>,
    /// Why those of the later phases are not known; a sentence.
    pub(super) unforeseen: Option<String>,
}

/// What is to be shipped, and how.
#[derive(Clone, Copy)]
pub(super) struct Shipment<'a> {
    pub(super) start: &'a Start,
    pub(super) candidate: &'a Release,
    pub(super) foreseen: &'a [Foreseen],
}

/// The changes of every phase, from what is there now.
pub(super) fn foretell(
    (tools, standing): (&Tools, &Standing),
    shipment: Shipment<'_>,
    (fleet, routes): (&FleetHave, &RoutesHave),
) -> Foretold {
    let (fleet, routes) = (fleet.clone(), routes.clone());
    let (named, changes) = (BTreeMap::new(), Vec::new());
    let mut world = World { tools, standing, shipment, fleet, routes, named, changes };
    let mut told = Foretold::default();
    for (at, seen) in shipment.foreseen.iter().enumerate() {
        if told.unforeseen.is_some() {
            told.phases.push(Vec::new());
            continue;
        }
        if at > 0 {
            time_passes(&mut world.fleet);
        }
        if let Err(change) = world.settle(&seen.wants) {
            let why = format!(
                "what comes of `{change}` is not known before it is done: later changes are not listed"
            );
            told.unforeseen = Some(why);
        }
        told.phases.push(std::mem::take(&mut world.changes));
    }
    told
}

/// Whoever was told to end has ended, and whoever stays is ready.
fn time_passes(fleet: &mut FleetHave) {
    for one in &mut fleet.instances {
        if one.told_at_ms.is_some() {
            (one.condition, one.left_behind) = (Condition::Ended, false);
        } else if !matches!(one.condition, Condition::Found | Condition::Ended) {
            (one.condition, one.ready_before) = (Condition::Ready, true);
        }
    }
}

/// What would be there.
struct World<'a> {
    tools: &'a Tools,
    standing: &'a Standing,
    shipment: Shipment<'a>,
    fleet: FleetHave,
    routes: RoutesHave,
    /// Who is meant by the names that the foreseen wants have for instances that make room.
    named: BTreeMap<InstanceId, InstanceId>,
    changes: Vec<ChangePlanned>,
}

impl World<'_> {
    /// Brings about what is wanted, router first, as the controller does. `Err` names a change of which
    /// nobody knows what it leads to.
    fn settle(&mut self, wants: &Wants) -> Result<(), String> {
        let mut desired = Desired::of(wants);
        if let Some(leave) = &mut desired.leave {
            leave.named =
                leave.named.iter().filter_map(|id| self.meant(leave.release, id)).collect();
        }
        for _ in 0..TURNS {
            let before = self.changes.len();
            self.route(&desired)?;
            self.staff(&desired)?;
            if self.changes.len() == before {
                break;
            }
        }
        Ok(())
    }

    fn route(&mut self, desired: &Desired) -> Result<(), String> {
        let router = &self.tools.router;
        let want = self.want_routes(desired);
        for change in router.plan(Some(&want), &self.routes).changes {
            let next = router.foretell(&change, &self.routes);
            self.note(Driver::Router, &change);
            self.routes = next.ok_or(change.words)?;
        }
        Ok(())
    }

    fn staff(&mut self, desired: &Desired) -> Result<(), String> {
        let platform = &self.tools.platform;
        self.fleet.free_ports = vec![0; PORTS];
        let want = desired.fleet(&self.standing.app, |id| self.release(id));
        for change in platform.plan(&want, &self.fleet).changes {
            let next = platform.foretell(&change, &self.fleet);
            self.note(Driver::Platform, &change);
            self.fleet = next.ok_or(change.words)?;
        }
        Ok(())
    }

    fn want_routes(&self, desired: &Desired) -> Routes {
        let fleet = desired.fleet(&self.standing.app, |id| self.release(id));
        let without: Vec<InstanceId> =
            fleet.releases.iter().flat_map(|release| self.fleet.picked(release)).collect();
        let before: Vec<&Routes> = self.routes.routes.iter().collect();
        let of = (desired, Some(self.shipment.start));
        self.standing.routes_of(of, |id| self.release(id), (&self.fleet, &without), &before)
    }

    fn note(&mut self, by: Driver, change: &Change) {
        self.changes.push(ChangePlanned { by, words: change.words.clone() });
    }

    fn release(&self, id: ReleaseId) -> Option<&Release> {
        let both = self.standing.stable.iter().chain([self.shipment.candidate]);
        both.into_iter().find(|release| release.id == id)
    }

    /// Who is meant by a foreseen name: of those that stay, the one with the lowest number that no other
    /// name means.
    fn meant(&mut self, release: ReleaseId, name: &InstanceId) -> Option<InstanceId> {
        if let Some(known) = self.named.get(name) {
            return Some(known.clone());
        }
        let taken = |id: &InstanceId| self.named.values().any(|other| other == id);
        let mut free = self.fleet.of(release).filter(|one| one.stays() && !taken(&one.id));
        let found = free.next()?.id.clone();
        self.named.insert(name.clone(), found.clone());
        Some(found)
    }
}
